"""Priors of a simulator's parameters, as functions of standard normal noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.ops.densities import normal_log_prob

Rows = Float[Array, "*n d"]
Scalars = Float[Array, "*n"]


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Of a box.

    Attributes:
        low: lower ends, D of them.
        high: upper ends.
    """

    low: Sequence[float]
    high: Sequence[float]

    def of_noise(self, u: Rows) -> Rows:
        """Draws of the prior, of as many of a standard normal."""
        low, high = (_along(v, u) for v in (self.low, self.high))
        # beyond its rounding, low + width may exceed the upper end
        return jnp.clip(low + (high - low) * jax.scipy.stats.norm.cdf(u), low, high)

    def log_prob(self, theta: Rows) -> Scalars:
        """In nats, -inf outside."""
        low, high = (_along(v, theta) for v in (self.low, self.high))
        inside = jnp.all((low <= theta) & (theta <= high), axis=-1)
        return jnp.where(inside, -jnp.sum(jnp.log(high - low)), -jnp.inf)


@dataclasses.dataclass(frozen=True)
class Normal:
    """Of independent parameters.

    Attributes:
        mean: D of them.
        std: deviations.
    """

    mean: Sequence[float]
    std: Sequence[float]

    def of_noise(self, u: Rows) -> Rows:
        """Draws of the prior, of as many of a standard normal."""
        return _along(self.mean, u) + _along(self.std, u) * u

    def log_prob(self, theta: Rows) -> Scalars:
        """In nats."""
        mean, std = (_along(v, theta) for v in (self.mean, self.std))
        return jnp.sum(normal_log_prob((theta - mean) / std) - jnp.log(std), axis=-1)


def _along(values: Sequence[float], x: Rows) -> Array:
    """[D] as [1, ..., D], for rank promotion is refused."""
    return jnp.asarray(values, x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
