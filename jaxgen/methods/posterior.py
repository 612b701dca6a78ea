"""Amortised simulation-based inference: the posterior density of parameters given an observation.

Source: Papamakarios & Murray 2016, "Fast epsilon-free inference of simulation models with Bayesian
conditional density estimation" (NeurIPS), section 2, where the proposal is the prior; Greenberg et
al. 2019, "Automatic posterior transformation" (ICML), is about proposals that are not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.bijectors.base import Bijector, Chain
from jaxgen.bijectors.box import Box
from jaxgen.methods.simulated import Simulated
from jaxgen.ops.densities import tree_log_prob
from jaxgen.types import Array, Batch, Metrics, Params, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class Posterior(Simulated):
    """Minimises -log q(parameters | observation) over simulated pairs.

    Where the prior has a box as its support, so has q: no sample is ever outside, and none is
    rejected.

    The model is the bijector, parameters -> noise, given observations.
    """

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the model moves down its own negative log-likelihood."""
        return (Turn("model", self.loss),)

    @property
    def density(self) -> DensityOf:
        """Of a row's parameters given its observation, in their own units."""
        about = DensityOf("exact", "density", self.parameters, "parameters", per="unit of x")
        return dataclasses.replace(about, given=("observation",))

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the column of `evaluate`."""
        return {"nll": self.density}

    @property
    def support(self) -> Bijector:
        """From the support of the prior to real numbers; it has no parameters."""
        if self.low is None or self.high is None:
            return Chain(())
        return Box(tuple(self.low), tuple(self.high))

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch, whose statistics it keeps."""
        theta, observed = self.split(batch["x"])
        theta, _ = self.support.apply({}, theta)
        params, variables = self.player.init({"params": rng}, theta, observed)
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean negative log-likelihood in nats."""
        nll = -jnp.mean(self._log_prob(state, *self.split(batch["x"]), rngs={"dropout": rng}))
        return nll, (state.vars, {"nll": nll})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`nll` [B] in nats of the parameters given the observation."""
        return {"nll": -self.log_prob(state, batch["x"], rng)}

    def log_prob(self, state: State, x: Array, rng: Array) -> Array:
        """[B], in nats, of the parameters of rows [B, D + E] given their observations."""
        return self._log_prob(state, *self.split(x))

    def posterior(
        self, state: State, rng: Array, x: Array, num: int
    ) -> tuple[Array, Array, Array, Array]:
        """Draws from the posterior of every row's observation, and what they compare with.

        Args:
            state: of the model.
            rng: a key.
            x: rows [B, D + E].
            num: draws for each.

        Returns:
            The rows' own parameters [B, D], their log-density [B] in nats, the draws
            [B, num, D] and the log-densities [B, num] of the draws.
        """
        theta, observed = self.split(x)
        repeated = jnp.repeat(observed, num, axis=0)
        z = jax.random.normal(rng, (len(repeated), self.parameters), observed.dtype)
        draws, logdet = self._decode(state, z, repeated)
        log_prob = tree_log_prob("normal", z) - logdet
        shape = (len(x), num)
        own = self._log_prob(state, theta, observed)
        return theta, own, draws.reshape(*shape, -1), log_prob.reshape(shape)

    def sample(
        self, state: State, rng: Array, num: int, observation: Any = None, temperature: float = 1.0
    ) -> Array:
        """Draws from the posterior of one observation, [num, D].

        Args:
            state: of the model.
            rng: a key.
            num: number of draws.
            observation: E numbers.
            temperature: that multiplies the noise.

        Raises:
            ConfigError: without an observation, or for other numbers.
        """
        given = self.observations(observation)
        z = temperature * jax.random.normal(rng, (num, self.parameters))
        return self._decode(state, z, jnp.broadcast_to(given, (num, self.observed)))[0]

    def _decode(self, state: State, z: Array, observed: Array) -> tuple[Array, Array]:
        theta, logdet = self.player.apply(state, z, observed, method="inverse")
        theta, after = self.support.apply({}, theta, method="inverse")
        return theta, logdet + after

    def _log_prob(self, state: State, theta: Array, observed: Array, **options: Any) -> Array:
        theta, before = self.support.apply({}, theta)
        z, logdet = self.player.apply(state, theta, observed, **options)
        return tree_log_prob("normal", z) + logdet + before
