"""The network of the cosmic web: a convolutional generator and discriminator, periodic on request.

Source: Rodriguez et al. 2018, Fast cosmic web simulations with generative adversarial networks
(arXiv:1801.09070), table 1: four layers each, rectified first and normalised over the batch then.
Kernels of 5 are ours, as in the DCGAN paper; the table does not say. Borders there are zeros; a
slice of a periodic box goes on at its other side, and with `periodic` convolutions it does so here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.models.gans.gan import leaky
from jaxgen.nn.arrays import Codes, Images, Logits, Resized
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.condition import Condition, beside
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.ops.upfirdn import upfirdn

Twice = Float[Array, "b 2*h 2*w c2"]

INIT = nn.initializers.normal(0.02)
LAYERS = 4
KERNEL = (5, 5)
DENSEST = 4.0  # half the logarithm of 3,000 times the scale of counts
BORDER = 2  # pixels that a kernel of a doubled image reaches beyond it


class Doubling(nn.Module):
    """A transposed convolution to twice the sides.

    Attributes:
        features: of the result.
        periodic: whether images go on at their other side.
    """

    features: int
    periodic: bool

    @nn.compact
    def __call__(self, h: Images) -> Twice:
        """[B, H, W, C] -> [B, 2 H, 2 W, features]."""
        layer = ConvTranspose(self.features, KERNEL, 2, kernel_init=INIT, name="conv")
        if not self.periodic:
            return layer(h)
        cut = slice(2 * BORDER, -2 * BORDER)
        return layer(_wrapped(h, BORDER, BORDER))[:, cut, cut]


class Generator(nn.Module):
    """z [B, latent] to images in (-1, 1), of sides that are multiples of 16.

    Attributes:
        latent: width of z.
        width: channels of the last hidden layer; each layer before it has twice as many.
        periodic: whether images go on at their other side.
        smoothing: deviation in pixels of a Gaussian over counts, e^2h in units of `ops.cosmic`'s
            scale, of whose map tanh h is the value, as slices of the data are smoothed: without it
            what transposed convolutions leave between pixels has more power than short waves of
            the web. 0 for none, as in the paper.
    """

    latent: int = 200
    width: int = 64
    periodic: bool = True
    smoothing: float = 0.0

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`."""
        (rows, columns), channels = _coarsest(size[1:3]), self.width << (LAYERS - 1)
        h = nn.Dense(rows * columns * channels, kernel_init=INIT, name="in")(beside(z, cond))
        h = self._normed(h.reshape(-1, rows, columns, channels), 0)
        for i in range(1, LAYERS):
            h = Doubling(channels >> i, self.periodic, name=f"layer_{i}")(h)
            h = self._normed(h, i)
        h = Doubling(size[3], self.periodic, name="out")(h)
        if not self.smoothing:
            return jnp.tanh(h)
        counts = _smoothed(jnp.exp(2 * jnp.minimum(h, DENSEST)), self.smoothing, self.periodic)
        return (counts - 1) / (counts + 1)

    def _normed(self, h: Images, i: int) -> Images:
        return BatchNorm(name=f"norm_{i}")(nn.relu(h))


class Discriminator(nn.Module):
    """Images to logits.

    Attributes:
        width: channels of the first layer; each after it has twice as many.
        periodic: whether images go on at their other side.
        norm: normalise over the batch; a critic under a penalty of its gradient may not.
        scales: of further maps of the same counts that it sees beside s, in units of
            `ops.cosmic.SCALE`: where s hardly differs, between dense places that hold most of the
            power, a map of larger scale does. () for none, as in the paper.
    """

    width: int = 64
    periodic: bool = True
    norm: bool = True
    scales: Sequence[float] = ()

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        _coarsest(x.shape[1:3])
        h = beside(jnp.concatenate([x, *(_rescaled(x, a) for a in self.scales)], axis=-1), cond)
        for i in range(LAYERS):
            padding = "VALID" if self.periodic else "SAME"
            h = _wrapped(h, 1, 2) if self.periodic else h  # as many as "SAME" has
            channels, name = self.width << i, f"conv_{i}"
            layer = Conv(channels, KERNEL, (2, 2), padding, kernel_init=INIT, name=name)
            h = leaky(layer(h), 0.2)
            h = BatchNorm(name=f"norm_{i}")(h) if self.norm else h
        return nn.Dense(1, kernel_init=INIT, name="out")(h.reshape(h.shape[0], -1))[:, 0]


def _rescaled(s: Images, scale: float) -> Images:
    """The map 2 x / (x + scale a) - 1 of counts x whose map with a is s."""
    return ((1 + s) - scale * (1 - s)) / ((1 + s) + scale * (1 - s))


def _smoothed(x: Images, deviation: float, periodic: bool) -> Images:
    """A Gaussian, up to three deviations, along both axes; edges repeat where it ends there."""
    reach = math.ceil(3 * deviation)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    sides = (reach, reach)
    mode = "wrap" if periodic else "edge"
    x = jnp.pad(x, ((0, 0), sides, sides, (0, 0)), mode=mode)
    return upfirdn(x, (taps / taps.sum()).tolist())


def _wrapped(x: Images, before: int, after: int) -> Resized:
    """With so many pixels of the other side beyond each border."""
    sides = (before, after)
    return jnp.pad(x, ((0, 0), sides, sides, (0, 0)), mode="wrap")


def _coarsest(sides: tuple[int, ...]) -> tuple[int, ...]:
    """The sides after all layers."""
    if any(side % 2**LAYERS or side < 2 ** (LAYERS + 1) for side in sides):
        raise ValueError(
            f"images of {sides[0]}x{sides[1]}: expected sides of 32 or more that 16 divides; "
            "resize them (data.size)"
        )
    return tuple(side >> LAYERS for side in sides)
