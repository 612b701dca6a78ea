"""What methods do with latents in groups, each drawn given those before it: see `nn.latents`."""

from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.methods.givens import Givens
from jaxgen.nn.latents import Draw, descended
from jaxgen.ops.observations import Observation
from jaxgen.types import Array, Given, State


class Grouped(abc.ABC):
    """A method of a model with such latents."""

    @property
    @abc.abstractmethod
    def decoder(self) -> Observation:
        """What the decoder says about the data."""

    @property
    @abc.abstractmethod
    def givens(self) -> Givens:
        """What the model is given."""

    @abc.abstractmethod
    def top_down(
        self, state: State, h: Any, num: int, cond: Any, rng: Array, **options: Any
    ) -> Draw:
        """Draws of `num` latents, and theta: by features h the posterior's, by None the prior's."""

    @abc.abstractmethod
    def draw_posterior(self, state: State, x: Array, cond: Any, rng: Array) -> Draw:
        """A draw of the posterior of x, in the units of the data."""

    def descend(
        self,
        state: State,
        z: Sequence[Array],
        rng: Array,
        num: int,
        temperatures: Sequence[float],
        given: Given = None,
    ) -> tuple[tuple[Array, ...], Array]:
        """See `abilities.Descends`: a pass for each temperature, whose groups are kept."""
        cond = self.givens.of_call(given, num, first=True)
        down = functools.partial(self.top_down, state, None, num, cond, rng)
        draw = descended(down, z, temperatures)
        return draw.z, self.decoder.mean(draw.theta)

    def keeping(self, state: State, draw: Draw, groups: int, cond: Any, rng: Array) -> Draw:
        """So many groups of a draw, from the first, and the others drawn from their prior."""
        kept = tuple(z if i < groups else None for i, z in enumerate(draw.z))
        return self.top_down(state, None, len(draw.theta), cond, rng, given=kept)

    def bounds(
        self,
        state: State,
        x: Array,
        rng: Array,
        groups: Sequence[int],
        given: Given = None,
    ) -> Array:
        """See `abilities.Bounds`, from one draw of the posterior for all of them."""
        cond = self.givens.of_call(given, x.shape[0])
        latent, below = jax.random.split(rng)
        draw = self.draw_posterior(state, x, cond, latent)

        def bound(kept: int) -> Array:
            key = jax.random.fold_in(below, kept)
            of = draw if kept == len(draw.z) else self.keeping(state, draw, kept, cond, key)
            found = self.decoder.log_prob(x, of.theta)
            return found - sum(jnp.sum(group, axis=-1) for group in draw.kl[:kept])

        return jnp.stack([bound(kept) for kept in groups], axis=1)
