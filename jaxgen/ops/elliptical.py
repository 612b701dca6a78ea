"""Draws from a posterior whose likelihood can be computed, with a prior made of normal noise.

Elliptical slice sampling turns a point of standard normal noise on a random ellipse until its
likelihood is above a random level. It has no step size, takes no gradient, and never leaves the
prior's support, as the parameters are a function of the noise. Chains start at candidates from the
prior, drawn by their likelihood, so that modes far from each other have their share from the start.

Source: Murray et al. 2010, "Elliptical slice sampling" (AISTATS); the start by importance
resampling is that of the benchmark of Lueckmann et al. 2021 (AISTATS), appendix H.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Noise = Float[Array, "n d"]
LogLikelihood = Callable[[Noise], Float[Array, " n"]]


class Chains(NamedTuple):
    """Where N chains are, each at a move of its own.

    Attributes:
        rounds: of proposals so far.
        moves: that each has made, int32 [N].
        u: points [N, D].
        value: their log-likelihoods.
        other: the other axis of each ellipse.
        level: log-likelihood that a proposal must reach.
        angle: of the proposal.
        low: end of the bracket of angles.
        high: the other end.
    """

    rounds: Any
    moves: Any
    u: Any
    value: Any
    other: Any
    level: Any
    angle: Any
    low: Any
    high: Any


def start(rng: Any, log_likelihood: LogLikelihood, dims: int, num: int, candidates: int) -> Noise:
    """Points of `candidates` from the prior, drawn with replacement by their likelihood, [num, D].

    Args:
        rng: a key.
        log_likelihood: of noise [N, D], in nats, up to a constant.
        dims: D.
        num: of points.
        candidates: how many there are to choose from.
    """
    of_noise, of_choice = jax.random.split(rng)
    u = jax.random.normal(of_noise, (candidates, dims))
    value = _finite(log_likelihood(u))
    share = jax.nn.softmax(jnp.where(jnp.max(value) > -jnp.inf, value, 0.0))
    return u[jax.random.choice(of_choice, candidates, (num,), p=share)]


def elliptical_slice(rng: Any, log_likelihood: LogLikelihood, u: Noise, moves: int) -> Noise:
    """The chains' points after that many moves each, [N, D].

    A chain whose proposal is taken begins its next move at once, while others still look: as many
    evaluations are made as the slowest chain needs for all of its moves. The result is that of
    chains which wait for each other.

    Args:
        rng: a key.
        log_likelihood: of noise [N, D], in nats, up to a constant; not a number is none at all.
        u: where they start, draws of a standard normal that the likelihood is to weigh.
        moves: of each chain.
    """

    def begun(key: Any, u: Any, value: Any) -> tuple[Any, ...]:
        """The axis, level, angle and bracket of a new move."""
        of_axis, of_level, of_angle = jax.random.split(key, 3)
        other = jax.random.normal(of_axis, u.shape, u.dtype)
        level = value - jax.random.exponential(of_level, value.shape, value.dtype)
        angle = jax.random.uniform(of_angle, value.shape, value.dtype, 0, 2 * math.pi)
        return other, level, angle, angle - 2 * math.pi, angle

    def body(c: Chains) -> Chains:
        of_move, of_bracket = jax.random.split(jax.random.fold_in(rng, c.rounds))
        cos, sin = jnp.cos(c.angle)[:, None], jnp.sin(c.angle)[:, None]
        proposal = c.u * cos + c.other * sin
        value = _finite(log_likelihood(proposal))
        taken = (value >= c.level) & (c.moves < moves)
        u = jnp.where(taken[:, None], proposal, c.u)
        value = jnp.where(taken, value, c.value)
        low = jnp.where(c.angle < 0, c.angle, c.low)
        high = jnp.where(c.angle < 0, c.high, c.angle)
        part = jax.random.uniform(of_bracket, value.shape, value.dtype)
        other, level, *bracket = begun(of_move, u, value)
        shrunk = (low + part * (high - low), low, high)
        return Chains(
            c.rounds + 1,
            c.moves + taken,
            u,
            value,
            jnp.where(taken[:, None], other, c.other),
            jnp.where(taken, level, c.level),
            *(jnp.where(taken, a, b) for a, b in zip(bracket, shrunk, strict=True)),
        )

    value = _finite(log_likelihood(u))
    none = jnp.zeros(value.shape, jnp.int32)
    first = begun(jax.random.fold_in(rng, 0), u, value)
    chains = Chains(jnp.int32(1), none, u, value, *first)
    return jax.lax.while_loop(lambda c: jnp.any(c.moves < moves), body, chains).u


def _finite(value: Any) -> Any:
    return jnp.where(jnp.isnan(value), -jnp.inf, value)
