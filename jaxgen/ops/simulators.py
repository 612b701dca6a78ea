"""Simulators: what draws observations from parameters, with the density of neither known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.ops.densities import normal_log_prob

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
        log_likelihood: (parameters [N, D], one observation [E]) -> [N], in nats, where it is known:
            of references, no method sees it.
    """

    prior: Callable[[Any, int], Theta]
    simulate: Callable[[Any, Theta], Observed]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None
    log_likelihood: Callable[[Theta, Float[Array, " e"]], Float[Array, " n"]] | None = None


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


def _uniform(dims: int, end: float) -> Callable[[Any, int], Theta]:
    """Draws of the cube of half side `end`."""

    def prior(key: Any, count: int) -> Theta:
        return jax.random.uniform(key, (count, dims), minval=-end, maxval=end)

    return prior


MOON_RADIUS, MOON_WIDTH, MOON_OFFSET = 0.1, 0.01, 0.25


def _moved(theta: Theta) -> Observed:
    """Where the crescent of two moons is: two parameters explain each place."""
    total, difference = theta[:, 0] + theta[:, 1], theta[:, 1] - theta[:, 0]
    return jnp.stack([-jnp.abs(total), difference], axis=-1) / math.sqrt(2)


def crescent(key: Any, count: int) -> Observed:
    """The noise of two moons, [count, 2]."""
    of_angle, of_radius = jax.random.split(key)
    limit = math.pi / 2
    angle = jax.random.uniform(of_angle, (count,), minval=-limit, maxval=limit)
    radius = MOON_RADIUS + MOON_WIDTH * jax.random.normal(of_radius, (count,))
    x = radius * jnp.cos(angle) + MOON_OFFSET
    return jnp.stack([x, radius * jnp.sin(angle)], axis=-1)


def _two_moons(key: Any, theta: Theta) -> Observed:
    return crescent(key, len(theta)) + _moved(theta)


def _two_moons_likelihood(theta: Theta, observed: Float[Array, " e"]) -> Float[Array, " n"]:
    """In polar coordinates normal by uniform; the area of the plane there is r dr da."""
    x, y = (observed[None] - _moved(theta)).T
    x = x - MOON_OFFSET
    radius = jnp.sqrt(jnp.square(x) + jnp.square(y))
    z = (radius - MOON_RADIUS) / MOON_WIDTH
    log_density = normal_log_prob(z) - jnp.log(math.pi * MOON_WIDTH * radius)
    return jnp.where(x > 0, log_density, -jnp.inf)


SLCP_POINTS, SLCP_FLOOR = 4, 1e-6  # points in the plane; what is added to both variances


def _slcp_factors(theta: Theta) -> tuple[Any, Any, Any]:
    """Cholesky factors a, b, c of the covariance: a, and (b, c) of the second number, [N] each."""
    first, second = jnp.square(theta[:, 2]), jnp.square(theta[:, 3])
    covariance = jnp.tanh(theta[:, 4]) * first * second
    a = jnp.sqrt(jnp.square(first) + SLCP_FLOOR)
    b = covariance / a
    return a, b, jnp.sqrt(jnp.square(second) + SLCP_FLOOR - jnp.square(b))


def _slcp(key: Any, theta: Theta) -> Observed:
    a, b, c = (factor[:, None] for factor in _slcp_factors(theta))
    z, w = jax.random.normal(key, (2, len(theta), SLCP_POINTS), theta.dtype)
    x, y = theta[:, :1] + a * z, theta[:, 1:2] + b * z + c * w
    return jnp.stack([x, y], axis=-1).reshape(len(theta), 2 * SLCP_POINTS)


def _slcp_likelihood(theta: Theta, observed: Float[Array, " e"]) -> Float[Array, " n"]:
    a, b, c = (factor[:, None] for factor in _slcp_factors(theta))
    x, y = observed[None, ::2], observed[None, 1::2]
    z = (x - theta[:, :1]) / a
    w = (y - theta[:, 1:2] - b * z) / c
    each = normal_log_prob(z) + normal_log_prob(w) - jnp.log(a * c)
    return jnp.sum(each, axis=1)


SIMULATORS = {
    # as in the tests of the package sbi: x = theta - 1 + noise of variance 0.3, theta standard
    "linear_gaussian": Simulator(_normal_prior, _linear),
    # Greenberg et al. 2019, Automatic posterior transformation, appendix A.1
    "two_moons": Simulator(
        _uniform(2, 1.0), _two_moons, (-1.0,) * 2, (1.0,) * 2, _two_moons_likelihood
    ),
    # simple likelihood, complex posterior: Papamakarios et al. 2019, Sequential neural likelihood,
    # with the floor of the benchmark's code (sbi-benchmark/sbibm, tasks/slcp)
    "slcp": Simulator(_uniform(5, 3.0), _slcp, (-3.0,) * 5, (3.0,) * 5, _slcp_likelihood),
}
