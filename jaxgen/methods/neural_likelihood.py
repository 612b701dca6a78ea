"""A likelihood learned from simulations: the density of an observation given parameters.

Source: Papamakarios et al. 2019, "Sequential neural likelihood" (AISTATS), in the form of one
round, whose proposal is the prior. The posterior is the prior times what was learned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.methods.chains import Chained
from jaxgen.ops.densities import tree_log_prob
from jaxgen.types import Array, Batch, Metrics, Params, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class NeuralLikelihood(Chained):
    """Minimises -log q(observation | parameters) over simulated pairs.

    Simulations may come from anywhere in the prior's support, and several observations of the
    same parameters take no further training. The model is the bijector, observation -> noise,
    given parameters.
    """

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the model moves down its own negative log-likelihood."""
        return (Turn("model", self.loss),)

    @property
    def density(self) -> DensityOf:
        """Of a row's observation given its parameters, in its own units."""
        about = DensityOf("exact", "density", self.observed, "observation", per="unit of x")
        return dataclasses.replace(about, given=("parameters",))

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the column of `evaluate`."""
        return {"nll": self.density}

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch, whose statistics it keeps."""
        theta, observed = self.split(batch["x"])
        params, variables = self.player.init({"params": rng}, observed, theta)
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean negative log-likelihood in nats."""
        theta, observed = self.split(batch["x"])
        nll = -jnp.mean(self.log_likelihood(state, theta, observed, rngs={"dropout": rng}))
        return nll, (state.vars, {"nll": nll})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`nll` [B] in nats of the observation given the parameters."""
        return {"nll": -self.log_prob(state, batch["x"], rng)}

    def log_prob(self, state: State, x: Array, rng: Array) -> Array:
        """[B], in nats, of the observations of rows [B, D + E] given their parameters."""
        return self.log_likelihood(state, *self.split(x))

    def log_likelihood(self, state: State, theta: Array, observed: Array, **options: Any) -> Array:
        """[N], in nats, of observations [N, E] given parameters [N, D]."""
        z, logdet = self.player.apply(state, observed, theta, **options)
        return tree_log_prob("normal", z) + logdet
