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
from jaxgen.nn.conv import ConvTranspose
from jaxgen.nn.gan_layers import BatchNorm, pyramid
from jaxgen.nn.spectral_norm import Conv, Dense
from jaxgen.ops.precision import narrow, wide

INIT = nn.initializers.normal(0.02)


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1], of any size that can be halved down to 4 or 7.

    Attributes:
        latent: width of z.
        width: channels of the last hidden layer; each layer before it has twice as many.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    latent: int = 100
    width: int = 128
    dtype: str | None = None

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`."""
        height, width, times = pyramid(size[1:3])
        channels = self.width * 2 ** (times - 1)
        h = Dense(height * width * channels, False, INIT, spectral=False)(beside(z, cond))
        h = narrow(h.reshape(-1, height, width, channels), self.dtype)
        h = nn.relu(BatchNorm()(h))
        for _ in range(times - 1):
            channels //= 2
            layer = ConvTranspose(
                channels, (4, 4), 2, use_bias=False, dtype=self.dtype, kernel_init=INIT
            )
            h = layer(h)
            h = nn.relu(BatchNorm()(h))
        h = ConvTranspose(size[3], (4, 4), 2, dtype=self.dtype, kernel_init=INIT)(h)
        return jnp.tanh(wide(h))


class Discriminator(nn.Module):
    """Images to logits.

    Attributes:
        width: channels of the first layer; each after it has twice as many.
        norm: normalise all layers but the first over the batch.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    width: int = 64
    norm: bool = True
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        *_, times = pyramid(x.shape[1:3])
        h = narrow(beside(x, cond), self.dtype)
        for i in range(times):
            normed = self.norm and i > 0
            channels = self.width * 2**i
            h = Conv(channels, 4, not normed, INIT, spectral=False, stride=2)(h)
            h = leaky(BatchNorm()(h) if normed else h, 0.2)
        h = wide(h.reshape(h.shape[0], -1))
        return Dense(1, kernel_init=INIT, spectral=False)(h)[:, 0]
