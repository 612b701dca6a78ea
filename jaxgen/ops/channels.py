"""Per-channel parameters spread over all positions, with a gradient that is fast on CPU.

The gradient of a bias is a sum over all positions of an array [..., C]. XLA's CPU backend walks
such a sum down its columns, at a tenth of the speed of memory; as a product with ones it is as
fast as memory is. `spread`, `channel_sum` and `scale_channels` are (bi)linear primitives whose
transposes are each other, so that autodiff of any order stays within them, and none of them keeps
more than its operands for the backward pass.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float


def spread(v: Float[Array, " c"], shape: Sequence[int]) -> Float[Array, "*positions c"]:
    """[C] to `shape`, [..., C]: the same channels at every position."""
    if tuple(shape[-1:]) != v.shape:
        raise ValueError(f"spread: {v.shape[0]} channels do not fit the shape {tuple(shape)}")
    return spread_p.bind(v, shape=tuple(shape))


def channel_sum(x: Float[Array, "*positions c"]) -> Float[Array, " c"]:
    """[..., C] to [C]: the sum over all positions."""
    return channel_sum_p.bind(x)


def scale_channels(
    x: Float[Array, "*positions c"], scale: Float[Array, " _"]
) -> Float[Array, "*positions c"]:
    """[..., C] times [C]."""
    if x.shape[-1:] != scale.shape:
        raise ValueError(f"{scale.shape[0]} scales do not fit the channels of {x.shape}")
    return scale_p.bind(x, scale)


def _spread(v: Array, *, shape: tuple[int, ...]) -> Array:
    return lax.broadcast_in_dim(v, shape, (len(shape) - 1,))


def _sum(x: Array) -> Array:
    return jnp.sum(x, tuple(range(x.ndim - 1)))


def _sum_on_cpu(x: Array) -> Array:
    rows = math.prod(x.shape[:-1])
    wide = jnp.promote_types(x.dtype, jnp.float32)
    ones, x = jnp.ones((1, rows), x.dtype), x.reshape(rows, x.shape[-1])
    dims = (((1,), (0,)), ((), ()))
    total = lax.dot_general(
        ones, x, dims, precision=lax.Precision.HIGHEST, preferred_element_type=wide
    )
    return total[0].astype(x.dtype)


def _scale(x: Array, scale: Array) -> Array:
    return x * lax.broadcast_in_dim(scale, x.shape, (x.ndim - 1,))


def _primitive(name: str, shape: Callable, run: Callable) -> Primitive:
    primitive = Primitive(name)
    primitive.def_impl(lambda *args, **static: jax.jit(functools.partial(run, **static))(*args))
    primitive.def_abstract_eval(lambda a, *_, **static: ShapedArray(shape(a, **static), a.dtype))
    mlir.register_lowering(primitive, mlir.lower_fun(run, multiple_results=False))

    def batch(args: Sequence[Array], dims: Sequence[int | None], **static: Any) -> Any:
        return jax.vmap(functools.partial(run, **static), dims)(*args), 0

    batching.primitive_batchers[primitive] = batch
    return primitive


spread_p = _primitive("spread", lambda v, shape: shape, _spread)
channel_sum_p = _primitive("channel_sum", lambda x: x.shape[-1:], _sum)
scale_p = _primitive("scale_channels", lambda x: x.shape, _scale)
mlir.register_lowering(channel_sum_p, mlir.lower_fun(_sum_on_cpu, multiple_results=False), "cpu")
ad.deflinear2(spread_p, lambda ct, v, shape: [channel_sum_p.bind(ct)])
ad.deflinear2(channel_sum_p, lambda ct, x: [spread_p.bind(ct, shape=x.aval.shape)])
ad.defbilinear(
    scale_p,
    lambda ct, x, scale: scale_p.bind(ct, scale),
    lambda ct, x, scale: channel_sum_p.bind(x * ct),
)
