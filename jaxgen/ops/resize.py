"""Two ways to bring images to a size that published scores depend on.

No other will do: on the same images features of the Inception network move by a hundredth with the
convention of the resampling alone. Bilinear resampling of `jax.image.resize` is a third convention.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]
Resized = Float[Array, "b h2 w2 c"]


def tf1_bilinear(x: Images, size: tuple[int, int]) -> Resized:
    """`tf.image.resize_bilinear` of TensorFlow 1, `align_corners=False`.

    Pixel i of the output lies at i * (in / out) of the input, without an offset of half a pixel
    and without a filter against aliasing; beyond the last pixel it is repeated.

    Args:
        x: images.
        size: height and width.
    """
    for axis, out in ((2, size[1]), (1, size[0])):
        low, high, share = _taps(x.shape[axis], out)
        first, second = (jnp.take(x, index, axis) for index in (low, high))
        shape = [1] * 4
        shape[axis] = out
        x = first + (second - first) * share.reshape(shape).astype(x.dtype)
    return x


def _taps(size: int, out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pixel of the output: the pixel before it, the one after, and its share of that."""
    at = np.arange(out, dtype=np.float32) * (np.float32(size) / np.float32(out))
    low = np.floor(at).astype(np.int32)
    return low, np.minimum(low + 1, size - 1), at - low.astype(np.float32)


def clean_bicubic(x: Images, size: tuple[int, int]) -> Resized:
    """Bicubic resampling with the kernel widened when images shrink, cut to 0 .. 255.

    That of clean-fid (Parmar et al. 2022, arXiv:2104.11222): Pillow's on each channel in floating
    point, not rounded.

    Args:
        x: images, 0 .. 255.
        size: height and width.
    """
    shape = (len(x), *size, x.shape[3])
    if shape == x.shape:
        return x
    x = jax.image.resize(x, shape, "cubic", antialias=True, precision=jax.lax.Precision.HIGHEST)
    return jnp.clip(x, 0, 255)
