"""Inverses of increasing functions that have no closed form, with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

X = Float[Array, "*shape"]
MOST_STEPS = 200  # bisection alone settles before; NaN never does


def norm(x: Float[Array, "*rows d"]) -> Float[Array, "*rows"]:
    """Euclidean length of the last axis; its gradient at zero is zero."""
    square = jnp.sum(jnp.square(x), axis=-1)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)


def invert_increasing(f: Callable[[X], tuple[X, X]], y: X, low: X, high: X) -> X:
    """x in [low, high] with f(x) = y, elementwise.

    Newton's method, replaced by bisection wherever a step leaves the bracket or is not half the
    step before. Derivatives of any order, forward and reverse, are those of the implicit
    function theorem and do not see the iteration.

    Source: Press et al. 2007, Numerical recipes, section 9.4.

    Args:
        f: increasing, elementwise, to (value, logarithm of the slope); it may close over what
            is differentiated.
        y: values of f; one that f takes outside of the bracket gives the nearer end.
        low: where f is at most y.
        high: where f is at least y.
    """
    eps = jnp.finfo(y.dtype).eps

    def unsettled(carry: tuple[Any, ...]) -> Array:
        _, _, x, step, count = carry
        tolerance = 2 * eps * jnp.maximum(jnp.abs(x), 1.0)
        return (count < MOST_STEPS) & jnp.any(~(jnp.abs(step) <= tolerance))

    def solve(_: Any, start: X) -> X:
        def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
            low, high, x, step, count = carry
            value, log_slope = f(x)
            low, high = jnp.where(value <= y, x, low), jnp.where(value >= y, x, high)
            newton = x + (y - value) * jnp.exp(-log_slope)
            inside = (newton >= low) & (newton <= high)
            fast = jnp.abs(newton - x) <= 0.5 * jnp.abs(step)
            new = jnp.where(inside & fast, newton, 0.5 * low + 0.5 * high)
            return low, high, new, new - x, count + 1

        ends = jax.lax.stop_gradient((low, high))
        carry = (*ends, start, 2 * (ends[1] - ends[0]), 0)
        return jax.lax.while_loop(unsettled, body, carry)[2]

    def tangent_solve(linear: Callable[[X], X], value: X) -> X:
        return value / linear(jnp.ones_like(value))

    start = jax.lax.stop_gradient(0.5 * low + 0.5 * high)
    return jax.lax.custom_root(lambda x: f(x)[0] - y, start, solve, tangent_solve)
