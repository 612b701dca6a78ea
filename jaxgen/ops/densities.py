"""Log-densities of the standard base distributions, and nats against bits/dim.

Every function that sums over an event takes and returns float32 or wider: a likelihood of
thousands of dimensions does not survive a sum in bfloat16.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

LN2 = math.log(2.0)


def sum_event(x: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """Sums all axes but the first: [B, ...] -> [B], in float32 or wider."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.sum(x, axis=tuple(range(1, x.ndim)))


def normal_log_prob(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Of the standard normal, elementwise, in nats."""
    return -0.5 * (jnp.square(z) + math.log(2 * math.pi))


def logistic_log_prob(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Of the standard logistic, elementwise, in nats."""
    return -jax.nn.softplus(z) - jax.nn.softplus(-z)


def logistic_mass(
    x: Num[Array, "*shape"],
    mean: Float[Array, "*shape"],
    log_scale: Float[Array, "*shape"],
    levels: int,
) -> Float[Array, "*shape"]:
    """Log mass of the integers 0 .. levels - 1 under a logistic of x brought to [-1, 1].

    A value has the mass of its interval of width 2 / (levels - 1), the first and the last that of
    their tails. Exact, without the density as a stand-in where the mass is small:
    s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)).

    Source: Salimans et al. 2017, PixelCNN++, section 2.1.
    """
    half = 1.0 / (levels - 1)
    inverse = jnp.exp(-log_scale)
    centred = x * (2 * half) - 1 - mean
    upper, lower = inverse * (centred + half), inverse * (centred - half)
    first, last = x == 0, x == levels - 1
    width = jnp.where(first | last, 1.0, 2 * half * inverse)
    inner = jnp.log(-jnp.expm1(-width))
    below = jnp.where(last, 0.0, jax.nn.log_sigmoid(upper))
    above = jnp.where(first, 0.0, jax.nn.log_sigmoid(-lower))
    return below + above + jnp.where(first | last, 0.0, inner)


def uniform_log_prob(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Of the uniform density on [0, 1], elementwise, in nats: 0 inside, -inf outside."""
    return jnp.where((z >= 0) & (z <= 1), 0.0, -jnp.inf)


# name -> (log-density, sampler), all standard and elementwise
BASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "normal": (normal_log_prob, jax.random.normal),
    "logistic": (logistic_log_prob, jax.random.logistic),
    "uniform": (uniform_log_prob, jax.random.uniform),
}


def tree_log_prob(base: str, z: Any) -> Float[Array, " b"]:
    """Log-density of latents under independent standard densities, in nats.

    Args:
        base: a key of `BASES`.
        z: a pytree of [B, ...].
    """
    log_prob, _ = BASES[base]
    return functools.reduce(jnp.add, (sum_event(log_prob(leaf)) for leaf in jax.tree.leaves(z)))


def tree_sample(base: str, rng: Any, shapes: Any, temperature: Any = 1.0) -> Any:
    """Latents drawn from the standard density and multiplied by `temperature`.

    Args:
        base: a key of `BASES`.
        rng: a key; each leaf draws with its own.
        shapes: a pytree of arrays or `ShapeDtypeStruct`s.
        temperature: of every leaf; 0 gives the centre of a normal or logistic base.
    """
    _, sampler = BASES[base]
    leaves, tree = jax.tree.flatten(shapes)
    keys = [jax.random.fold_in(rng, i) for i in range(len(leaves))]
    draws = [sampler(k, s.shape, s.dtype) for k, s in zip(keys, leaves, strict=True)]
    return tree.unflatten([temperature * z for z in draws])


def nats_to_bits_per_dim(nats: Any, dims: int) -> Any:
    """The one place where nats become bits/dim."""
    return nats / (dims * LN2)
