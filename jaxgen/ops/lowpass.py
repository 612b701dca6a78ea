"""Low-pass filters of StyleGAN3, and resampling of images with them.

Rates, cutoffs and widths are in samples and periods a unit of length, of which the image has one.

Source: Karras et al. 2021, Alias-free generative adversarial networks (NeurIPS), section 3 and
appendix C; NVlabs/stylegan3, `training/networks_stylegan3.py`, for the windows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.signal
import scipy.special
from jaxtyping import Array, Float

from jaxgen.ops.upfirdn import upfirdn

Images = Float[Array, "b h w c"]
Resized = Float[Array, "b h2 w2 c"]
SMALL = 160  # pixels: up to here products with matrices are faster than sums of shifted copies


@functools.cache
def lowpass(taps: int, cutoff: float, half_width: float, rate: float) -> tuple[float, ...]:
    """Taps of a Kaiser-windowed sinc, which add up to one; of one tap the identity.

    Args:
        taps: how many.
        cutoff: frequency up to which waves pass, f_c.
        half_width: of the transition, f_h.
        rate: of the samples that are filtered.
    """
    if taps == 1:
        return (1.0,)
    found: Any = scipy.signal.firwin(taps, cutoff, width=2 * half_width, fs=rate)
    return tuple(np.asarray(found, np.float32).tolist())


@functools.cache
def radial_lowpass(taps: int, cutoff: float, half_width: float, rate: float) -> np.ndarray:
    """As `lowpass`, the same in all directions: a windowed jinc, [taps, taps] that add up to one.

    Source: appendix C.4; the window is the outer product of Kaiser's along both axes.
    """
    if taps == 1:
        return np.ones((1, 1), np.float32)
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(*np.meshgrid(x, x))
    jinc = scipy.special.j1(2 * np.pi * cutoff * r) / (np.pi * r)
    attenuation = scipy.signal.kaiser_atten(taps, 2 * half_width / (rate / 2))
    window = np.kaiser(taps, scipy.signal.kaiser_beta(attenuation))
    found = jinc * np.outer(window, window)
    return (found / found.sum()).astype(np.float32)


def resampled(
    x: Images, taps: Sequence[float], up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)
) -> Resized:
    """`ops.upfirdn.upfirdn` times `up` squared: waves below the cutoff keep their size."""
    gained = [up * tap for tap in taps]
    if max(x.shape[1:3]) * up > SMALL:
        return upfirdn(x, gained, up, down, pad)
    for n in x.shape[1:3]:
        matrix = jnp.asarray(_matrix(n, tuple(gained), up, down, pad), x.dtype)
        flat = jnp.einsum("kh,bhn->bkn", matrix, x.reshape(*x.shape[:2], -1))
        x = jnp.swapaxes(flat.reshape(*flat.shape[:2], *x.shape[2:]), 1, 2)
    return x


def image_by_image(f: Callable[[Images], Resized], x: Images) -> Resized:
    """f of a batch, whose images do not depend on each other.

    On a CPU one after another, since what an image takes stays in its caches; elsewhere at once.
    """

    def one(image: Float[Array, "h w c"]) -> Float[Array, "h2 w2 c"]:
        return f(image[None])[0]

    return jax.lax.platform_dependent(x, cpu=lambda x: jax.lax.map(one, x), default=f)


@functools.cache
def _matrix(
    size: int, taps: tuple[float, ...], up: int, down: int, pad: tuple[int, int]
) -> np.ndarray:
    """What `upfirdn` does along an axis, [resized, size]."""
    widened = np.zeros((up * size + pad[0] + pad[1], size), np.float32)
    kept = np.arange(size) * up + pad[0]
    inside = (kept >= 0) & (kept < len(widened))
    widened[kept[inside], np.flatnonzero(inside)] = 1
    found = [
        np.convolve(column, np.asarray(taps, np.float32), "valid")[::down] for column in widened.T
    ]
    return np.stack(found, axis=1)


def thinned(x: Images, kernel: np.ndarray, down: int) -> Resized:
    """Each channel filtered with a kernel [k, k] that is symmetric; every `down`-th pixel of it."""
    channels = x.shape[-1]
    weights = jnp.broadcast_to(
        jnp.asarray(kernel, x.dtype)[:, :, None, None], (*kernel.shape, 1, 1)
    )
    flat = jnp.moveaxis(x, 3, 1).reshape(-1, *x.shape[1:3], 1)
    found = jax.lax.conv_general_dilated(
        flat, weights, (down, down), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.moveaxis(found.reshape(x.shape[0], channels, *found.shape[1:3]), 1, 3)
