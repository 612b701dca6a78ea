"""Discriminators as games use them: a player, and the views of examples that it is shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.methods.memory import Memory, recalled
from jaxgen.methods.player import Player
from jaxgen.ops.augment import AUGMENTATIONS
from jaxgen.ops.blur import blurred
from jaxgen.schedules import Scheduled, extremes, value
from jaxgen.types import Array, Metrics, State


@dataclasses.dataclass(frozen=True)
class Views:
    """What a discriminator is shown of examples: blurred, augmented, then noisy, then packed.

    Attributes:
        augment: `name` in `ops.augment.AUGMENTATIONS` and its options; empty for none.
        noise: deviation of noise that is added.
        noise_steps: train steps in which the noise falls to zero, linearly; 0 keeps it.
        packing: examples shown at a time, side by side in channels (Lin et al. 2018, PacGAN).
        memory: name of what the augmentation remembers: one of its own for each critic of a game.
        blur: deviation in pixels of a filter over images, see `ops.blur`.
    """

    augment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    noise: Scheduled = 0.0
    noise_steps: int = 0
    packing: int = 1
    memory: str = "augment"
    blur: Scheduled = 0.0

    def start(self) -> dict[str, Any]:
        """What is remembered at first."""
        return {self.memory: self._augmentation.start()} if self.augment else {}

    def shown(self, state: State, x: Array, rng: tuple[Array, Array]) -> Array:
        """The view of x [B, ...], differentiable by x, from two keys."""
        if self.blur:
            x = blurred(x, value(self.blur, state.step), max(extremes(self.blur)))
        if self.augment:
            x = self._augmentation.apply(rng[0], x, recalled(state)[self.memory])
        if self.noise:
            x += self.noise_at(state.step) * jax.random.normal(rng[1], x.shape)
        return self.packed(x)

    def moved(self, memory: Memory, real: Any, step: Array) -> tuple[Memory, Metrics]:
        """What is remembered after a move with these logits of real examples, and metrics."""
        if not self.augment:
            return memory, {}
        still = jax.lax.stop_gradient(real)
        kept = self._augmentation.move(memory[self.memory], still, step)
        return {**memory, self.memory: kept}, self._augmentation.shown(kept)

    def noise_at(self, step: Array) -> Array:
        """Deviation of the noise at a train step."""
        noise = value(self.noise, step)
        if not self.noise_steps:
            return jnp.float32(noise)
        left = 1 - step.astype(jnp.float32) / self.noise_steps
        return noise * jnp.maximum(left, 0.0)

    def packed(self, x: Array) -> Array:
        """[B, ..., C] -> [B / packing, ..., packing C].

        Raises:
            ValueError: for a batch that it does not divide.
        """
        if len(x) % self.packing:
            raise ValueError(f"packing={self.packing} does not divide the batch of {len(x)}")
        groups = jnp.moveaxis(x.reshape(-1, self.packing, *x.shape[1:]), 1, -2)
        return groups.reshape(*groups.shape[:-2], -1)

    @property
    def _augmentation(self) -> Any:
        options = {k: v for k, v in self.augment.items() if k != "name"}
        return AUGMENTATIONS[self.augment["name"]](**options)


@dataclasses.dataclass(frozen=True)
class Critic:
    """Logits of a discriminator that sees examples through views.

    The network is `(x [B, ...], cond=None) -> logits`: [B], or [B, h, w] of patches, or a tree of
    those, one a scale (see `ops.games`). One that can give its features takes `features=True` and
    gives (logits, features). It may draw from the stream "dropout".

    Attributes:
        player: the discriminator.
        views: what it is shown.
    """

    player: Player
    views: Views = Views()

    def init(self, rng: Array, x: Array, cond: Any) -> tuple[Any, Any, Any]:
        """Logits, params and vars of the player, from examples x [B, ...]."""
        return self.player.init_with_output(rng, self.views.packed(x), cond)

    def __call__(
        self, state: State, x: Array, cond: Any, rng: Array, **options: Any
    ) -> tuple[Any, State]:
        """Logits of x [B, ...] in training, and the state with what moved."""
        augment, noise, dropout = jax.random.split(rng, 3)
        x = self.views.shown(state, x, (augment, noise))
        return self.player.train(state, x, cond, rngs={"dropout": dropout}, **options)

    def function(self, state: State, cond: Any, rng: Array) -> Callable[[Array], Any]:
        """x -> logits; with the key of a call, x is seen as there: penalties are of what it saw."""
        return lambda x: self(state, x, cond, rng)[0]
