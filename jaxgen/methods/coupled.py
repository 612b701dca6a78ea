"""Two coupled games: pairs of images of two domains, learnt from images that are no pairs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, unknown
from jaxgen.methods.adversarial import Adversarial
from jaxgen.methods.player import Player
from jaxgen.methods.source import Source
from jaxgen.ops.domains import DOMAINS
from jaxgen.ops.ranges import real_levels
from jaxgen.ops.scores import sample_scores
from jaxgen.types import Array, Batch, Metrics, State

SHOWN = ("both", "first", "second")


@dataclasses.dataclass(frozen=True)
class Coupled(Adversarial):
    """The game of every domain at once, with `models.gans.cogan`; see `Adversarial`.

    The first domain are the data, the second is made of them on the device. Every second example
    of a batch is of the first domain, the others of the second: no picture is seen in both. A
    pair is one image with the channels of both domains; the discriminator gives a logit for each
    domain, and both games count alike.

    Source: Liu & Tuzel 2016, Coupled generative adversarial networks.

    Attributes:
        domain: the second one, of `ops.domains.DOMAINS`.
    """

    domain: str = "edges"

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.domain not in DOMAINS:
            raise ConfigError(unknown("domain in config.method", self.domain, DOMAINS))
        if len(self.spec.shape) != 3:
            raise ConfigError(f"method.domain: {self.spec.name} has no images")
        if self.given or self.packing > 1:
            raise ConfigError("config.method: coupled games are neither given anything nor packed")

    @property
    def source(self) -> Source:
        """Of pairs, the second image in the channels behind the first's."""
        *sides, channels = self.spec.shape
        return Source(Player("generator", self.generator), (*sides, 2 * channels), self.prior)

    def real(self, batch: Batch) -> Array:
        """Two domains side by side in channels, [B / 2, H, W, 2 C], which are no pairs."""
        x = self.scaled(batch["x"])
        if len(x) % 2:
            raise ValueError(f"a batch of {len(x)} is not of two domains: expected an even number")
        halves = x.reshape(-1, 2, *x.shape[1:])
        return jnp.concatenate([halves[:, 0], DOMAINS[self.domain](halves[:, 1])], axis=-1)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each: `ops.scores.sample_scores` of either domain, and agreement.

        `agreement` is the share of pixels in which the second image of a pair is what its domain
        makes of the first, both as black and white (the paper's measure on digits);
        `agreement_of_strangers` that of a second image of another pair.
        """
        x = self.scaled(batch["x"])
        made = self.source.apply(state, rng, self.latents(rng, len(x)), None)
        pair, change = jnp.split(made, 2, axis=-1), DOMAINS[self.domain]
        values = {}
        for name, real, fake in zip(("", "second_"), (x, change(x)), pair, strict=True):
            scores = sample_scores(real.reshape(len(x), -1), fake.reshape(len(x), -1))
            values |= {f"{name}{k}": v for k, v in scores.items()}
        expected = change(pair[0]) > 0
        for name, second in (("", pair[1]), ("_of_strangers", jnp.roll(pair[1], 1, axis=0))):
            values[f"agreement{name}"] = jnp.mean(expected == (second > 0), axis=(1, 2, 3))
        return values

    def sample(
        self, state: State, rng: Array, num: int, temperature: float = 1.0, domain: str = "both"
    ) -> Array:
        """Draws z from the prior, then images of both domains, in the units of the data.

        Args:
            state: of both players.
            rng: a key.
            num: number of samples.
            temperature: multiplies z.
            domain: "both" gives pairs side by side, [num, H, 2 W, C]; "first" and "second" one
                of them.
        """
        if domain not in SHOWN:
            raise ConfigError(unknown("domain", domain, SHOWN))
        pairs = self.decode(state, temperature * self.latents(rng, num))
        if domain == "both":
            return pairs
        return jnp.split(pairs, 2, axis=2)[domain == "second"]

    def decode(self, state: State, z: Any, rounded: bool = True) -> Array:
        """Latents [B, latent] to pairs side by side, [B, H, 2 W, C], in the units of the data.

        Grey levels are real unless `rounded`.
        """
        first, second = jnp.split(self.source.apply(state, jax.random.key(0), z, None), 2, axis=-1)
        pair = jnp.concatenate([first, second], axis=2)
        return self.unscaled(pair) if rounded else real_levels(pair, self.spec.levels)
