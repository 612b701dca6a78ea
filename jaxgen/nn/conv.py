"""Convolutions that are fast on every platform, to any order of differentiation.

XLA's CPU backend hands a convolution to its multi-threaded library only when it reads NHWC / HWIO
-> NHWC. The gradients that autodiff writes do not, and inside a `lax.scan` nothing repairs them:
they run as naive loops, tens of times slower. Here the convolution, its input gradient and its
kernel gradient are three primitives, each lowered on CPU to canonical convolutions and dots, and
on every other platform to exactly what `lax` and its autodiff give.

The three are bilinear, and the transposes of each are the other two: with `conv(x, w) = y`,
`input_gradient(y, w) = x` and `kernel_gradient(x, y) = w`. So forward and reverse mode of any order
stay within the fast forms, a transposed convolution is an input gradient, and the lowering of each
platform is chosen by the compiler, with one branch in the program.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from jaxgen.nn import conv_cpu
from jaxgen.nn.conv_cpu import LAYOUT, Geometry
from jaxgen.ops.precision import plus

Array = jax.Array
Padding = str | int | Sequence[tuple[int, int]]


def _lax_conv(x: Array, w: Array, geometry: Geometry) -> Array:
    return lax.conv_general_dilated(
        x,
        w,
        geometry.strides,
        geometry.padding,
        dimension_numbers=LAYOUT,
        feature_group_count=geometry.groups,
        precision=geometry.precision,
    )


def _lax_input_gradient(y: Array, w: Array, geometry: Geometry) -> Array:
    x = jax.ShapeDtypeStruct(conv_cpu.input_shape(y, w, geometry), y.dtype)
    return jax.linear_transpose(lambda x: _lax_conv(x, w, geometry), x)(y)[0]


def _lax_kernel_gradient(x: Array, y: Array, geometry: Geometry) -> Array:
    w = jax.ShapeDtypeStruct(conv_cpu.kernel_shape(x, y, geometry), x.dtype)
    return jax.linear_transpose(lambda w: _lax_conv(x, w, geometry), w)(y)[0]


def _primitive(name: str, shape: Callable, on_cpu: Callable, elsewhere: Callable) -> Primitive:
    primitive = Primitive(name)

    def abstract(a: Any, b: Any, *, geometry: Geometry) -> ShapedArray:
        return ShapedArray(shape(a, b, geometry), a.dtype)

    @functools.partial(jax.jit, static_argnames="geometry")
    def run(a: Array, b: Array, *, geometry: Geometry) -> Array:
        return primitive.bind(a, b, geometry=geometry)

    def batch(args: Sequence[Array], dims: Sequence[int | None], *, geometry: Geometry) -> Any:
        a, b = args
        if dims[1] is None and primitive is not kernel_gradient_p:
            assert dims[0] is not None
            a = jnp.moveaxis(a, dims[0], 0)
            out = primitive.bind(a.reshape(-1, *a.shape[2:]), b, geometry=geometry)
            return out.reshape(*a.shape[:2], *out.shape[1:]), 0
        # Both differ: each of the batch becomes groups of its own.
        num = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
        grouped = dataclasses.replace(geometry, groups=num * geometry.groups)
        out = primitive.bind(*map(merge, args, dims, (num, num)), geometry=grouped)
        return out.reshape(*out.shape[:3], num, -1), 3

    def merge(a: Array, dim: int | None, num: int) -> Array:
        """Puts the axis, or copies, before the last one and joins the two."""
        if dim is None:
            a = jnp.broadcast_to(a[..., None, :], (*a.shape[:-1], num, a.shape[-1]))
        else:
            a = jnp.moveaxis(a, dim, -2)
        return a.reshape(*a.shape[:-2], -1)

    primitive.def_abstract_eval(abstract)
    primitive.def_impl(run)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(elsewhere, multiple_results=False))
    mlir.register_lowering(primitive, mlir.lower_fun(on_cpu, multiple_results=False), "cpu")
    return primitive


conv_p = _primitive("conv", conv_cpu.output_shape, conv_cpu.conv, _lax_conv)
input_gradient_p = _primitive(
    "conv_input_gradient", conv_cpu.input_shape, conv_cpu.input_gradient, _lax_input_gradient
)
kernel_gradient_p = _primitive(
    "conv_kernel_gradient", conv_cpu.kernel_shape, conv_cpu.kernel_gradient, _lax_kernel_gradient
)
# Each rule is given the cotangent, then the two operands, of which its own is unknown.
ad.defbilinear(
    conv_p,
    lambda ct, x, w, geometry: input_gradient_p.bind(ct, w, geometry=geometry),
    lambda ct, x, w, geometry: kernel_gradient_p.bind(x, ct, geometry=geometry),
)
ad.defbilinear(
    input_gradient_p,
    lambda ct, y, w, geometry: conv_p.bind(ct, w, geometry=geometry),
    lambda ct, y, w, geometry: kernel_gradient_p.bind(ct, y, geometry=geometry),
)
ad.defbilinear(
    kernel_gradient_p,
    lambda ct, x, y, geometry: input_gradient_p.bind(y, ct, geometry=geometry),
    lambda ct, x, y, geometry: conv_p.bind(x, ct, geometry=geometry),
)


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _precision(precision: Any) -> Any:
    """Settled when the call is traced: the lowering may run after a context has ended."""
    if precision is None:
        return getattr(jax.config, "jax_default_matmul_precision")  # noqa: B009
    return tuple(precision) if isinstance(precision, list) else precision


def _fast(x: Array, kernel: Array, geometry: Geometry) -> bool:
    """Whether the primitives take it; the rest, and what is wrong with it, is left to lax."""
    shape = (*x.shape, *kernel.shape, *geometry.out, *geometry.size)
    return (
        x.dtype == kernel.dtype
        and jnp.issubdtype(x.dtype, jnp.floating)
        and all(isinstance(n, int) and n > 0 for n in shape)
    )


def conv(
    x: Array,
    kernel: Array,
    stride: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    groups: int = 1,
    precision: Any = None,
) -> Array:
    """A 2-D convolution, equal to `lax.conv_general_dilated` in NHWC, HWIO.

    Args:
        x: [B, H, W, ci].
        kernel: [kh, kw, ci / groups, co], taken in the dtype of x.
        stride: one, or one of each axis.
        padding: "SAME", "VALID", one number for all sides, or (low, high) of each axis.
        groups: number of groups the channels fall into.
        precision: as `lax.conv_general_dilated` takes it.

    Returns:
        [B, H', W', co], of the dtype of x.
    """
    if isinstance(padding, int):
        padding = ((padding, padding),) * 2
    return conv_general_dilated(
        x,
        kernel.astype(x.dtype),
        _pair(stride),
        padding,
        feature_group_count=groups,
        precision=precision,
    )


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = LAYOUT,
    feature_group_count: int = 1,
    precision: Any = None,
) -> Array:
    """`lax.conv_general_dilated` as Flax calls it: fast where `conv` is, lax otherwise."""
    general = functools.partial(
        lax.conv_general_dilated,
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dimension_numbers,
        feature_group_count=feature_group_count,
        precision=precision,
    )
    dilated = {*(lhs_dilation or (1,)), *(rhs_dilation or (1,))} != {1}
    if lhs.ndim != 4 or rhs.ndim != 4 or dilated:
        return general()
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    if numbers != lax.conv_dimension_numbers(lhs.shape, rhs.shape, LAYOUT):
        return general()
    groups, ci, co = feature_group_count, lhs.shape[3], rhs.shape[3]
    if rhs.shape[2] * groups != ci or co % groups:
        return general()
    size, kernel, strides = _pair(lhs.shape[1:3]), _pair(rhs.shape[:2]), _pair(window_strides)
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(size, kernel, strides, padding)
    (top, bottom), (left, right) = padding
    pads = ((int(top), int(bottom)), (int(left), int(right)))
    geometry = Geometry(size, kernel, strides, pads, groups, _precision(precision))
    return conv_p.bind(lhs, rhs, geometry=geometry) if _fast(lhs, rhs, geometry) else general()


def conv_transpose(
    x: Array,
    kernel: Array,
    stride: int | Sequence[int],
    padding: str | Sequence[tuple[int, int]] = "SAME",
    precision: Any = None,
) -> Array:
    """A 2-D transposed convolution, equal to `lax.conv_transpose` (`transpose_kernel=False`).

    It is the input gradient of a convolution with the kernel flipped: no dilated input, of which
    3 in 4 pixels are zero at stride 2.

    Args:
        x: [B, H, W, ci].
        kernel: [kh, kw, ci, co], taken in the dtype of x.
        stride: one, or one of each axis.
        padding: "SAME" gives stride * H; "VALID" all that the kernel reaches; or what to add
            (low, high) to each axis of the dilated input.
        precision: as `lax.conv_transpose` takes it.

    Returns:
        [B, H', W', co], of the dtype of x.
    """
    kernel = kernel.astype(x.dtype)
    strides, size, taps = _pair(stride), x.shape[1:3], kernel.shape[:2]
    sides = tuple(zip(taps, strides, strict=True))
    if padding == "SAME":
        # lax.conv_transpose: the extra pixel of an odd sum goes first, unless the stride is longer.
        lows = tuple(k - 1 if s > k - 1 else (k + s - 1) // 2 for k, s in sides)
        pads = tuple((low, k + s - 2 - low) for low, (k, s) in zip(lows, sides, strict=True))
    elif padding == "VALID":
        pads = tuple((k - 1, s - 1 + max(k - s, 0)) for k, s in sides)
    elif isinstance(padding, str):
        raise ValueError(f"expected 'SAME', 'VALID' or (low, high) of each axis, got {padding!r}")
    else:
        pads = tuple((int(low), int(high)) for low, high in padding)
    out = tuple(
        (n - 1) * s + 1 + sum(p) - k + 1 for n, p, (k, s) in zip(size, pads, sides, strict=True)
    )
    back = tuple((k - 1 - low, k - 1 - high) for k, (low, high) in zip(taps, pads, strict=True))
    rows, columns = back
    geometry = Geometry(
        _pair(out), _pair(taps), strides, (rows, columns), precision=_precision(precision)
    )
    if not _fast(x, kernel, geometry):
        return lax.conv_transpose(
            x, kernel, strides, pads, dimension_numbers=LAYOUT, precision=precision
        )
    flipped = jnp.flip(kernel, (0, 1)).transpose(0, 1, 3, 2)
    return input_gradient_p.bind(x, flipped, geometry=geometry)


class Conv(nn.Conv):
    """`flax.linen.Conv` through the convolutions of this file; fields and parameters are Flax's."""

    conv_general_dilated_cls: Any = lambda: conv_general_dilated


class ConvTranspose(nn.Module):
    """`flax.linen.ConvTranspose` for images; parameters are Flax's.

    Attributes:
        features: channels out.
        kernel_size: height and width.
        strides: one, or one of each axis.
        padding: as `conv_transpose` takes it.
        use_bias: whether to add a bias.
        dtype: to compute in; None for that of input and parameters.
        param_dtype: of the parameters.
        precision: as `lax.conv_transpose` takes it.
        kernel_init: initialiser of the kernel, [kh, kw, ci, co].
        bias_init: initialiser of the bias, [co].
    """

    features: int
    kernel_size: Sequence[int]
    strides: int | Sequence[int] = 1
    padding: str | Sequence[tuple[int, int]] = "SAME"
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: Callable = nn.initializers.lecun_normal()
    bias_init: Callable = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Applies the layer. x: [B, H, W, ci]; returns [B, H', W', features]."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        y = conv_transpose(x, kernel, self.strides, self.padding, self.precision)
        return y if bias is None else plus(y, bias.reshape(1, 1, 1, -1))
