"""An autoencoder of codes that a discriminator and a perceptual distance judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.methods.judging import Judging
from jaxgen.methods.quantized import Codes, QuantizedAutoencoder, code_metrics
from jaxgen.schedules import value
from jaxgen.types import Array, Batch, Given, Metrics, Params, State, Vars


@dataclasses.dataclass(frozen=True)
class VQGAN(Judging, QuantizedAutoencoder):
    """Minimises the losses of the quantiser, and those of `Judging`.

    There is no likelihood here, and so no `log_prob`.

    Source: Esser et al. 2021, Taming transformers for high-resolution image synthesis, section 3.1,
    equations 4 to 7; the configs of the official code have a `game_weight` of 0.8.
    """

    observation: str = "gaussian"

    log_prob: Any = None  # the ability `Density` is taken away

    def __post_init__(self) -> None:
        """Checks the options."""
        QuantizedAutoencoder.__post_init__(self)
        if self.observation != "gaussian":
            raise ConfigError(f"config.method.observation={self.observation!r}: omit it")
        if self.given:
            raise ConfigError("config.method.given: a VQGAN is given nothing: omit it")
        Judging.__post_init__(self)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """None."""
        return {}

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players on the first batch."""
        params, variables = QuantizedAutoencoder.init(self, rng, batch)
        return self.with_judge(params, variables, batch, rng)

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the autoencoder pays."""

        def show(state: State) -> tuple[Array, Any]:
            coding, moved = self.coded(state, batch, rng)
            return 2 * coding.theta - 1, (coding, moved)

        found = self.judged(state, batch["x"], show)
        coding, moved = found.aux
        codes = jnp.sum(jnp.stack([of.loss for of in coding.codes.values()]))
        total = found.loss + value(self.codes_weight, state.step) * codes
        metrics = found.metrics | {"codes": codes} | code_metrics(coding)
        own = {"model": moved.vars["model"], "discriminator": found.moved}
        return total, (state.vars | own, metrics)

    def shown(self, state: State, x: Array) -> Array:
        """See `Judging`."""
        found = self.player.apply(state, self.scaled(x), self.size(x.shape[0]))
        return 2 * found.theta - 1

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """See `Judging.errors`."""
        theta = self.theta(state, self.ids(state, batch["x"]))
        return self.errors(batch["x"], 2 * theta - 1)

    def sample(self, state: State, rng: Array, num: int, given: Given = None) -> Array:
        """Data of codes drawn evenly, real grey levels: there is no prior here."""
        return super().sample(state, rng, num, given, mean=True)

    def code_log_prob(self, state: State, x: Array, z: Codes, given: Given = None) -> Array:
        """None.

        Raises:
            ConfigError: always: what a discriminator judged is no likelihood.
        """
        raise ConfigError("a decoder that a discriminator judged has no likelihood of integers")
