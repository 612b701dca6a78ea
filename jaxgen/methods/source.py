"""Generators as games use them: a player, the prior of its latents, the shape of its samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from jaxgen.methods.player import Player
from jaxgen.ops.batch_moments import standing_statistics
from jaxgen.types import Array, State

PRIORS = ("normal", "uniform")


@dataclasses.dataclass(frozen=True)
class Source:
    """Samples of a generator, in its own range.

    The network has an attribute `latent`, the width of z, and is `(z [B, latent], size, cond=None)
    -> [B, ...]` of shape `size`; it may draw from the streams "noise" and "dropout".

    Attributes:
        player: the generator.
        shape: of one sample.
        prior: of z, "normal" or "uniform" in [-1, 1].
    """

    player: Player
    shape: tuple[int, ...]
    prior: str = "normal"

    def size(self, num: int) -> tuple[int, ...]:
        """The shape of so many samples."""
        return (num, *self.shape)

    def init(self, params: Array, noise: Array, z: Array, cond: Any) -> tuple[Any, Any]:
        """Params and vars of the player, from two keys and z [B, latent]."""
        streams = {"params": params, "noise": noise}
        return self.player.init(streams, z, self.size(z.shape[0]), cond)

    def latents(self, rng: Array, num: int) -> Array:
        """Draws of z, [num, latent]."""
        shape = (num, self.player.module.latent)
        if self.prior == "normal":
            return jax.random.normal(rng, shape)
        return jax.random.uniform(rng, shape, minval=-1.0, maxval=1.0)

    def train(self, state: State, rng: Array, num: int, cond: Any) -> tuple[Array, State]:
        """A training batch of samples, [num, ...], and the state with what moved."""
        latent, noise, dropout = jax.random.split(rng, 3)
        rngs = {"noise": noise, "dropout": dropout}
        z = self.latents(latent, num)
        return self.player.train(state, z, self.size(num), cond, rngs=rngs)

    def apply(self, state: State, rng: Array, z: Array, cond: Any) -> Array:
        """The samples of z [B, latent], as in evaluation."""
        return self.player.apply(state, z, self.size(z.shape[0]), cond, rngs={"noise": rng})

    def standing(
        self,
        state: State,
        rng: Array,
        draw: Callable[[Array], Array],
        cond: Any,
        passes: int,
    ) -> State:
        """The state with statistics of so many passes; see `ops.batch_moments`.

        Args:
            state: with the player.
            rng: a key.
            draw: key -> z [B, latent] of a pass.
            cond: of all passes.
            passes: at least 1.
        """
        name = self.player.name

        def run(own: Any, rng: Array) -> Any:
            before = self.player.moved(state, own)
            z = draw(rng)
            args, rngs = (z, self.size(z.shape[0]), cond), {"noise": rng}
            return self.player.train(before, *args, rngs=rngs)[1].vars[name]

        own = standing_statistics(run, state.vars[name], rng, passes)
        return self.player.moved(state, own)
