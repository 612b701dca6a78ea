"""Two players, a generator and a discriminator: any game, any penalties, on the one trainer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen import schedules
from jaxgen.config import ConfigError
from jaxgen.methods.memory import Memory, recalled, remembering
from jaxgen.methods.regularizers import Move, Regularizer, regularized
from jaxgen.methods.two_players import TwoPlayers
from jaxgen.ops.alarms import two_players
from jaxgen.ops.games import accuracies, mean_loss, smoothing
from jaxgen.ops.ranges import real_levels
from jaxgen.ops.scores import deviation, sample_scores
from jaxgen.types import Array, Batch, Given, Metrics, Params, State, Turn, Vars


@dataclasses.dataclass(frozen=True)
class Adversarial(TwoPlayers):
    """Generator and discriminator play a game; regularisers steady it. See `TwoPlayers`.

    Real and generated examples pass the discriminator one after the other, so that batch
    statistics do not mix. The discriminator moves first. What views and regularisers remember is
    in `vars["game"]`.

    Source: Goodfellow et al. 2014, Generative adversarial nets, algorithm 1.
    """

    @property
    def turns(self) -> Sequence[Turn]:
        """The discriminator, its lazy penalties, the generator."""
        terms = [term for term in self.regularizers["discriminator"] if term.every > 1]
        lazy = [
            Turn("discriminator", functools.partial(self.lazy_loss, term), term.every, 1, term.name)
            for term in terms
        ]
        return (
            Turn("discriminator", self.discriminator_loss, times=self.critic_steps),
            *lazy,
            Turn("generator", self.generator_loss, after=self.critic_steps * self.fresh),
        )

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players on a batch, and what views and regularisers remember."""
        keys = jax.random.split(rng, 4)
        cond, z = self.condition(batch), self.latents(keys[2], len(batch["x"]))
        generator = self.source.init(keys[0], keys[1], z, cond)
        logits, *discriminator = self.critic.init(keys[3], self.real(batch), cond)
        made = zip(generator, discriminator, strict=True)
        params, variables = ({"generator": g, "discriminator": d} for g, d in made)
        memory: Memory = self.critic.views.start()
        for player, terms in self.regularizers.items():
            for term in terms:
                memory = term.start(memory, params[player], logits)
        return params, remembering(variables, memory)

    def real(self, batch: Batch) -> Array:
        """What the discriminator takes for real, before it is augmented."""
        return self.scaled(batch["x"])

    def latents(self, rng: Array, num: int) -> Array:
        """Draws of z, [num, latent]."""
        return self.source.latents(rng, num)

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the discriminator pays, with the regularisers of every step."""
        keys = jax.random.split(rng, 6)
        cond, real = self.condition(batch), self.real(batch)
        fake, state = self.source.train(state, keys[0], len(real), cond)
        fake = jax.lax.stop_gradient(fake)
        first, second = (jax.random.fold_in(keys[1], k) for k in (0, 1))
        real_logits, state = self.critic(state, real, cond, first)
        fake_logits, state = self.critic(state, fake, cond, second)
        loss = self.rules.discriminator
        if tuple(self.real_target) != (1.0, 1.0):
            loss = smoothing(keys[2], *(schedules.value(t, state.step) for t in self.real_target))
        paid = mean_loss(loss, real_logits, fake_logits)
        critic = self.critic.function(state, cond, first)
        move = Move(state.params["discriminator"], critic, real, fake, real_logits, fake_logits)
        terms, memory = self.regularizers["discriminator"], recalled(state)
        paid, memory, shown = regularized(paid, terms, move, memory, keys[3], state.step)
        memory, more = self.critic.views.moved(memory, real_logits, state.step)
        shown |= accuracies(self.rules, real_logits, fake_logits) | more
        return paid, (remembering(state.vars, memory), shown)

    def lazy_loss(
        self, term: Regularizer, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """A lazy penalty of the discriminator, times the steps that it stands for."""
        keys = jax.random.split(rng, 3)
        cond, real = self.condition(batch), self.real(batch)
        fake, _ = self.source.train(state, keys[0], len(real), cond)
        critic = self.critic.function(state, cond, jax.random.fold_in(keys[1], 0))
        fake = jax.lax.stop_gradient(fake)
        move = Move(state.params["discriminator"], critic, real, fake)
        value, memory = term(move, recalled(state), keys[2])
        weight = schedules.value(term.weight, state.step)
        return term.every * weight * value, (
            remembering(state.vars, memory),
            {"penalty": value},
        )

    def generator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the generator pays; `spread` is the deviation of its samples, of the data's."""
        keys = jax.random.split(rng, 2)
        cond, real = self.condition(batch), self.real(batch)
        fake, state = self.source.train(state, keys[0], len(real), cond)
        real_logits = None
        if self.rules.paired:
            real_logits, state = self.critic(state, real, cond, jax.random.fold_in(keys[1], 0))
        fake_logits, state = self.critic(state, fake, cond, jax.random.fold_in(keys[1], 1))
        paid = mean_loss(self.rules.generator, real_logits, fake_logits)
        move, terms = Move(state.params["generator"]), self.regularizers["generator"]
        memory, own = recalled(state), jax.random.fold_in(rng, 2)
        paid, memory, shown = regularized(paid, terms, move, memory, own, state.step)
        shown["spread"] = deviation(fake) / deviation(real)
        owed, more = self.owed(batch, fake)
        return paid + owed, (remembering(state.vars, memory), shown | more)

    def owed(self, batch: Batch, fake: Array) -> tuple[Array, Metrics]:
        """What the generator pays beside the game for samples that are given what a batch is."""
        return jnp.float32(0.0), {}

    def alarms(self, values: Mapping[str, float]) -> dict[str, str]:
        """A collapse, and a discriminator that wins outright: see `ops.alarms`."""
        return two_players(values)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each, in the network's range: see `ops.scores.sample_scores`."""
        x = self.scaled(batch["x"])
        z = self.latents(rng, x.shape[0])
        fake = self.source.apply(state, rng, z, self.condition(batch))
        return sample_scores(x.reshape(x.shape[0], -1), fake.reshape(x.shape[0], -1))

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
        truncation: float | None = None,
        standing: int = 0,
    ) -> Array:
        """Draws z from the prior, then data, in their units.

        Args:
            state: of both players.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            temperature: multiplies z.
            truncation: draws z anew where it is beyond this many standard deviations (Brock et
                al. 2019, section 3.1); None does not.
            standing: passes for standing statistics (`ops.batch_moments`) of such samples.
        """
        latent, classes = jax.random.split(rng)
        cond = self.givens.of_call(given, num, classes)
        if truncation is not None and self.prior != "normal":
            raise ConfigError("truncation: the prior is uniform")

        def draw(rng: Array) -> Array:
            if truncation is None:
                return temperature * self.latents(rng, num)
            shape = (num, self.generator.latent)
            return temperature * jax.random.truncated_normal(rng, -truncation, truncation, shape)

        if standing:
            state = self.source.standing(state, classes, draw, cond, standing)
        return self.unscaled(self.source.apply(state, latent, draw(latent), cond))

    def decode(self, state: State, z: Any, given: Given = None, rounded: bool = True) -> Array:
        """Latents [B, latent] to data, in their units; grey levels are real unless `rounded`.

        Classes that are not given are the first.
        """
        cond = self.givens.of_call(given, z.shape[0], first=True)
        x = self.source.apply(state, jax.random.key(0), z, cond)
        return self.unscaled(x) if rounded else real_levels(x, self.spec.levels)
