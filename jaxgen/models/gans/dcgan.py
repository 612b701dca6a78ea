"""Deep convolutional generator and discriminator, also conditional.

Source: Radford et al. 2016, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks" (ICLR), section 3 and figure 1; kernels of 4 and not 5, as in the
PyTorch examples, so that "SAME" means the same everywhere. With a class it is the conditional GAN
of Mirza & Osindero 2014: the class stands beside z, and as constant planes beside the image.
Without normalisation the discriminator is the critic of Gulrajani et al. 2017 (WGAN-GP).
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.gans.gan import leaky
from jaxgen.nn.arrays import Codes, Images, Logits
from jaxgen.nn.condition import Condition, beside
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.gan_layers import BatchNorm, pyramid
from jaxgen.nn.spectral_norm import Dense

INIT = nn.initializers.normal(0.02)


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1], of any size that can be halved down to 4 or 7.

    Attributes:
        latent: width of z.
        width: channels of the last hidden layer; each layer before it has twice as many.
    """

    latent: int = 100
    width: int = 128

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`."""
        height, width, times = pyramid(size[1:3])
        channels = self.width * 2 ** (times - 1)
        h = Dense(height * width * channels, False, INIT, spectral=False)(beside(z, cond))
        h = nn.relu(BatchNorm()(h.reshape(-1, height, width, channels)))
        for _ in range(times - 1):
            channels //= 2
            h = ConvTranspose(channels, (4, 4), 2, use_bias=False, kernel_init=INIT)(h)
            h = nn.relu(BatchNorm()(h))
        return jnp.tanh(ConvTranspose(size[3], (4, 4), 2, kernel_init=INIT)(h))


class Discriminator(nn.Module):
    """Images to logits.

    Attributes:
        width: channels of the first layer; each after it has twice as many.
        norm: normalise all layers but the first over the batch.
    """

    width: int = 64
    norm: bool = True

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        *_, times = pyramid(x.shape[1:3])
        h = beside(x, cond)
        for i in range(times):
            normed = self.norm and i > 0
            channels = self.width * 2**i
            h = Conv(channels, (4, 4), (2, 2), use_bias=not normed, kernel_init=INIT)(h)
            h = leaky(BatchNorm()(h) if normed else h, 0.2)
        return Dense(1, kernel_init=INIT, spectral=False)(h.reshape(h.shape[0], -1))[:, 0]
