"""CoGAN: two generators and two discriminators that share the layers far from the pixels.

Source: Liu & Tuzel 2016, "Coupled Generative Adversarial Networks" (NIPS), with the network for
digits of the official PyTorch code (mingyuliutw/CoGAN, `net_cogan_mnistedge.py`): transposed
convolutions, batch normalisation without scale and shift and PReLU in the generators; LeNet with
PReLU in the discriminators. The official Caffe code has a shift, and dropout before the logit. A
pair of images is one image with the channels of both. Images of 28 pixels have the official
kernels; of other sizes the last kernel of the generators reaches as far as it must. A logit stands
for the code's two-way softmax.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Codes, Examples, Images, Resized
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.condition import Condition
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.spectral_norm import GLOROT

DOMAINS = ("first", "second")
FIRST = 4  # side of the coarsest layer


class Rectified(nn.Module):
    """Batch normalisation without scale and shift, then PReLU with one slope."""

    norm: bool = True

    @nn.compact
    def __call__(self, x: Examples) -> Examples:
        """[B, ...] -> the same."""
        if self.norm:
            x = BatchNorm(scaled=False)(x)
        slope = self.param("slope", nn.initializers.constant(0.25), ())
        return jnp.where(x > 0, x, slope * x)


class Generator(nn.Module):
    """z [B, latent] to pairs of images in [-1, 1]: all but the last layer make both.

    Attributes:
        latent: width of z.
        widths: channels of the shared layers, the first of which makes 4x4; each after it makes
            2 n - 1 pixels of n.
    """

    latent: int = 100
    widths: Sequence[int] = (1024, 512, 256, 128)

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`, of whose channels the first half is of the first domain."""
        num, height, width, channels = size
        init = nn.initializers.glorot_uniform()
        h = nn.Dense(FIRST * FIRST * self.widths[0], kernel_init=init, name="shared0")(z)
        h = Rectified(name="active0")(h.reshape(num, FIRST, FIRST, self.widths[0]))
        for i, features in enumerate(self.widths[1:], 1):
            layer = ConvTranspose(
                features, (3, 3), 2, padding=((1, 1), (1, 1)), kernel_init=init, name=f"shared{i}"
            )
            h = Rectified(name=f"active{i}")(layer(h))
        taps = [
            side - reached + 3 for side, reached in zip((height, width), h.shape[1:3], strict=True)
        ]
        if min(taps) < 3:
            raise ValueError(
                f"images of {height}x{width} are smaller than {h.shape[1]}x{h.shape[2]}, which "
                f"{len(self.widths)} layers make: shorten model.generator.widths"
            )
        pads = tuple((tap - 2, tap - 2) for tap in taps)
        both = [
            ConvTranspose(channels // 2, taps, 1, padding=pads, kernel_init=init, name=name)(h)
            for name in DOMAINS
        ]
        return jnp.tanh(0.5 * jnp.concatenate(both, axis=-1))  # a sigmoid, in [-1, 1]


class Discriminator(nn.Module):
    """Pairs of images to logits of either: all but the first layer judge both.

    Attributes:
        widths: of the convolution of each domain, of the shared one, and of the dense layer.
        kernel: side of the convolutions, which do not pad; each is followed by the largest of
            four where the sides are even.
    """

    widths: Sequence[int] = (20, 50, 500)
    kernel: int = 5

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Array:
        """[B, H, W, 2 C] -> [2 B], the first domain's logits first."""
        halves = jnp.split(x, 2, axis=-1)
        own, shared, wide = self.widths
        taps = (self.kernel, self.kernel)
        parts = []
        for name, half in zip(DOMAINS, halves, strict=True):
            layer = Conv(own, taps, padding="VALID", kernel_init=GLOROT, name=name)
            parts.append(_pooled(layer(half)))
        h = jnp.concatenate(parts)
        h = _pooled(Conv(shared, taps, padding="VALID", kernel_init=GLOROT, name="shared")(h))
        h = nn.Dense(wide, kernel_init=GLOROT, name="dense")(h.reshape(h.shape[0], -1))
        h = Rectified(norm=False, name="active")(h)
        return nn.Dense(1, kernel_init=GLOROT, name="logit")(h)[:, 0]


def _pooled(x: Images) -> Resized:
    """The largest of four, where both sides are even."""
    if not x.shape[1] or not x.shape[2]:
        raise ValueError("the images are too small for model.discriminator.kernel")
    if x.shape[1] % 2 or x.shape[2] % 2:
        return x
    return nn.max_pool(x, (2, 2), (2, 2))
