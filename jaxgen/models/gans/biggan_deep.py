"""BigGAN-deep: bottleneck blocks, two at each resolution, and all of z with the class in each.

Source: Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis"
(ICLR), appendix B and table 5, with the official code (ajbrock/BigGAN-PyTorch).
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.gans.biggan import INIT, base, conv, projected
from jaxgen.nn.arrays import Codes, Images, Logits, Resized
from jaxgen.nn.condition import Condition
from jaxgen.nn.gan_layers import BatchNorm, SelfAttention, doubled, pooled
from jaxgen.nn.spectral_norm import Dense
from jaxgen.values import Natural


class UpBlock(nn.Module):
    """1x1 down to a quarter of the channels, two 3x3, 1x1 up; the shortcut drops channels."""

    width: int
    up: bool

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None) -> Resized:
        """[B, H, W, C] -> [B, H', W', width]."""
        hidden = x.shape[-1] // 4
        h = conv(hidden, 1)(nn.relu(BatchNorm(spectral=True)(x, cond)))
        h = nn.relu(BatchNorm(spectral=True)(h, cond))
        h = conv(hidden)(doubled(h) if self.up else h)
        h = conv(hidden)(nn.relu(BatchNorm(spectral=True)(h, cond)))
        h = conv(self.width, 1)(nn.relu(BatchNorm(spectral=True)(h, cond)))
        kept = x[..., : self.width]
        return h + (doubled(kept) if self.up else kept)


class DownBlock(nn.Module):
    """1x1 to a quarter of the channels out, two 3x3, 1x1; the shortcut adds channels."""

    width: int
    down: bool

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', width]."""
        hidden = self.width // 4
        h = conv(hidden, 1)(nn.relu(x))
        h = nn.relu(conv(hidden)(nn.relu(h)))
        h = nn.relu(conv(hidden)(h))
        shortcut = x
        if self.down:
            h, shortcut = pooled(h), pooled(shortcut)
        h = conv(self.width, 1)(h)
        if x.shape[-1] != self.width:
            more = conv(self.width - x.shape[-1], 1)(shortcut)
            shortcut = jnp.concatenate([shortcut, more], axis=-1)
        return h + shortcut


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1]; each multiplier after the first doubles the image.

    Attributes:
        latent: width of z.
        width: channels of the last layer, times its multiplier.
        multipliers: of the channels, from the coarsest layer on.
        shared: width of the class's embedding.
        attention: side of the images at which to attend; 0 for none.
    """

    latent: int = 128
    width: int = 128
    multipliers: Sequence[int] = (16, 16, 8, 4, 2, 1)
    shared: int = 128
    attention: Natural = 64

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`."""
        height, width = base(size, len(self.multipliers) - 1)
        if cond is not None:
            init = nn.initializers.normal(0.02)
            embedded = Dense(self.shared, False, init, spectral=False, name="shared")(cond)
            z = jnp.concatenate([embedded, z], axis=1)
        channels = self.width * self.multipliers[0]
        h = Dense(height * width * channels, kernel_init=INIT)(z)
        h = h.reshape(-1, height, width, channels)
        for multiplier in self.multipliers[1:]:
            h = UpBlock(h.shape[-1], up=False)(h, z)
            h = UpBlock(self.width * multiplier, up=True)(h, z)
            if h.shape[1] == self.attention:
                h = SelfAttention(name="attention")(h)
        return jnp.tanh(conv(size[3], name="image")(nn.relu(BatchNorm()(h))))


class Discriminator(nn.Module):
    """Images to logits, with the projection of the class.

    Attributes:
        width: channels of the first layer.
        multipliers: of the channels after each halving.
        attention: side of the images at which to attend; 0 for none.
    """

    width: int = 128
    multipliers: Sequence[int] = (2, 4, 8, 16, 16)
    attention: Natural = 64

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        base(x.shape, len(self.multipliers))
        h = conv(self.width, name="image")(x)
        for multiplier in self.multipliers:
            h = DownBlock(self.width * multiplier, down=True)(h)
            h = DownBlock(self.width * multiplier, down=False)(h)
            if h.shape[1] == self.attention:
                h = SelfAttention(name="attention")(h)
        return projected(nn.relu(h), cond)
