"""Paths between two latents, any pytrees of [B, ...]."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.types import Array, PyTree

Path = Callable[[PyTree, PyTree, Array], PyTree]


def linear(a: PyTree, b: PyTree, t: Array) -> PyTree:
    """Points of straight lines: (1 - t) a + t b, for leaves [B, ...] and t [B]."""
    return jax.tree.map(lambda x, y: x + _along(t, x) * (y - x), a, b)


def spherical(a: PyTree, b: PyTree, t: Array) -> PyTree:
    """Points of great circles, with lengths that move linearly.

    Source: Shoemake 1985, Animating rotation with quaternion curves, as an
    orthogonal frame of the plane of both, which is exact also for small t.

    Args:
        a: a pytree with leaves [B, ...]; one vector an example, all leaves together.
        b: like `a`.
        t: [B], in [0, 1].
    """
    a_length, b_length = _length(a), _length(b)
    a_unit, b_unit = _scaled(a, 1 / a_length), _scaled(b, 1 / b_length)
    cosine = _inner(a_unit, b_unit)
    across = jax.tree.map(lambda x, y: y - _along(cosine, x) * x, a_unit, b_unit)
    sine = _length(across)
    across = _scaled(across, 1 / jnp.maximum(sine, 1e-12))
    angle = t * jnp.arctan2(sine, cosine)  # an arc cosine of nearly 1 is off by 3e-4 in float32
    length = a_length + t * (b_length - a_length)
    first, second = length * jnp.cos(angle), length * jnp.sin(angle)
    return jax.tree.map(jnp.add, _scaled(a_unit, first), _scaled(across, second))


def _along(t: Array, x: Array) -> Array:
    """[B] with the rank of x."""
    return t.reshape(-1, *[1] * (x.ndim - 1))


def _scaled(a: PyTree, t: Array) -> PyTree:
    return jax.tree.map(lambda x: _along(t, x) * x, a)


def _inner(a: PyTree, b: PyTree) -> Array:
    """[B], over all leaves."""
    parts: Any = jax.tree.map(lambda x, y: jnp.sum(x * y, axis=tuple(range(1, x.ndim))), a, b)
    return functools.reduce(jnp.add, jax.tree.leaves(parts))


def _length(a: PyTree) -> Array:
    return jnp.sqrt(_inner(a, a))


PATHS: dict[str, Path] = {"linear": linear, "spherical": spherical}
