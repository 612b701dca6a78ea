"""BigGAN: residual players, both spectrally normalised, with attention and latents at every level.

Source: Brock et al. 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis"
(ICLR), appendix B and table 4, with the official code (ajbrock/BigGAN-PyTorch), whose parameter
counts these networks have. Without `shared` and `hierarchical` they are those of SAGAN (Zhang et
al. 2019) and of the official CIFAR-10 script.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.nn.arrays import Codes, Images, Logits, Resized
from jaxgen.nn.condition import Condition
from jaxgen.nn.gan_layers import BatchNorm, SelfAttention, doubled, pooled
from jaxgen.nn.spectral_norm import Conv, Dense
from jaxgen.ops.precision import narrow, wide
from jaxgen.values import Natural

INIT = nn.initializers.orthogonal()


def conv(features: int, kernel: int = 3, name: str | None = None) -> Conv:
    """A normalised convolution, orthogonal at first."""
    return Conv(features, kernel, kernel_init=INIT, name=name)


class UpBlock(nn.Module):
    """Twice: normalise by the class, rectify, convolve; doubled before the first convolution."""

    width: int

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None) -> Resized:
        """[B, H, W, C] -> [B, 2 H, 2 W, width]."""
        h = doubled(nn.relu(BatchNorm(spectral=True)(x, cond)))
        h = conv(self.width)(h)
        h = conv(self.width)(nn.relu(BatchNorm(spectral=True)(h, cond)))
        return h + conv(self.width, 1)(doubled(x))


class DownBlock(nn.Module):
    """Twice: rectify, convolve; then halved.

    Attributes:
        width: channels out.
        down: whether to halve.
        first: the block of the image: it is not rectified.
    """

    width: int
    down: bool = True
    first: bool = False

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', width]."""
        h = conv(self.width)(x if self.first else nn.relu(x))
        h = conv(self.width)(nn.relu(h))
        if not self.down and x.shape[-1] == self.width:
            return h + x
        shortcut = pooled(x) if self.first else x  # the same, and cheaper on three channels
        shortcut = conv(self.width, 1)(shortcut)
        if self.down:
            h, shortcut = pooled(h), shortcut if self.first else pooled(shortcut)
        return h + shortcut


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1]; each multiplier after the first doubles the image.

    Attributes:
        latent: width of z.
        width: channels of the last layer, times its multiplier.
        multipliers: of the channels, from the coarsest layer on.
        shared: width of the class's embedding, which all layers share; 0 gives them the class.
        hierarchical: give each block a part of z of its own, beside the class.
        attention: side of the images at which to attend; 0 for none.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    latent: int = 120
    width: int = 96
    multipliers: Sequence[int] = (16, 16, 8, 4, 2, 1)
    shared: Natural = 128
    hierarchical: bool = True
    attention: Natural = 64
    dtype: str | None = None

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`."""
        times = len(self.multipliers) - 1
        height, width = base(size, times)
        parts = [z] * (times + 1)
        if self.hierarchical:
            if self.latent % (times + 1):
                raise ValueError(
                    f"latent={self.latent} does not fall into {times + 1} parts, one a level"
                )
            parts = jnp.split(z, times + 1, axis=1)
        if cond is not None and self.shared:
            init = nn.initializers.normal(0.02)
            cond = Dense(self.shared, False, init, spectral=False, name="shared")(cond)
        channels = self.width * self.multipliers[0]
        h = Dense(height * width * channels, kernel_init=INIT)(parts[0])
        h = narrow(h.reshape(-1, height, width, channels), self.dtype)
        for part, multiplier in zip(parts[1:], self.multipliers[1:], strict=True):
            own = cond
            if self.hierarchical:
                own = part if cond is None else jnp.concatenate([cond, part], axis=1)
            h = UpBlock(self.width * multiplier)(h, own)
            if h.shape[1] == self.attention:
                h = SelfAttention(name="attention")(h)
        h = conv(size[3], name="image")(nn.relu(BatchNorm()(h)))
        return jnp.tanh(wide(h))


class Discriminator(nn.Module):
    """Images to logits, with the projection of the class.

    Attributes:
        width: channels of the first block, times its multiplier.
        multipliers: of the channels; all blocks but the last `still` ones halve the image.
        attention: side of the images at which to attend, once; 0 for none.
        still: blocks at the end that do not halve.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    width: int = 96
    multipliers: Sequence[int] = (1, 2, 4, 8, 16, 16)
    attention: Natural = 64
    still: int = 1
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        h, halves = narrow(x, self.dtype), len(self.multipliers) - self.still
        base(x.shape, halves)
        for i, multiplier in enumerate(self.multipliers):
            h = DownBlock(self.width * multiplier, down=i < halves, first=i == 0)(h)
            if i < halves and h.shape[1] == self.attention:
                h = SelfAttention(name="attention")(h)
        return projected(nn.relu(h), cond)


def projected(h: Images, cond: Condition | None) -> Logits:
    """Logits [B] of features [B, H, W, C], summed over positions; called in a compact method."""
    phi = jnp.sum(wide(h), axis=(1, 2))
    logits = Dense(1, kernel_init=INIT, name="psi")(phi)[:, 0]
    if cond is not None:
        rows = Dense(phi.shape[-1], False, INIT, name="classes")(cond)
        logits += jnp.sum(rows * phi, axis=-1)
    return logits


def base(size: tuple[int, ...], times: int, stages: str = "multipliers") -> tuple[int, int]:
    """Height and width of [B, H, W, C] before it was doubled so many times.

    Args:
        size: of images.
        times: how often.
        stages: the option of both players that has one entry more, for the error.

    Raises:
        ValueError: for a size that this does not reach.
    """
    height, width = size[1:3]
    if height % 2**times or width % 2**times:
        raise ValueError(
            f"images of {height}x{width} cannot be halved {times} times: set model.*.{stages}, "
            "one more than halvings"
        )
    return height >> times, width >> times
