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
from jaxgen.config import ConfigError
from jaxgen.methods.player import Player
from jaxgen.ops.densities import tree_log_prob
from jaxgen.types import Array, Batch, DataSpec, Metrics, Params, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class Posterior:
    """Minimises -log q(parameters | observation) over simulated pairs.

    An example is a row of numbers, first the parameters and then the observation, as the
    simulators of `data.name` and a .npy file of one's own give it. Where the prior has a box as
    its support, so has q: no sample is ever outside, and none is rejected.

    Attributes:
        model: the bijector, parameters -> noise, given observations.
        spec: of the data.
        parameters: how many numbers of a row are parameters.
        low: lower ends of the prior's support; None where it has none.
        high: upper ends.
    """

    model: Bijector
    spec: DataSpec
    parameters: int
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None

    def __post_init__(self) -> None:
        """Checks the options against each other and against the data."""
        if self.spec.levels is not None or len(self.spec.shape) != 1:
            raise ConfigError(f"{self.spec.name} does not hold rows of continuous numbers")
        if self.spec.x.units is not None:
            raise ConfigError(
                f"{self.spec.name} is standardised, and posterior.Posterior takes rows in their "
                f"own units: add --config.data.standardize=False"
            )
        if not 0 < self.parameters < self.spec.dims:
            raise ValueError(
                f"parameters={self.parameters}, expected 1 to {self.spec.dims - 1}: rows of "
                f"{self.spec.name} have {self.spec.dims} numbers, and some are the observation"
            )
        if (self.low is None) != (self.high is None):
            raise ValueError("give both low and high, or none of them")
        if self.low is None or self.high is None:
            return
        if not (
            len(self.low) == len(self.high) == self.parameters
            and all(a < b for a, b in zip(self.low, self.high, strict=True))
        ):
            raise ValueError(
                f"low={self.low} and high={self.high}: expected {self.parameters} ends each, "
                f"the lower ones first"
            )

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

    @property
    def player(self) -> Player:
        """The model."""
        return Player("model", self.model)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch, whose statistics it keeps."""
        theta, observed = self._split(batch["x"])
        theta, _ = self.support.apply({}, theta)
        params, variables = self.player.init({"params": rng}, theta, observed)
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean negative log-likelihood in nats."""
        nll = -jnp.mean(self._log_prob(state, *self._split(batch["x"]), rngs={"dropout": rng}))
        return nll, (state.vars, {"nll": nll})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`nll` [B] in nats of the parameters given the observation."""
        return {"nll": -self.log_prob(state, batch["x"], rng)}

    def log_prob(self, state: State, x: Array, rng: Array) -> Array:
        """[B], in nats, of the parameters of rows [B, D + E] given their observations."""
        return self._log_prob(state, *self._split(x))

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
        theta, observed = self._split(x)
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
        wanted = self.spec.dims - self.parameters
        given = jnp.asarray(() if observation is None else observation, jnp.float32)
        if given.shape != (wanted,):
            raise ConfigError(
                f"observation={observation}, expected {wanted} numbers, as "
                f"--observation={','.join(['0.5'] * wanted)}{',' * (wanted == 1)}"
            )
        z = temperature * jax.random.normal(rng, (num, self.parameters))
        return self._decode(state, z, jnp.broadcast_to(given[None], (num, wanted)))[0]

    def _split(self, x: Array) -> tuple[Array, Array]:
        return x[:, : self.parameters], x[:, self.parameters :]

    def _decode(self, state: State, z: Array, observed: Array) -> tuple[Array, Array]:
        theta, logdet = self.player.apply(state, z, observed, method="inverse")
        theta, after = self.support.apply({}, theta, method="inverse")
        return theta, logdet + after

    def _log_prob(self, state: State, theta: Array, observed: Array, **options: Any) -> Array:
        theta, before = self.support.apply({}, theta)
        z, logdet = self.player.apply(state, theta, observed, **options)
        return tree_log_prob("normal", z) + logdet + before
