"""Resampling of images with a filter: zeros between pixels, a filter, every so manieth pixel."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]
Resized = Float[Array, "b h2 w2 c"]


def upfirdn(
    x: Images,
    taps: Sequence[float],
    up: int = 1,
    down: int = 1,
    pad: tuple[int, int] = (0, 0),
    flip: bool = False,
) -> Resized:
    """Both axes alike: zeros inserted, padded, convolved with the taps, and thinned out.

    With `pad` = (len(taps) - 1, len(taps) - up) this is `scipy.signal.upfirdn` along both axes.

    Args:
        x: images.
        taps: of the filter along an axis; the filter of the plane is their outer product.
        up: every pixel is followed by up - 1 zeros, the last one too.
        down: every down-th pixel is kept, from the first on.
        pad: zeros before and after, once those are inserted; negative ones cut off.
        flip: correlate instead of convolving.

    Source: Karras et al. 2019, "A Style-Based Generator", appendix C, and NVlabs/stylegan2,
    `upfirdn_2d`, whose conventions these are.
    """
    weights = list(taps) if flip else list(taps)[::-1]
    for axis in (1, 2):
        x = _along(x, weights, axis, up, down, pad)
    return x


def _along(
    x: Array, weights: Sequence[float], axis: int, up: int, down: int, pad: tuple[int, int]
) -> Array:
    """One axis, as a sum of shifted copies."""
    configuration = [(0, 0, 0)] * x.ndim
    configuration[axis] = (pad[0], pad[1] + up - 1, up - 1)
    x = lax.pad(x, jnp.zeros((), x.dtype), configuration)
    length = x.shape[axis] - len(weights) + 1
    if length < 1:
        raise ValueError(f"{len(weights)} taps do not fit {x.shape[axis]} pixels")
    terms = [
        weight * lax.slice_in_dim(x, i, i + length, down, axis) for i, weight in enumerate(weights)
    ]
    return sum(terms[1:], terms[0])


def normal(taps: Sequence[float]) -> list[float]:
    """Taps whose sum is one."""
    return [tap / sum(taps) for tap in taps]


BLUR = normal((1.0, 3.0, 3.0, 1.0))  # the filter of StyleGAN2 and R3GAN


def upsample(x: Images) -> Resized:
    """Twice as large, through `BLUR`; a constant image stays constant, but at its border."""
    return upfirdn(x, [2 * tap for tap in BLUR], up=2, pad=(2, 1))


def downsample(x: Images) -> Resized:
    """Half as large, through `BLUR`."""
    return upfirdn(x, BLUR, down=2, pad=(1, 1))
