"""Variational fit of a flow to a density known up to its constant, by the reverse KL divergence.

Source: Rezende & Mohamed 2015, "Variational Inference with Normalizing Flows" (ICML), equations
15 and 20; the estimators of the fit are those of Rezende et al. 2020, "Normalizing Flows on Tori
and Spheres" (ICML), section 4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.bijectors.base import Bijector
from jaxgen.config import ConfigError
from jaxgen.methods.player import Player
from jaxgen.ops.densities import BASES, tree_log_prob, tree_sample
from jaxgen.ops.targets import TARGETS, Target
from jaxgen.types import Array, Batch, DataSpec, Metrics, Params, State, Turn, Vars

FIRST_TEMPERATURE = 0.01  # of equation 20


@dataclasses.dataclass(frozen=True)
class ReverseKL:
    """Minimises the free energy E_q[log q(x) - log p(x)] over samples x of the flow.

    Training reads nothing of a batch but its size: the target is that which the data set is
    named after, `ops.targets.TARGETS`. The data are exact draws of it and enter `nll` alone,
    which grows where the flow leaves out a mode; the reverse KL divergence does not see that.

    Attributes:
        model: the bijector, sample -> latent; its inverse should be the cheap direction.
        spec: of the data.
        base: density of the latents: "normal", "logistic" or "uniform".
        anneal_steps: over them the weight of log p rises from 0.01 to 1, so that samples spread
            before they gather; 0 does not anneal. The paper has 10,000.
    """

    model: Bijector
    spec: DataSpec
    base: str = "normal"
    anneal_steps: int = 0

    def __post_init__(self) -> None:
        """Checks the options against each other and against the data."""
        if self.base not in BASES:
            raise ValueError(f"base={self.base!r}, expected one of {sorted(BASES)}")
        if self.anneal_steps < 0:
            raise ValueError(f"anneal_steps={self.anneal_steps}, expected 0 or more")
        if self.spec.name not in TARGETS:
            raise ConfigError(
                f"config.data.name={self.spec.name!r} has no known density to fit, expected one "
                f"of {', '.join(TARGETS)}"
            )

    @property
    def target(self) -> Target:
        """What is fitted."""
        return TARGETS[self.spec.name]

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the model moves down its own free energy."""
        return (Turn("model", self.loss),)

    @property
    def density(self) -> DensityOf:
        """Of a point."""
        return DensityOf("exact", "density", self.spec.dims, per=self.model.per)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the column of `evaluate`."""
        return {"nll": self.density}

    @property
    def player(self) -> Player:
        """The model."""
        return Player("model", self.model)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on standard normal noise: it may not look at the target."""
        noise, own = jax.random.split(rng)
        x = jax.random.normal(noise, batch["x"].shape, batch["x"].dtype)
        params, variables = self.player.init({"params": own}, x)
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean free energy in nats, with the target annealed."""
        log_q, log_p = self._draw(state, rng, len(batch["x"]))[1:]
        weight = jnp.float32(1.0)
        if self.anneal_steps:
            progress = state.step.astype(jnp.float32) / self.anneal_steps
            weight = jnp.minimum(1.0, FIRST_TEMPERATURE + progress)
        metrics = {
            "free_energy": jnp.mean(log_q - log_p),
            "ess": jnp.mean(self._weights(log_q, log_p)["ess"]),
            "anneal": weight,
        }
        return jnp.mean(log_q - weight * log_p), (state.vars, metrics)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Of as many samples as examples, and `nll` of the examples; [B] each.

        `free_energy` is never below -log Z, and `kl` is by how much it is above, both in nats
        and in expectation. `ess` is the effective sample size of importance weights p / q as a
        fraction, `log_z` the estimate of log Z by them. `nll`, in nats, is at its least when it
        equals the entropy of the target.
        """
        _, log_q, log_p = self._draw(state, rng, len(batch["x"]))
        return {
            "kl": log_q - log_p + self.target.log_z,
            "free_energy": log_q - log_p,
            **self._weights(log_q, log_p),
            "nll": -self.log_prob(state, batch["x"], rng),
        }

    def log_prob(self, state: State, x: Array, rng: Array) -> Array:
        """[B], in nats, of given points."""
        z, logdet = self.player.apply(state, x)
        return tree_log_prob(self.base, z) + logdet

    def encode(self, state: State, x: Array, rng: Array) -> Any:
        """Points to latents."""
        return self.player.apply(state, x)[0]

    def decode(self, state: State, z: Any, rounded: bool = False) -> Array:
        """Latents to points, which have no grey levels: `rounded` or not, they are the same."""
        return self.player.apply(state, z, method="inverse")[0]

    def sample(self, state: State, rng: Array, num: int, temperature: float = 1.0) -> Array:
        """Samples of the flow, [num, D].

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            temperature: that multiplies the latents.
        """
        return self.decode(state, self._latents(state, rng, num, temperature))

    def _latents(self, state: State, rng: Array, num: int, temperature: float = 1.0) -> Any:
        x = jax.ShapeDtypeStruct((num, *self.spec.shape), jnp.float32)
        shapes = jax.eval_shape(lambda x: self.player.apply(state, x)[0], x)
        return tree_sample(self.base, rng, shapes, temperature)

    def _draw(self, state: State, rng: Array, num: int) -> tuple[Array, Array, Array]:
        """Samples, their log-density under the flow, and under the target but for log Z."""
        z = self._latents(state, rng, num)
        x, logdet = self.player.apply(state, z, method="inverse")
        return x, tree_log_prob(self.base, z) - logdet, self.target.log_density(x)

    def _weights(self, log_q: Array, log_p: Array) -> Metrics:
        """Two statistics of all weights w = p / q, each as values [B] that average to it.

        They are its influence functions: f(mean w, mean w^2) to first order in each example, so
        that the spread of the values is that of the estimate, too.
        """
        log_w = log_p - log_q
        top = jnp.max(log_w)
        w = jnp.exp(log_w - top)
        mean, square = jnp.mean(w), jnp.mean(jnp.square(w))
        ess = jnp.square(mean) / square
        return {
            "ess": ess * (2 * w / mean - jnp.square(w) / square),
            "log_z": top + jnp.log(mean) + w / mean - 1,
        }
