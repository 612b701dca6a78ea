"""Largest singular values of many kernels at once, by power iteration.

Source: Yoshida & Miyato 2017, "Spectral Norm Regularization", algorithm 1; kernels of the same
shape are iterated together, as in the official code of NVAE. A kernel [kh, kw, ci, co] is read as
the matrix [kh * kw * ci, co], not as the convolution's operator.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array
Sides = dict[str, tuple[Array, Array]]  # left and right vectors by shape


def matrices(kernels: list[Array]) -> dict[str, Array]:
    """Kernels [..., kh, kw, ci, co] to matrices [N, kh * kw * ci, co] by shape, as "27x32"."""
    shapes: dict[str, list[Array]] = {}
    for kernel in kernels:
        columns = kernel.shape[-1]
        rows = kernel.shape[-4] * kernel.shape[-3] * kernel.shape[-2]
        shapes.setdefault(f"{rows}x{columns}", []).append(kernel.reshape(-1, rows, columns))
    return {name: jnp.concatenate(shapes[name]) for name in sorted(shapes)}


def _unit(x: Array) -> Array:
    """[N, D], each of norm one, unless it is very short."""
    return x / jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(x), -1, keepdims=True)), 1e-3)


def start(rng: Array, weights: dict[str, Array]) -> dict[str, Array]:
    """Random right vectors, [N, co] for each shape of `matrices`."""
    keys = jax.random.split(rng, len(weights))
    sides = {name: (len(w), w.shape[2]) for name, w in weights.items()}
    return {
        name: _unit(jax.random.normal(key, sides[name]))
        for name, key in zip(weights, keys, strict=True)
    }


def power_iteration(
    weights: dict[str, Array], vectors: dict[str, Array], times: int
) -> tuple[Array, dict[str, Array]]:
    """The sum of all largest singular values, and better right vectors.

    The left vectors need not be kept: they are the first thing that an iteration computes. The
    gradient of a singular value is the product of its two vectors, which are constants.

    Args:
        weights: as `matrices` gives them.
        vectors: as `start` gave, or this function.
        times: iterations.
    """
    still = jax.lax.stop_gradient(weights)

    def improve(_: Any, sides: Sides) -> Sides:
        return {name: _improved(w, *sides[name]) for name, w in still.items()}

    # a loop: the compiler would take minutes over dozens of iterations of dozens of shapes
    sides = {name: (_unit(w[:, :, 0]), vectors[name]) for name, w in still.items()}
    sides = jax.lax.fori_loop(0, times, improve, sides)
    norms = (
        jnp.einsum("nr,nrc,nc->", sides[name][0], w, sides[name][1]) for name, w in weights.items()
    )
    return functools.reduce(jnp.add, norms), {name: right for name, (_, right) in sides.items()}


def _improved(w: Array, _: Array, right: Array) -> tuple[Array, Array]:
    """Left vectors [N, rows] and right ones [N, co], from the right ones alone."""
    left = _unit(jnp.einsum("nrc,nc->nr", w, right))
    return left, _unit(jnp.einsum("nrc,nr->nc", w, left))
