"""Exact maximum likelihood, one position of an example after another."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.methods.givens import Givens, chosen, without
from jaxgen.methods.player import Player
from jaxgen.methods.raster import Raster
from jaxgen.nn.heads import Head
from jaxgen.ops import choice
from jaxgen.ops.densities import nats_to_bits_per_dim
from jaxgen.ops.observations import (
    Categorical,
    Enumerable,
    LogisticMixture,
    Observation,
    observation,
)
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

WITHOUT_CHANNELS = ("tokens", "layout")  # kinds of fields


@dataclasses.dataclass(frozen=True)
class Autoregressive:
    """Minimises -log p(x), the sum over positions of -log p(x_t | x_<t), in raster order.

    Networks are `nn.heads.Causal`.

    Source: van den Oord et al. 2016, Pixel recurrent neural networks, equations 1 and 2; Salimans
    et al. 2017, PixelCNN++ ("logistic_mixture").

    Attributes:
        model: network.
        spec: of the data, integers.
        observation: of a position, "categorical", "bernoulli", "logistic" or "logistic_mixture".
        mixtures: of "logistic_mixture".
        given: fields of a batch that the model is given, as ("label",). The context always is,
            where the data have one.
        null: share of the training examples whose condition is left out, for `guidance`.
    """

    model: Any
    spec: DataSpec
    observation: str = "categorical"
    mixtures: int = 10
    given: tuple[str, ...] = ()
    null: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options against the data."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        decoder = self.decoder
        if not decoder.is_mass:
            raise ValueError(f"observation={self.observation!r} is no mass of integers")
        if not 0 <= self.null < 1 or (self.null and not self.given):
            raise ValueError(f"null={self.null}, expected a share below 1, and config.method.given")

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the model moves down its own negative log-likelihood."""
        return (Turn("model", self.loss),)

    @property
    def levels(self) -> int | None:
        """Grey levels that are modelled."""
        return self.spec.levels

    @property
    def givens(self) -> Givens:
        """What the model is given."""
        return Givens(self.spec, self.given)

    @property
    def density(self) -> DensityOf:
        """Exact, of the integers."""
        given, levels = self.givens.columns, self.spec.levels
        return DensityOf("exact", "mass", self.spec.dims, given=given, levels=levels)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        return {"bpd": self.density, "nll": self.density}

    @property
    def decoder(self) -> Observation:
        """What the model says of a position."""
        return observation(self.observation, self.spec.x.values, self.mixtures)

    @property
    def player(self) -> Player:
        """The model."""
        return Player("model", self.model)

    @property
    def positions(self) -> tuple[int, ...]:
        """Sides of x without its channels."""
        field = self.spec.x
        return field.shape if field.kind in WITHOUT_CHANNELS else field.shape[:-1]

    @property
    def channels(self) -> int:
        """Of a position."""
        return self.spec.dims // math.prod(self.positions)

    @property
    def head(self) -> Head:
        """What the network is asked for."""
        return Head(self.spec.x.values or 0, self.decoder.width(self.channels))

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch."""
        cond = self.givens.of_batch(batch)
        params, variables = self.player.init({"params": rng}, batch["x"], self.head, cond)
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean bits/dim, with dropout."""
        dropout, drop = jax.random.split(rng)
        cond = self.dropped(self.givens.of_batch(batch), drop)
        theta, state = self.player.train(
            state, batch["x"], self.head, cond, train=True, rngs={"dropout": dropout}
        )
        values = self.values_of(self.log_prob_of(batch["x"], theta))
        metrics = {name: jnp.mean(value) for name, value in values.items()}
        return metrics["bpd"], (state.vars, metrics)

    def dropped(self, cond: Array | None, rng: Array) -> Array | None:
        """What examples are given, zeros for the share `null` of them."""
        return without(cond, self.null, rng)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Exact, [B] each: `bpd`, of text bits per token, and `nll`, nats per example."""
        return self.values_of(self._log_prob(state, batch["x"], self.givens.of_batch(batch)))

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats, exact."""
        return self._log_prob(state, x, self.givens.of_call(given, x.shape[0]))

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float | None = None,
    ) -> Array:
        """Draws position after position, each given those before it.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            temperature: 0 takes the likeliest value everywhere.
            top_k: draw among so many likeliest values alone ("categorical").
            top_p: draw among the likeliest values that have this share ("categorical").
            guidance: of the condition, see `ops.choice.guided`: 1 is none. Needs `null`.

        Raises:
            ConfigError: for a knob that the model has no use for.
        """
        x = jnp.zeros((num, *self.spec.shape), self.spec.x.dtype)
        return self._draw(state, rng, x, None, given, temperature, top_k, top_p, guidance)

    def complete(
        self,
        state: State,
        x: Array,
        known: Array,
        rng: Array,
        given: Given = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        guidance: float | None = None,
    ) -> Array:
        """x with what is not known drawn, each position given those before it in raster order.

        A draw of p(unknown | known) where all that is known comes first, as an upper half.

        Args:
            state: of the model.
            x: [B, ...] in the units of the data.
            known: bool, as x: what stays.
            rng: a key.
            given: see `sample`, as the other knobs.
            temperature: see there.
            top_k: see there.
            top_p: see there.
            guidance: see there.

        Raises:
            ConfigError: for a knob that the model has no use for.
        """
        return self._draw(state, rng, x, known, given, temperature, top_k, top_p, guidance)

    def _draw(
        self,
        state: State,
        rng: Array,
        x: Array,
        known: Array | None,
        given: Given,
        temperature: Any,
        top_k: int | None,
        top_p: Any,
        guidance: Any,
    ) -> Array:
        """x with what is not known drawn: all of it, for None."""
        noise, classes = jax.random.split(rng)
        cond = self.givens.of_call(given, x.shape[0], classes)
        if guidance is not None and (not self.null or cond is None):
            raise ConfigError(
                "guidance: this model was not trained without its condition "
                "(config.method.null, with config.method.given): omit it"
            )
        if guidance is not None and isinstance(self.decoder, LogisticMixture):
            raise ConfigError("guidance: of a mixture of logistics there is none: omit it")
        if (top_k, top_p) != (None, None) and not isinstance(self.decoder, Categorical):
            raise ConfigError(
                f"top_k, top_p: are of observation='categorical', this is "
                f"{self.observation!r}: omit them"
            )
        times = 1
        if guidance is not None and cond is not None:
            cond, times = jnp.concatenate([cond, jnp.zeros_like(cond)]), 2

        def pick(key: Array, theta: Array) -> Array:
            return self._pick(key, theta, temperature, top_k, top_p, guidance)

        size = (x.shape[0], math.prod(self.positions), self.channels)
        if known is not None:
            known = known.reshape(size)
        drawn = self.raster.draw(state, noise, x.reshape(size), pick, cond, known, times)
        return drawn.reshape(x.shape)

    def entry_log_probs(self, state: State, x: Array, given: Given = None) -> Array:
        """[B, D, K], in nats, see `abilities.Enumerates`."""
        theta = self.player.apply(state, x, self.head, self.givens.of_call(given, x.shape[0]))
        theta, seen = theta.reshape(-1, self.head.width), x.reshape(-1, self.channels)
        masses = [self._enumerable.log_masses(theta, seen, c) for c in range(self.channels)]
        return jnp.stack(masses, axis=1).reshape(x.shape[0], self.spec.dims, -1)

    def entry_start(self, state: State, x: Array, given: Given = None) -> Any:
        """See `abilities.Enumerates`."""
        return self.raster.start(state, self._flat(x), self.givens.of_call(given, x.shape[0]))

    def entry_next(
        self, state: State, memory: Any, x: Array, entry: Array, given: Given = None
    ) -> tuple[Array, Any]:
        """[B, K] of an entry, in nats, and the memory: see `abilities.Enumerates`."""
        cond, x = self.givens.of_call(given, x.shape[0]), self._flat(x)
        t, channel = entry // self.channels, entry % self.channels
        theta, memory = self.raster.step(state, memory, x, t, cond)
        masses = [self._enumerable.log_masses(theta, x[:, t], c) for c in range(self.channels)]
        return jnp.stack(masses)[channel], memory

    @property
    def _enumerable(self) -> Enumerable:
        decoder = self.decoder
        assert isinstance(decoder, Enumerable)  # all masses are
        return decoder

    def _flat(self, x: Array) -> Array:
        """[B, N, C]: N positions."""
        return x.reshape(x.shape[0], math.prod(self.positions), self.channels)

    @property
    def raster(self) -> Raster:
        """The positions."""
        one_by_one = not isinstance(self.decoder, LogisticMixture) and self.channels > 1
        channelwise = one_by_one and self.model.channelwise
        sizes = self.spec.shape, self.positions, self.channels
        return Raster(self.player, self.head, *sizes, channelwise)

    def _pick(
        self, key: Array, theta: Array, temperature: Any, top_k: Any, top_p: Any, guidance: Any
    ) -> Array:
        """Values [B, C] of a position."""
        decoder = self.decoder
        if not isinstance(decoder, Categorical):
            if guidance is not None:
                theta, null = jnp.split(theta, 2)
                theta = null + guidance * (theta - null)
            return decoder.sample(key, theta, temperature)
        logits = decoder.logits(theta)
        if guidance is not None:
            given, null = jnp.split(logits, 2)
            logits = choice.guided(given, null, guidance)
        return choice.draw(key, logits, temperature, top_k, top_p)

    def _log_prob(self, state: State, x: Array, cond: Any) -> Array:
        return self.log_prob_of(x, self.player.apply(state, x, self.head, cond))

    def log_prob_of(self, x: Array, theta: Array) -> Array:
        """log p(x) [B], in nats, of what the network says."""
        event = x[..., None] if self.spec.x.kind in WITHOUT_CHANNELS else x
        return self.decoder.log_prob(event, theta)

    def values_of(self, log_prob: Array) -> Metrics:
        """Of log-probabilities [B], in nats, the columns of `evaluate`."""
        return {"bpd": nats_to_bits_per_dim(-log_prob, self.spec.dims), "nll": -log_prob}
