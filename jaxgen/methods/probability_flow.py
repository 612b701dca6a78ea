"""What methods share that move noise to data by an ODE: its density."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.methods.denoising import Denoising
from jaxgen.ops.densities import nats_to_bits_per_dim, normal_log_prob, sum_event
from jaxgen.ops.ode import MOST_EXACT, transported
from jaxgen.types import Array, Batch, Given, Metrics, State


@dataclasses.dataclass(frozen=True)
class ProbabilityFlow(Denoising):
    """Says how probable data are by the ODE whose solutions have the marginals of the path.

    log p(x) = log N(z_1) + the integral of div v along the way from x to z_1. Of integers, noise
    fills the room between grey levels first, and it is a bound in expectation.

    Source: Chen et al. 2018, Neural ordinary differential equations, equation 8; Song et al. 2021,
    Score-based generative modeling through SDEs, equation 39.

    Attributes:
        solver_steps: of the classical Runge-Kutta method, four evaluations each. Few say something
            that is no likelihood: with twice as many it ought to be the same. 0 leaves it out of
            `evaluate`.
        exact: take the divergence itself, a pass for each dimension, of at most 128; else an
            estimate without bias, by one random direction for an example.
    """

    solver_steps: int = 12
    exact: bool = False

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.exact and self.spec.dims > MOST_EXACT:
            raise ConfigError(
                f"exact=True takes a pass for each of the {self.spec.dims} dimensions of "
                f"{self.spec.name}, expected {MOST_EXACT} at most: leave it out"
            )

    def velocity(self, state: State, z: Array, t: Array, cond: Array | None) -> Array:
        """dz/dt of the probability flow at z [B, ...] and the time t, a scalar."""
        raise NotImplementedError

    @property
    def density(self) -> DensityOf:
        """Of the solver, in so many steps."""
        kind, given = f"ode-{self.solver_steps}", self.givens.columns
        if self.spec.levels is None:
            return DensityOf(kind, "density", self.spec.dims, given=given, per="unit of x")
        return DensityOf(kind, "mass", self.spec.dims, given=given, levels=self.spec.levels)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        if not self.solver_steps:
            return {}
        return {"nll" if self.spec.levels is None else "bpd": self.density}

    def columns(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`bpd` [B] of integers, `nll` [B] in nats of points; {} without solver steps."""
        if not self.solver_steps:
            return {}
        nats = -self._log_prob(state, batch["x"], self.givens.of_batch(batch), rng)
        if self.spec.levels is None:
            return {"nll": nats}
        return {"bpd": nats_to_bits_per_dim(nats, self.spec.dims)}

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats.

        Raises:
            ConfigError: for a method that counts without solver steps.
        """
        if not self.solver_steps:
            raise ConfigError("log_prob: config.method.solver_steps is 0")
        return self._log_prob(state, x, self.givens.of_call(given, x.shape[0]), rng)

    def _log_prob(self, state: State, x: Array, cond: Array | None, rng: Array) -> Array:
        noise, key = jax.random.split(rng)
        path, dims = self.path(state), self.spec.dims
        unit = -self.log_volume
        if self.spec.levels is not None:
            unit = dims * math.log(2 / (self.spec.levels - 1))
        first = self.rung(0, 1)
        z = path.alpha(first) * self.dequantized(x, noise)
        probe = None if self.exact else jax.random.rademacher(key, z.shape, z.dtype)

        def velocity(z: Array, t: Array) -> Array:
            return self.velocity(state, z, t, cond)

        z, logdet = transported(velocity, z, lambda u: self.rung(u, 1), self.solver_steps, probe)
        sigma = path.sigma(self.rung(1, 1))
        prior = sum_event(normal_log_prob(z / sigma)) - dims * jnp.log(sigma)
        return prior + logdet + dims * jnp.log(path.alpha(first)) + unit
