"""Parameters in float32 beside activations in less: sums of their slopes are exact enough."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float


def plus(x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
    """x + v in float32 at least, given back in the dtype of x.

    The slope by v, which is broadcast, is a sum over positions; in bfloat16, whose sums lose what
    is 256 times smaller, it would be wrong in the first digit.
    """
    return (x.astype(jnp.promote_types(x.dtype, v.dtype)) + v).astype(x.dtype)


def times(x: Float[Array, "..."], v: Float[Array, "..."]) -> Float[Array, "..."]:
    """x v, as `plus`."""
    return (x.astype(jnp.promote_types(x.dtype, v.dtype)) * v).astype(x.dtype)


def narrow(x: Float[Array, "..."], dtype: str | None) -> Float[Array, "..."]:
    """x in the dtype of a computation; None leaves it."""
    return x if dtype is None else x.astype(dtype)


def wide(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x in float32 at least."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
