"""Masked generation: values are drawn some at a time, given those that are there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.ops import choice
from jaxgen.ops.observations import Categorical
from jaxgen.types import Array, Batch, Given, Metrics, State, Vars

ORDERS = ("confidence", "random")


@dataclasses.dataclass(frozen=True)
class Masked(Autoregressive):
    """Minimises -log p of masked values given the others, a share of cos(pi r / 2), r uniform.

    Drawn one value at a time in a random order, an example has a probability whose bound is counted
    here: of n values, -log p(x) <= E_k (n / k) sum over a random set of k masked ones of
    -log p(x_i | those that are not masked), k uniform from 1 to n. Drawn several at a time, or the
    surest first, examples follow no distribution that is counted.

    Source: Chang et al. 2022, MaskGIT, sections 3.1 and 3.2; the bound: Hoogeboom et al. 2022,
    Autoregressive diffusion models, equation 4.

    Attributes:
        smoothing: of the targets in the loss (official code: 0.1).
        draws: of the bound in `evaluate`, spread over k.
    """

    smoothing: float = 0.0
    draws: int = 8
    # a value's probability given those before it is not what the network says
    entry_log_probs: ClassVar[Any] = None
    entry_start: ClassVar[Any] = None
    entry_next: ClassVar[Any] = None

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if not isinstance(self.decoder, Categorical):
            raise ConfigError(f"observation={self.observation!r}: masked values are 'categorical'")
        if self.draws < 1 or not 0 <= self.smoothing < 1:
            raise ConfigError("draws: expected 1 or more; smoothing: a share below 1")

    @property
    def density(self) -> DensityOf:
        """A bound, of `draws` draws."""
        return dataclasses.replace(super().density, kind=f"masked-{self.draws}")

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        return {"bpd": self.density, "nll": self.density}

    @property
    def mask(self) -> int:
        """What stands for a masked value."""
        return self.head.values

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean nats of a masked value, with dropout and smoothed targets."""
        dropout, drop, share, which = jax.random.split(rng, 4)
        x, cond = batch["x"], self.dropped(self.givens.of_batch(batch), drop)
        count = self.spec.dims
        ratio = jnp.cos(jax.random.uniform(share, (x.shape[0], 1)) * (math.pi / 2))
        chosen = lowest(jax.random.uniform(which, (x.shape[0], count)), jnp.ceil(ratio * count))
        options = {"train": True, "rngs": {"dropout": dropout}}
        theta, state = self.player.train(state, self._seen(x, chosen), self.head, cond, **options)
        log_p = jax.nn.log_softmax(self._logits(theta))
        nats = -jnp.take_along_axis(log_p, self._tokens(x)[..., None], -1)[..., 0]
        smooth = (1 - self.smoothing) * nats - self.smoothing * jnp.mean(log_p, -1)
        total = jnp.sum(chosen)
        loss = jnp.sum(jnp.where(chosen, smooth, 0)) / total
        metrics = {"nats": jnp.sum(jnp.where(chosen, nats, 0)) / total}
        return loss, (state.vars, metrics | {"masked": total / chosen.size})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """The bound, [B] each: `bpd`, of text bits per token, and `nll`, nats per example."""
        return self.values_of(self._bound(state, batch["x"], self.givens.of_batch(batch), rng))

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats, a lower bound in expectation: see the class."""
        return self._bound(state, x, self.givens.of_call(given, x.shape[0]), rng)

    def _bound(self, state: State, x: Array, cond: Any, rng: Array) -> Array:
        count = self.spec.dims

        def draw(number: Array) -> Array:
            share, which = jax.random.split(jax.random.fold_in(rng, number))
            u = (number + jax.random.uniform(share, (x.shape[0], 1))) / self.draws
            k = jnp.clip(jnp.floor(u * count) + 1, 1, count)
            chosen = lowest(jax.random.uniform(which, (x.shape[0], count)), k)
            return self.of_masked(state, x, chosen, cond) * count / k[:, 0]

        return jnp.mean(jax.lax.map(draw, jnp.arange(self.draws)), axis=0)

    def of_masked(self, state: State, x: Array, chosen: Array, cond: Any = None) -> Array:
        """log p [B] of the values chosen [B, D], each given those that are not."""
        theta = self.player.apply(state, self._seen(x, chosen), self.head, cond)
        log_p = jax.nn.log_softmax(self._logits(theta))
        found = jnp.take_along_axis(log_p, self._tokens(x)[..., None], -1)[..., 0]
        return jnp.sum(jnp.where(chosen, found, 0), axis=1)

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
        rounds: int = 8,
        order: str = "confidence",
        noise: float = 4.5,
    ) -> Array:
        """Draws all values, keeps the surest, and draws the others again.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: see `Autoregressive.sample`, as the next four.
            temperature: see there.
            top_k: see there.
            top_p: see there.
            guidance: see there.
            rounds: passes over the example; as many as values draw one at a time.
            order: "confidence" keeps the likeliest draws of a round, "random" any: with as many
                rounds as values it is the order of the bound.
            noise: of the confidence, falling to zero (official code: 4.5).

        Raises:
            ConfigError: for a knob that the model has no use for.
        """
        x = jnp.zeros((num, *self.spec.shape), self.spec.x.dtype)
        known = jnp.zeros(x.shape, bool)
        knobs = (temperature, top_k, top_p, guidance, rounds, order, noise)
        return self.complete(state, x, known, rng, given, *knobs)

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
        rounds: int = 8,
        order: str = "confidence",
        noise: float = 4.5,
    ) -> Array:
        """x with what is not known drawn, wherever it is.

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
            rounds: see there.
            order: see there.
            noise: see there.

        Raises:
            ConfigError: for a knob that the model has no use for.
        """
        if order not in ORDERS or rounds < 1:
            raise ConfigError(f"order={order!r}, rounds={rounds}: expected one of {ORDERS}, and 1+")
        if guidance is not None and not self.null:
            raise ConfigError("guidance: this model was not trained without its condition")
        key, classes = jax.random.split(rng)
        cond = self.givens.of_call(given, x.shape[0], classes)
        known = known.reshape(x.shape[0], -1)
        unknown = jnp.sum(~known, axis=1, keepdims=True)
        tokens = jnp.where(known, self._tokens(x), self.mask)

        def turn(tokens: Array, number: Array) -> tuple[Array, None]:
            pick, mix = jax.random.split(jax.random.fold_in(key, number))
            logits = self._asked(state, tokens, cond, guidance)
            drawn = choice.draw(pick, logits, temperature, top_k, top_p)
            masked = tokens == self.mask
            drawn = jnp.where(masked, drawn, tokens)
            log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), drawn[..., None], -1)[..., 0]
            done = (number + 1) / rounds
            sure = jax.random.gumbel(mix, log_p.shape)
            if order == "confidence":
                sure = log_p + noise * (1 - done) * sure
            left = jnp.floor(unknown * _left(order, done) + 1e-4)  # of a whole number, itself
            left = jnp.minimum(jnp.maximum(left, 1), jnp.sum(masked, 1, keepdims=True) - 1)
            left = jnp.where(number + 1 == rounds, 0, left)
            again = lowest(jnp.where(masked, sure, jnp.inf), left)
            return jnp.where(again, self.mask, drawn), None

        tokens, _ = jax.lax.scan(turn, tokens, jnp.arange(rounds))
        return tokens.reshape(x.shape).astype(x.dtype)

    def _asked(self, state: State, tokens: Array, cond: Any, guidance: Any) -> Array:
        """Logits [B, D, K]."""
        if guidance is not None and cond is not None:
            tokens, cond = jnp.concatenate([tokens] * 2), jnp.concatenate([cond, 0 * cond])
        x = tokens.reshape(tokens.shape[0], *self.spec.shape)
        logits = self._logits(self.player.apply(state, x, self.head, cond))
        if guidance is None or cond is None:
            return logits
        own, null = jnp.split(logits, 2)
        return choice.guided(own, null, guidance)

    def _seen(self, x: Array, chosen: Array) -> Array:
        """x with a mask over the chosen [B, D]."""
        return jnp.where(chosen, self.mask, self._tokens(x)).reshape(x.shape)

    def _tokens(self, x: Array) -> Array:
        """int32 [B, D]."""
        return x.reshape(x.shape[0], -1).astype(jnp.int32)

    def _logits(self, theta: Array) -> Array:
        """[B, D, K], in float32 or wider."""
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
        return theta.reshape(theta.shape[0], self.spec.dims, self.head.values)


def lowest(values: Array, count: Array) -> Array:
    """bool [B, D]: the `count` [B, 1] lowest of each row; of equal ones the first."""
    order = jnp.argsort(jnp.argsort(values, axis=1), axis=1)
    return order < count


def _left(order: str, done: Array) -> Array:
    """Share of the values that is masked after so much of the rounds."""
    return jnp.cos(done * (math.pi / 2)) if order == "confidence" else 1 - done
