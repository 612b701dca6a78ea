"""The CPU's side of `jaxgen.nn.conv`: a convolution and its two transposes in canonical form.

Every convolution here reads NHWC, HWIO -> NHWC, the one layout that XLA's CPU backend hands to its
fast library wherever it stands; the rest are matrix products and elementwise sums. Which form wins
where was measured, not derived: `benchmarks/convolutions.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

Array = jax.Array
Pads = tuple[tuple[int, int], tuple[int, int]]

LAYOUT = ("NHWC", "HWIO", "NHWC")
_THIN = 16  # channels up to which a side counts as thin, if the other has four times as many
_NARROW = 16  # channels below which groups are taken together
_CHUNK_ROWS = 4096  # output pixels at a time in a kernel gradient: its patches then stay in cache


@dataclasses.dataclass(frozen=True)
class Geometry:
    """The static side of a convolution from [B, *size, ci] to [B, *out, co].

    Attributes:
        size: height and width of the input.
        kernel: height and width of the kernel.
        strides: along height and width.
        padding: (low, high) along height and width; negative pads crop.
        groups: that the channels fall into, in order; the kernel is [kh, kw, ci / groups, co].
        precision: as `lax.conv_general_dilated` takes it.
    """

    size: tuple[int, int]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: Pads
    groups: int = 1
    precision: Any = None

    @property
    def out(self) -> tuple[int, int]:
        """Height and width of the output."""
        sides = zip(self.size, self.kernel, self.strides, self.padding, strict=True)
        height, width = ((n + sum(pad) - k) // s + 1 for n, k, s, pad in sides)
        return height, width

    @property
    def pointwise(self) -> bool:
        """Whether this is a matrix product at every (strided) pixel."""
        return self.kernel == (1, 1) and self.padding == ((0, 0), (0, 0))

    def depthwise(self, ci: int, co: int) -> bool:
        """Whether every channel has its own filter, and makes one."""
        return 1 < self.groups == ci == co


def output_shape(x: Any, w: Any, geometry: Geometry) -> tuple[int, ...]:
    """Of `conv(x, w)`: [B, *out, co]."""
    return (x.shape[0], *geometry.out, w.shape[3])


def input_shape(y: Any, w: Any, geometry: Geometry) -> tuple[int, ...]:
    """Of `input_gradient(y, w)`: [B, H, W, ci]."""
    return (y.shape[0], *geometry.size, w.shape[2] * geometry.groups)


def kernel_shape(x: Any, y: Any, geometry: Geometry) -> tuple[int, ...]:
    """Of `kernel_gradient(x, y)`: [kh, kw, ci / groups, co]."""
    return (*geometry.kernel, x.shape[3] // geometry.groups, y.shape[3])


def _wide(dtype: Any) -> Any:
    """The type to add up in: half precision in float32, rounded once at the end, as lax does."""
    return jnp.promote_types(dtype, jnp.float32)


def _dot(a: Array, b: Array, contract: tuple[int, int], geometry: Geometry) -> Array:
    """Sums over axis contract[0] of a and contract[1] of b, in the wide type."""
    dims = (((contract[0],), (contract[1],)), ((), ()))
    return lax.dot_general(
        a, b, dims, precision=geometry.precision, preferred_element_type=_wide(a.dtype)
    )


def _pad(x: Array, padding: Pads) -> Array:
    """Zero-pads, or crops where negative, the two spatial axes of x: [B, H, W, C]."""
    if padding == ((0, 0), (0, 0)):
        return x
    (top, bottom), (left, right) = padding
    config = ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0))
    return lax.pad(x, jnp.zeros((), x.dtype), config)


def _shifts(x: Array, geometry: Geometry) -> list[Array]:
    """What each tap of the kernel sees, in row-major order. x: [B, H, W, C]; each [B, *out, C]."""
    x = _pad(x, geometry.padding)
    (ho, wo), (sh, sw) = geometry.out, geometry.strides
    b, _, _, c = x.shape
    return [
        lax.slice(
            x, (0, i, j, 0), (b, i + (ho - 1) * sh + 1, j + (wo - 1) * sw + 1, c), (1, sh, sw, 1)
        )
        for i in range(geometry.kernel[0])
        for j in range(geometry.kernel[1])
    ]


def _mirrored(geometry: Geometry) -> Geometry:
    """The stride-1 convolution from output to input: kernel flipped, padding complemented."""
    pads = zip(geometry.kernel, geometry.padding, strict=True)
    padding = tuple((k - 1 - low, k - 1 - high) for k, (low, high) in pads)
    return dataclasses.replace(geometry, size=geometry.out, padding=padding)


def _thin(few: int, many: int, geometry: Geometry) -> bool:
    return few <= _THIN and many >= 4 * few and geometry.strides == (1, 1)


def conv(x: Array, w: Array, geometry: Geometry) -> Array:
    """The convolution. x: [B, H, W, ci], w: [kh, kw, ci / groups, co]; returns [B, *out, co]."""
    (kh, kw), (sh, sw) = geometry.kernel, geometry.strides
    ci, co = x.shape[3], w.shape[3]
    if geometry.depthwise(ci, co):
        taps = w.reshape(kh * kw, 1, 1, 1, co).astype(_wide(x.dtype))
        shifted = zip(_shifts(x, geometry), taps, strict=True)
        parts = (part.astype(tap.dtype) * tap for part, tap in shifted)
        return functools.reduce(jnp.add, parts).astype(x.dtype)
    if geometry.groups > 1:
        return _by_groups(conv, x, w, output_shape(x, w, geometry), geometry)
    if geometry.pointwise:
        return _dot(x[:, ::sh, ::sw], w[0, 0], (3, 0), geometry).astype(x.dtype)
    if _thin(co, ci, geometry):
        # One product to every tap's output, then those few channels are shifted and added.
        t = _dot(x, w.transpose(2, 0, 1, 3).reshape(ci, kh * kw * co), (3, 0), geometry)
        views = _shifts(t, geometry)
        parts = (v[..., i * co : (i + 1) * co] for i, v in enumerate(views))
        return functools.reduce(jnp.add, parts).astype(x.dtype)
    return _canonical(x, w, geometry.strides, geometry.padding, geometry)


def _canonical(
    x: Array,
    w: Array,
    strides: tuple[int, int],
    padding: Pads,
    geometry: Geometry,
    dilation: tuple[int, int] = (1, 1),
) -> Array:
    """The one convolution of lax here; of the geometry it takes the precision alone."""
    if min(padding[0] + padding[1]) < 0:
        x, padding = _pad(x, padding), ((0, 0), (0, 0))
    return lax.conv_general_dilated(
        x,
        w,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=LAYOUT,
        precision=geometry.precision,
    )


def input_gradient(y: Array, w: Array, geometry: Geometry) -> Array:
    """The transpose in x: every phase of the stride is a stride-1 convolution of y.

    Args:
        y: [B, *out, co].
        w: [kh, kw, ci / groups, co].
        geometry: of the convolution from x to y.

    Returns:
        [B, H, W, ci]
    """
    (h, w_), (sh, sw) = geometry.size, geometry.strides
    b, ci, co = y.shape[0], w.shape[2] * geometry.groups, w.shape[3]
    depthwise = geometry.depthwise(ci, co)
    if geometry.groups > 1 and not depthwise:
        return _by_groups(input_gradient, y, w, input_shape(y, w, geometry), geometry)
    taps = w if depthwise else w.transpose(0, 1, 3, 2)
    rows = []
    for a in range(sh):
        row = [_phase(y, taps, (a, c), geometry) for c in range(sw)]
        rows.append(row[0] if sw == 1 else jnp.stack(row, 3))
    x = rows[0] if sh == 1 else jnp.stack(rows, 2)
    return x.reshape(b, -(-h // sh) * sh, -(-w_ // sw) * sw, ci)[:, :h, :w_]


def _phase(y: Array, taps: Array, phase: tuple[int, int], geometry: Geometry) -> Array:
    """Pixels (s * q + phase) of the input gradient: [B, ceil(H / sh), ceil(W / sw), ci].

    Tap i reaches pixel s * q + a from y[q + (a + low - i) / s], if that is whole.
    """
    pads, counts = [], []
    for axis, a in enumerate(phase):
        s, k, low = geometry.strides[axis], geometry.kernel[axis], geometry.padding[axis][0]
        first, count = (a + low) % s, -(-geometry.size[axis] // s)
        taps = jnp.flip(lax.slice_in_dim(taps, min(first, k), k, s, axis), axis)
        nearest = (a + low - first) // s
        farthest = nearest - taps.shape[axis] + 1
        pads.append((-farthest, count - geometry.out[axis] + nearest))
        counts.append(count)
    if 0 in taps.shape[:2]:
        return jnp.zeros((y.shape[0], *counts, taps.shape[3]), y.dtype)
    inner = dataclasses.replace(
        geometry, size=geometry.out, kernel=taps.shape[:2], strides=(1, 1), padding=tuple(pads)
    )
    return conv(y, taps, inner)


def kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    """The transpose in the kernel.

    Args:
        x: [B, H, W, ci].
        y: [B, *out, co].
        geometry: of the convolution from x to y.

    Returns:
        [kh, kw, ci / groups, co]
    """
    shape = kernel_shape(x, y, geometry)
    kh, kw, ci, co = shape
    if geometry.depthwise(x.shape[3], co):
        w = _depthwise_kernel_gradient(x, y, geometry)
    elif geometry.groups > 1:
        w = _by_groups(kernel_gradient, x, y, shape, geometry)
    elif geometry.pointwise:
        x = x[:, :: geometry.strides[0], :: geometry.strides[1]]
        w = _dot(x.reshape(-1, ci), y.reshape(-1, co), (0, 0), geometry)
    elif ci * kh * kw <= 64:
        patches = jnp.concatenate(_shifts(x, geometry), -1)
        w = _dot(patches.reshape(-1, kh * kw * ci), y.reshape(-1, co), (0, 0), geometry)
    elif _thin(co, ci, geometry):
        # As above with the sides exchanged: patches of y are fewer than patches of x.
        patches = jnp.concatenate(_shifts(y, _mirrored(geometry))[::-1], -1)
        w = _dot(x.reshape(-1, ci), patches.reshape(-1, kh * kw * co), (0, 0), geometry)
        w = w.reshape(ci, kh, kw, co).transpose(1, 2, 0, 3)
    else:
        w = _chunked_kernel_gradient(x, y, geometry)
    return w.reshape(shape).astype(x.dtype)


def _by_groups(
    run: Callable[[Array, Array, Geometry], Array],
    a: Array,
    b: Array,
    shape: tuple[int, ...],
    geometry: Geometry,
) -> Array:
    """`run` over some groups at a time, each time one dense convolution of their channels.

    A loop keeps the program as small as that of one group. Groups of few channels are taken
    together, their kernels as a block diagonal: the zeros cost less than the calls.

    Args:
        run: `conv`, `input_gradient` or `kernel_gradient`.
        a: its first operand.
        b: its second.
        shape: of the result.
        geometry: with groups.
    """
    groups, sides = geometry.groups, (a.shape[3], b.shape[3], shape[3])
    divisors = [m for m in range(1, groups + 1) if groups % m == 0]
    m = next((m for m in divisors if m * min(sides) >= groups * _NARROW), groups)
    widths = [side * m // groups for side in sides]
    inner = dataclasses.replace(geometry, groups=1)

    def block(i: Array, out: Array) -> Array:
        x = lax.dynamic_slice_in_dim(a, i * widths[0], widths[0], 3)
        y = lax.dynamic_slice_in_dim(b, i * widths[1], widths[1], 3)
        if run is kernel_gradient:
            part = _of_diagonal(run(x, y, inner), m)
        else:
            part = run(x, _diagonal(y, m), inner)
        return lax.dynamic_update_slice_in_dim(out, part, i * widths[2], 3)

    return lax.fori_loop(0, groups // m, block, jnp.zeros(shape, a.dtype))


def _diagonal(w: Array, m: int) -> Array:
    """The dense kernel [kh, kw, m ci, m co] of m groups, [kh, kw, ci, m co]."""
    if m == 1:
        return w
    return jnp.where(_mask(m, w.shape[2], w.shape[3] // m), jnp.tile(w, (1, 1, m, 1)), 0)


def _of_diagonal(w: Array, m: int) -> Array:
    """The transpose of `_diagonal`."""
    if m == 1:
        return w
    kh, kw, ci, co = w.shape
    w = jnp.where(_mask(m, ci // m, co // m), w, 0)
    return jnp.sum(w.reshape(kh, kw, m, ci // m, co), 2)


def _mask(m: int, ci: int, co: int) -> np.ndarray:
    """Where a block diagonal of m blocks [ci, co] is: [1, 1, m ci, m co]."""
    return np.kron(np.eye(m, dtype=bool), np.ones((ci, co), bool))[None, None]


def _chunked_kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    """One canonical convolution with the batch as its channels, over some images at a time.

    The images of a chunk are interleaved and a multiple of the devices, so a sharded batch stays
    where it is. Unless XLA sends single convolutions to its library, chunks are up to 3 times
    faster than the whole; if it does, they only cost.
    """
    b, devices, pixels = x.shape[0], jax.device_count(), y.shape[0] * y.shape[1] * y.shape[2]
    n = 1
    while pixels > n * devices * _CHUNK_ROWS and b % (2 * n * devices) == 0:
        n *= 2
    if n == 1 or "-individual_convolution" in os.environ.get("XLA_FLAGS", ""):
        return _whole_kernel_gradient(x, y, geometry)
    xs, ys = (a.reshape(b // n, n, *a.shape[1:]) for a in (x, y))

    def add(i: Array, w: Array) -> Array:
        x, y = (lax.dynamic_index_in_dim(a, i, 1, keepdims=False) for a in (xs, ys))
        return w + _whole_kernel_gradient(x, y, geometry).astype(w.dtype)

    zero = jnp.zeros(kernel_shape(x, y, geometry), _wide(x.dtype))
    return lax.fori_loop(0, n, add, zero)


def _whole_kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    """The same in one piece: channels of x are the batch, images the channels, y the kernel."""
    sides = zip(geometry.size, geometry.kernel, geometry.strides, geometry.out, strict=True)
    high = tuple((o - 1) * s + k - n for n, k, s, o in sides)
    (top, _), (left, _) = geometry.padding
    padding = ((top, high[0] - top), (left, high[1] - left))
    if math.prod(geometry.out) > math.prod(geometry.size):
        # XLA would exchange a kernel larger than the image with it, and leave its library
        x, padding = lax.optimization_barrier(_pad(x, padding)), ((0, 0), (0, 0))
    x, y = x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3)
    return _canonical(x, y, (1, 1), padding, geometry, geometry.strides).transpose(1, 2, 0, 3)


def _depthwise_kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    """Products summed over pixels, one image of each device at a time so that all taps hit cache.

    Every device adds up its own images; they meet in one sum at the end.
    """
    b, c = x.shape[0], x.shape[3]
    group = math.gcd(b, jax.device_count())
    xs, ys = (a.reshape(group, b // group, *a.shape[1:]) for a in (x, y))

    def add(i: Array, w: Array) -> Array:
        x, y = (lax.dynamic_index_in_dim(a, i, 1, keepdims=False) for a in (xs, ys))
        y = y.astype(w.dtype)
        taps = [jnp.sum(part.astype(w.dtype) * y, (1, 2)) for part in _shifts(x, geometry)]
        return w + jnp.stack(taps, 1)

    zero = jnp.zeros((group, math.prod(geometry.kernel), c), _wide(x.dtype))
    return lax.fori_loop(0, b // group, add, zero).sum(0)
