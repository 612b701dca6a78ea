"""Simulators: what draws observations from parameters, with the density of neither known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Theta = Float[Array, "n d"]
Observed = Float[Array, "n e"]


@dataclasses.dataclass(frozen=True)
class Simulator:
    """A prior and a stochastic map from parameters to observations.

    Attributes:
        prior: (key, count) -> parameters [count, D].
        simulate: (key, [N, D]) -> observations [N, E]; a simulation that failed has a value
            that is not finite.
        low: lower end of each parameter's support, None where it has none.
        high: upper ends.
    """

    prior: Callable[[Any, int], Theta]
    simulate: Callable[[Any, Theta], Observed]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


LINEAR_SHIFT, LINEAR_VARIANCE, LINEAR_DIMS = -1.0, 0.3, 3


def _normal_prior(key: Any, count: int) -> Theta:
    return jax.random.normal(key, (count, LINEAR_DIMS))


def _linear(key: Any, theta: Theta) -> Observed:
    noise = jax.random.normal(key, theta.shape, theta.dtype)
    return theta + LINEAR_SHIFT + math.sqrt(LINEAR_VARIANCE) * noise


def linear_gaussian_posterior(observed: Observed) -> tuple[Theta, float]:
    """Means [N, D] and the variance of each parameter, of the simulator `linear_gaussian`."""
    variance = 1 / (1 + 1 / LINEAR_VARIANCE)
    return variance * (observed - LINEAR_SHIFT) / LINEAR_VARIANCE, variance


def _box_prior(key: Any, count: int) -> Theta:
    return jax.random.uniform(key, (count, 2), minval=-1.0, maxval=1.0)


def _two_moons(key: Any, theta: Theta) -> Observed:
    """A crescent, moved by (-|a + b|, b - a) / sqrt(2): two parameters explain each point."""
    of_angle, of_radius = jax.random.split(key)
    limit = math.pi / 2
    angle = jax.random.uniform(of_angle, theta.shape[:1], theta.dtype, -limit, limit)
    radius = 0.1 + 0.01 * jax.random.normal(of_radius, theta.shape[:1], theta.dtype)
    crescent = jnp.stack([radius * jnp.cos(angle) + 0.25, radius * jnp.sin(angle)], axis=-1)
    total, difference = theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]
    return crescent + jnp.stack([-jnp.abs(total), difference], axis=-1) / math.sqrt(2)


SIMULATORS = {
    # as in the tests of the package sbi: x = theta - 1 + noise of variance 0.3, theta standard
    "linear_gaussian": Simulator(_normal_prior, _linear),
    # Greenberg et al. 2019, Automatic posterior transformation, appendix A.1
    "two_moons": Simulator(_box_prior, _two_moons, low=(-1.0, -1.0), high=(1.0, 1.0)),
}
