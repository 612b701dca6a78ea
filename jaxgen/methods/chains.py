"""Posteriors of a likelihood that is learned: drawn by Markov chains, with a prior that is told."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.simulated import KnownPrior
from jaxgen.ops.elliptical import elliptical_slice, start
from jaxgen.types import Array, State


@dataclasses.dataclass(frozen=True)
class Chained(KnownPrior):
    """What learns a likelihood, or a ratio that is one but for a factor of the observation.

    Every draw is the end of a chain of its own, so that draws are independent but for their starts.

    Attributes:
        candidates: draws of the prior that the chains of one posterior start from.
        moves: of each chain.
    """

    candidates: int = 10_000
    moves: int = 30

    def __post_init__(self) -> None:
        """Checks the chains."""
        super().__post_init__()
        if self.candidates < 1 or self.moves < 0:
            raise ConfigError(
                f"candidates={self.candidates} and moves={self.moves}, expected 1 and 0 or more"
            )

    def log_likelihood(self, state: State, theta: Array, observed: Array) -> Array:
        """Of parameters [N, D] and observations [N, E], [N] in nats, up to what theta is not in."""
        raise NotImplementedError

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
            The rows' own parameters [B, D], their log-density [B] in nats, up to a constant of
            the row, the draws [B, num, D] and the log-densities [B, num] of the draws, up to the
            same.
        """
        theta, observed = self.split(x)
        draws = self._draws(state, rng, observed[:, None], num)
        every = jnp.concatenate([theta[:, None], draws], axis=1)
        value = self._joint(state, every, observed[:, None])
        return theta, value[:, 0], draws, value[:, 1:]

    def sample(self, state: State, rng: Array, num: int, observation: Any = None) -> Array:
        """Draws from the posterior of one observation, or of several of the same parameters.

        Args:
            state: of the model.
            rng: a key.
            num: number of draws, [num, D].
            observation: E numbers, or n times as many for n independent observations.

        Raises:
            ConfigError: without an observation, or for other numbers.
        """
        return self._draws(state, rng, self.observations(observation, True)[None], num)[0]

    def _draws(self, state: State, rng: Array, observed: Array, num: int) -> Array:
        """[B, num, D] given observations [B, n, E]."""
        of_start, of_chains = jax.random.split(rng)
        prior, dims, many = self.prior, self.parameters, len(observed)

        def begun(inputs: tuple[Array, Array]) -> Array:
            number, one = inputs
            key = jax.random.fold_in(of_start, number)

            def value(u: Array) -> Array:
                return self.log_likelihoods(state, prior.of_noise(u)[None], one[None])[0]

            return start(key, value, dims, num, self.candidates)

        u = jax.lax.map(begun, (jnp.arange(many), observed))

        def value(u: Array) -> Array:
            theta = prior.of_noise(u).reshape(many, num, dims)
            return self.log_likelihoods(state, theta, observed).reshape(-1)

        u = elliptical_slice(of_chains, value, u.reshape(many * num, dims), self.moves)
        return prior.of_noise(u).reshape(many, num, dims)

    def _joint(self, state: State, theta: Array, observed: Array) -> Array:
        """Log of prior times likelihood, [B, m] in nats, of [B, m, D] and [B, n, E]."""
        return self.prior.log_prob(theta) + self.log_likelihoods(state, theta, observed)

    def log_likelihoods(self, state: State, theta: Array, observed: Array) -> Array:
        """Of theta [B, m, D] and all of the observations [B, n, E] together, [B, m]."""
        many, m, dims = theta.shape
        n = observed.shape[1]
        rows = jnp.broadcast_to(theta[:, :, None], (many, m, n, dims)).reshape(-1, dims)
        seen = jnp.broadcast_to(observed[:, None], (many, m, n, self.observed))
        value = self.log_likelihood(state, rows, seen.reshape(-1, self.observed))
        return jnp.sum(value.reshape(many, m, n), axis=2)
