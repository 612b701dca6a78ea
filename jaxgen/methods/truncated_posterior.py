"""Posterior estimation in rounds about one observation: simulate where the posterior may be.

Source: Deistler et al. 2022, "Truncated proposals for scalable and hassle-free simulation-based
inference" (NeurIPS), section 3 and algorithm 1. After each round the prior is cut to the region
that holds all but a small share of the posterior so far, and the next simulations are drawn from
that. Within it the proposal is proportional to the prior, so that the loss stays that of one round:
no weights and no atoms as of Greenberg et al. 2019 are needed, and the density is one throughout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.posterior import Posterior
from jaxgen.methods.simulated import KnownPrior
from jaxgen.types import Array, Batch, Metrics, Params, State, Vars

ROWS = "simulations"  # the vars that hold them
DRAWS, CHUNK = 10_000, 10_000  # of the posterior, for the threshold; of the prior at a time


@dataclasses.dataclass(frozen=True)
class TruncatedPosterior(KnownPrior, Posterior):
    """Minimises -log q(parameters | observation) over simulations that it asks for itself.

    The first round simulates from the prior, each later one from the prior where q, given the
    observation, is above the quantile `outside` of its own draws. All rounds are trained on. They
    are part of the state, so that a resumed run is the one that was never stopped; a simulation
    with a value that is not finite is left out. Examples of the data are not trained on: they only
    evaluate, which says little, as far from the observation q is not fitted any more.

    Attributes:
        simulator: parameters [N, D] -> observations [N, E]; see `models.science.simulators`.
        observation: what the posterior is wanted of, E numbers.
        rounds: how often is simulated.
        simulations: of a round, at most.
        round_steps: train steps from one round to the next.
        outside: share of the posterior that the cut may lose.
        candidates: draws of the prior that a round looks at for the region: as many simulations
            are run as are found in it, up to `simulations`.
    """

    simulator: Any = dataclasses.field(kw_only=True)
    observation: Sequence[float] = dataclasses.field(kw_only=True)
    rounds: int = 10
    simulations: int = 1000
    round_steps: int = 500
    outside: float = 1e-4
    candidates: int = 1_000_000

    def __post_init__(self) -> None:
        """Checks observation and rounds."""
        super().__post_init__()
        self.observations(self.observation)
        counts = (self.rounds, self.simulations, self.round_steps)
        if min(counts) < 1 or self.candidates < self.simulations or not 0 < self.outside < 1:
            raise ConfigError(
                "config.method: expected 1 or more rounds, simulations and round_steps, at least "
                "as many candidates as simulations, and 0 < outside < 1"
            )

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Simulates the first round, on which it initialises the model."""
        of_model, of_prior, of_noise = jax.random.split(rng, 3)
        theta = self._from_prior(of_prior, self.simulations)
        found, count = self._simulated(of_noise, theta, jnp.ones(len(theta), bool))
        good = found[jnp.arange(len(found)) % jnp.maximum(count, 1)]
        params, variables = super().init(of_model, {"x": good})
        room = jnp.zeros(((self.rounds - 1) * self.simulations, self.spec.dims), found.dtype)
        rows = jnp.concatenate([found, room])
        begun = {"rows": rows, "count": count, "round": jnp.int32(1), "inside": jnp.float32(1)}
        return params, variables | {ROWS: begun}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean negative log-likelihood in nats, of simulations drawn with replacement."""
        of_round, of_batch, of_model = jax.random.split(rng, 3)
        held = self._next_round(state, of_round)
        at = jax.random.randint(of_batch, (len(batch["x"]),), 0, jnp.maximum(held["count"], 1))
        nll, (_, metrics) = super().loss(state, {"x": held["rows"][at]}, of_model)
        metrics |= {ROWS: held["count"].astype(jnp.float32), "inside": held["inside"]}
        return nll, (state.vars | {ROWS: held}, metrics)

    def _next_round(self, state: State, rng: Array) -> dict[str, Array]:
        """The simulations, with those of a round that is due."""
        held = state.vars[ROWS]
        due = (held["round"] < self.rounds) & (state.step >= held["round"] * self.round_steps)
        still = jax.lax.stop_gradient(state)
        return jax.lax.cond(due, lambda: self._round(still.averaged(), rng), lambda: held)

    def _round(self, state: State, rng: Array) -> dict[str, Array]:
        held = state.vars[ROWS]
        of_draws, of_prior, of_noise = jax.random.split(rng, 3)
        observed = self.observations(self.observation)

        def density(theta: Array) -> Array:
            seen = jnp.broadcast_to(observed, (len(theta), self.observed))
            return self.log_prob(state, jnp.concatenate([theta, seen], axis=1), of_draws)

        least = jnp.quantile(
            density(self.sample(state, of_draws, DRAWS, observed[0])), self.outside
        )

        size = min(CHUNK, self.candidates)

        def found(number: Array) -> tuple[Array, Array]:
            theta = self._from_prior(jax.random.fold_in(of_prior, number), size)
            return theta, density(theta) >= least

        chunks = -(-self.candidates // size)
        theta, inside = jax.lax.map(found, jnp.arange(chunks))
        theta, inside = theta.reshape(-1, self.parameters), inside.reshape(-1)
        first = jnp.argsort(~inside, stable=True)[: self.simulations]
        rows, count = self._simulated(of_noise, theta[first], inside[first])
        return {
            "rows": jax.lax.dynamic_update_slice_in_dim(held["rows"], rows, held["count"], 0),
            "count": held["count"] + count,
            "round": held["round"] + 1,
            "inside": jnp.mean(inside.astype(jnp.float32)),
        }

    def _from_prior(self, rng: Array, num: int) -> Array:
        return self.prior.of_noise(jax.random.normal(rng, (num, self.parameters)))

    def _simulated(self, rng: Array, theta: Array, wanted: Array) -> tuple[Array, Array]:
        """Rows [N, D + E], those that are wanted and did not fail first, and how many these are."""
        observed = self.simulator.apply({}, theta, rngs={"noise": rng})
        rows = jnp.concatenate([theta, observed], axis=1)
        good = wanted & jnp.all(jnp.isfinite(rows), axis=1)
        order = jnp.argsort(~good, stable=True)
        return jnp.where(good[:, None], rows, 0.0)[order], jnp.sum(good, dtype=jnp.int32)
