"""Integrals of functions with parameters, differentiated without storing their evaluations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

X = Float[Array, "*shape"]


def clenshaw_curtis(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1], [n + 1] each, exact for polynomials of degree n.

    Source: Clenshaw & Curtis 1960, A method for numerical integration on an automatic computer.
    """
    k = np.arange(n + 1)
    j = np.arange(1, n // 2 + 1)
    cosines = np.cos(2 * np.pi * np.outer(k, j) / n)
    terms = np.where(2 * j == n, 1.0, 2.0) / (4.0 * j**2 - 1)
    weights = np.where((k == 0) | (k == n), 1.0, 2.0) / n * (1 - cosines @ terms)
    return (1 - np.cos(np.pi * k / n)) / 2, weights / 2


def _sum(f: Callable[[X], X], low: X, high: X, n: int) -> X:
    """The quadrature, one node at a time; a backward pass evaluates f again at each."""
    nodes, weights = (jnp.asarray(v, low.dtype) for v in clenshaw_curtis(n))

    @jax.checkpoint
    def term(node: Array, weight: Array) -> X:
        return weight * f(low + (high - low) * node)

    def body(total: X, at: tuple[Array, Array]) -> tuple[X, None]:
        return total + term(*at), None

    total, _ = jax.lax.scan(body, jnp.zeros_like(low), (nodes, weights))
    return (high - low) * total


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 4))
def integral(f: Callable[[X, Any], X], low: X, high: X, theta: Any, n: int) -> X:
    """Integral of f(t, theta) over t from `low` to `high`, elementwise, by Clenshaw-Curtis.

    Its derivatives are by the rule of Leibniz: f at the ends for the limits, and the integral of
    df/dtheta for the parameters, in memory that does not grow with the number of nodes.

    Source: Wehenkel & Louppe 2019, Unconstrained monotonic neural networks, section 3.2 and
    appendix B; the limits may both be differentiated.

    Args:
        f: (t, theta) -> [*shape], a pure function that closes over no traced value.
        low: lower limit.
        high: upper limit.
        theta: a pytree.
        n: the rule has n + 1 nodes.
    """
    return _sum(lambda t: f(t, theta), low, high, n)


@integral.defjvp
def _leibniz(f: Callable[[X, Any], X], n: int, primals: Any, tangents: Any) -> tuple[X, X]:
    low, high, theta = primals
    d_low, d_high, d_theta = tangents

    def change(t: X) -> X:
        return jax.jvp(lambda theta: f(t, theta), (theta,), (d_theta,))[1]

    ends = f(high, theta) * d_high - f(low, theta) * d_low
    return integral(f, low, high, theta, n), ends + _sum(change, low, high, n)
