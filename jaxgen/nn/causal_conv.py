"""Convolutions over what comes before a position in raster order.

A network is written once, for three ways to call it: `place` None is the whole image, a `Place`
without a column one row of it, and one with a column one position. Features are [B, H, W, C],
[B, 1, W, C] and [B, 1, 1, C] in turn. Rows are computed in order, and the positions of a row too,
any of them as often as one likes; what a layer needs of those before is in the collection "cache".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Num

from jaxgen.nn.arrays import Images, Resized
from jaxgen.nn.condition import Condition, aligned
from jaxgen.nn.conv import conv, conv_transpose
from jaxgen.nn.weight_norm import DIRECTIONS, rescaled, unit_kernel
from jaxgen.ops.ranges import symmetric

Canvas = Num[Array, "b h w c"]
MEMORY = ("store", "remat")


@flax.struct.dataclass
class Place:
    """A row of an image, or a position in it.

    Attributes:
        row: int32 scalar.
        column: int32 scalar; None for the whole row.
        width: of the image.
    """

    row: Any
    column: Any = None
    width: int = flax.struct.field(pytree_node=False, default=1)

    def halved(self) -> Place:
        """Where this is in an image of half the size."""
        column = None if self.column is None else self.column // 2
        return Place(self.row // 2, column, self.width // 2)


def cut(h: Images, place: Place | None) -> Resized:
    """What of features of the whole image is at a place; they may have sides of 1, for all."""
    if place is None:
        return h
    for axis, index in ((1, place.row), (2, place.column)):
        if index is not None and h.shape[axis] > 1:
            h = jax.lax.dynamic_slice_in_dim(h, index, 1, axis)
    return h


def given_at(cond: Condition | None, size: Sequence[int], place: Place | None) -> Array | None:
    """What a network is given at a place, [B, h, w, K].

    Args:
        cond: rows or a map.
        size: height and width of the image.
        place: None for all.
    """
    if cond is None:
        return None
    return cut(aligned(cond, (cond.shape[0], *size, 0)), place)


def of_row(
    module: nn.Module, row: Array | None, shape: Sequence[int], place: Place | None
) -> Array:
    """Features that are computed for whole rows, at a place: those of the row computed last.

    To be called once in a compact module, which keeps them.

    Args:
        module: which.
        row: the features; None at a position.
        shape: their batch and channels.
        place: None for the whole image.
    """
    if place is None:
        assert row is not None
        return row
    size = (shape[0], 1, place.width, shape[1])
    kept = module.variable("cache", "row", jnp.zeros, size)
    if row is not None:
        kept.value = row
        return row
    return jax.lax.dynamic_slice_in_dim(kept.value, place.column, 1, 2)


def repeated(block: Any, length: int, memory: str, *in_axes: Any) -> Any:
    """So many blocks in a scan, with their parameters and caches stacked on a first axis.

    Args:
        block: module that is called with a carry, inputs of each block, a condition and a place.
        length: number of blocks.
        memory: one of `MEMORY`: "remat" computes again what is inside of a block for the backward
            pass, "store" keeps it.
        *in_axes: of the inputs of each block.

    Raises:
        ValueError: for another `memory`.
    """
    if memory not in MEMORY:
        raise ValueError(f"memory={memory!r}, expected one of {MEMORY}")
    if memory == "remat":
        block = nn.remat(block, prevent_cse=False)
    axes: Any = (*in_axes, nn.broadcast, nn.broadcast)
    return nn.scan(
        block,
        variable_axes={"params": 0, "cache": 0},
        split_rngs={"params": True, "dropout": True},
        in_axes=axes,
        length=length,
    )


def entries(x: Canvas, values: int, one_hot: bool) -> Images:
    """What a network is given of integers 0 .. values - 1.

    Grey levels are brought to [-1, 1], [B, H, W, C]. Codes, between which no distance means
    anything, are `one_hot`: [B, H, W, C values], those of a channel together.
    """
    if not one_hot:
        return symmetric(x, values)
    hot = jax.nn.one_hot(x, values, dtype=jnp.result_type(float))
    return hot.reshape(*x.shape[:-1], -1)


def groups_of(channels: int, groups: int) -> np.ndarray:
    """[channels], the group of each, in order and as even as can be."""
    return np.arange(channels) * groups // channels


def group_mask(before: np.ndarray, after: np.ndarray, strict: bool) -> np.ndarray:
    """[inputs, outputs] of 0 and 1: outputs see inputs of smaller groups, or also of their own.

    Args:
        before: groups of the inputs.
        after: groups of the outputs.
        strict: not of their own: the mask A of the paper; else the mask B.

    Source: van den Oord et al. 2016, Pixel recurrent neural networks, section 3.4.
    """
    seen = before[:, None] < after[None] if strict else before[:, None] <= after[None]
    return seen.astype(np.float32)


class CausalConv(nn.Module):
    """A convolution whose kernel ends in the row of the position.

    Attributes:
        features: channels out.
        size: height and width of the kernel.
        left: columns before the position at which the kernel begins.
        stride: 2 halves the image.
        shift: rows and columns by which the output is moved down and right; zeros come in.
        mask: [*size, C, features], what of the kernel there is; None for all.
        std: of the outputs on the first batch, of a convolution with weight normalisation. None
            has none.
        kernel_init: initialiser of kernels without weight normalisation.
    """

    features: int
    size: tuple[int, int]
    left: int
    stride: int = 1
    shift: tuple[int, int] = (0, 0)
    mask: np.ndarray | None = None
    std: float | None = None
    kernel_init: Callable = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, h: Images, place: Place | None = None, whole: bool = False) -> Resized:
        """Features to features, of an image half as large with stride 2.

        Args:
            h: features at the place.
            place: of h; None for the whole image.
            whole: h is the whole image also where a place is given.
        """
        shape = (*self.size, h.shape[-1], self.features)
        if self.std is None:
            kernel = self.param("kernel", self.kernel_init, shape)
        else:
            kernel = self.param("direction", DIRECTIONS, shape)
        if self.mask is not None:
            kernel = kernel * jnp.asarray(self.mask, kernel.dtype)
        if self.std is not None:
            kernel = unit_kernel(kernel)
        y = self._convolved(h, kernel) if place is None else self._at(h, kernel, place, whole)
        if self.std is not None:
            y = rescaled(self, y, self.std)
        else:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            y = y + bias[None, None, None]
        return self._shifted(y, place) if any(self.shift) else y

    @property
    def _sides(self) -> tuple[int, int]:
        """Columns of zeros to the left and to the right."""
        return self.left, self.size[1] - 1 - self.left

    def _convolved(self, h: Array, kernel: Array) -> Array:
        return conv(h, kernel, self.stride, ((self.size[0] - 1, 0), self._sides))

    def _shifted(self, y: Array, place: Place | None) -> Array:
        """`_at` has moved already; what is left are the zeros."""
        down, right = self.shift
        if place is None:
            height, width = y.shape[1:3]
            y = jnp.pad(y, ((0, 0), (down, 0), (right, 0), (0, 0)))
            return y[:, :height, :width]
        inside = place.row >= down
        if place.column is not None:
            return jnp.where(inside & (place.column >= right), y, 0)
        y = jnp.pad(y, ((0, 0), (0, 0), (right, 0), (0, 0)))[:, :, : y.shape[2]]
        return jnp.where(inside, y, 0)

    def _at(self, h: Array, kernel: Array, place: Place, whole: bool) -> Array:
        if self.size == (1, 1) and self.stride == 1 and not whole:
            return h @ kernel[0, 0]
        seen = h if whole else self._remembered(h, place)
        rows = (place.row - self.shift[0]) // self.stride * self.stride
        rows = rows + jnp.arange(1 - self.size[0], 1)
        taps = jnp.take(seen, rows % seen.shape[1], axis=1)
        taps = jnp.where((rows >= 0)[None, :, None, None], taps, 0)
        if place.column is None:
            return conv(taps, kernel, (1, self.stride), ((0, 0), self._sides))
        columns = (place.column - self.shift[1]) // self.stride * self.stride
        columns = columns - self.left + jnp.arange(self.size[1])
        inside = (columns >= 0) & (columns < place.width)
        taps = jnp.take(taps, columns % place.width, axis=2)
        taps = jnp.where(inside[None, None, :, None], taps, 0)
        return jnp.einsum("bhwc,hwcf->bf", taps, kernel)[:, None, None]

    def _remembered(self, h: Array, place: Place) -> Array:
        """The last rows of the input, that of number r at r modulo their number."""
        rows = self.size[0] + self.stride - 1 + self.shift[0]
        shape = (h.shape[0], rows, place.width, h.shape[-1])
        kept = self.variable("cache", "rows", jnp.zeros, shape, h.dtype)
        column = 0 if place.column is None else place.column
        start = [jnp.asarray(i, jnp.int32) for i in (0, place.row % rows, column, 0)]
        kept.value = jax.lax.dynamic_update_slice(kept.value, h, start)
        return kept.value


class CausalConvTranspose(nn.Module):
    """A transposed convolution with weight normalisation that doubles the image.

    Attributes:
        features: channels out.
        width: of the kernel, whose height is 2: 2, or 3, which has no form for a position.
        std: of the outputs on the first batch.
    """

    features: int
    width: int
    std: float = 1.0

    @nn.compact
    def __call__(self, h: Images, place: Place | None = None) -> Resized:
        """Features to features of an image twice as large.

        Args:
            h: features, at the place where `place` is in the smaller image.
            place: in the larger image; None for all of it.
        """
        direction = self.param("direction", DIRECTIONS, (2, self.width, h.shape[-1], self.features))
        kernel, left = unit_kernel(direction), (self.width - 1) // 2
        if place is not None:
            kernel = jax.lax.dynamic_slice_in_dim(kernel, 1 - place.row % 2, 1, 0)
        if place is None or place.column is None:
            strides = (2, 2) if place is None else (1, 2)
            y = conv_transpose(h, kernel, strides, "VALID")[:, :, left : left + 2 * h.shape[2]]
        else:
            y = h @ jax.lax.dynamic_index_in_dim(kernel[0], 1 - place.column % 2, 0, False)
        return rescaled(self, y, self.std)
