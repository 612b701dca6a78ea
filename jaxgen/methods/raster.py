"""Draws an example position by position, in raster order, in one compiled scan."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.methods.player import Player
from jaxgen.nn.heads import Head
from jaxgen.types import Array, PyTree, State

CACHE = "cache"
Pick = Callable[[Array, Array], Array]  # (key, theta [B, width]) -> values [B, C]


@dataclasses.dataclass(frozen=True)
class Raster:
    """Positions of an example, and the network that says theta of them.

    Attributes:
        player: the network, an `nn.heads.Causal`.
        head: what it is asked for.
        shape: of an example, as the network takes it.
        positions: its sides without the channels: (H, W), (T,), ...
        channels: of a position.
        channelwise: channels of a position are drawn one after another, each given those before.
    """

    player: Player
    head: Head
    shape: tuple[int, ...]
    positions: tuple[int, ...]
    channels: int
    channelwise: bool = False

    def draw(
        self,
        state: State,
        rng: Array,
        x: Array,
        pick: Pick,
        cond: Any = None,
        known: Array | None = None,
        times: int = 1,
    ) -> Array:
        """x [B, N, C] with values that were drawn.

        Args:
            state: of the network.
            rng: a key; each position draws with its own.
            x: what is known, [B, N, C] with N positions; other entries are not looked at.
            pick: draws the values of a position, of theta of `times` B examples.
            cond: what the network is given with `times` B examples.
            known: bool, broadcast to [B, N, C]: entries that stay. None draws all.
            times: copies of each example that the network sees, one after another.
        """
        x = x if known is None else jnp.where(known, x, 0)
        x = jnp.zeros_like(x) if known is None else x
        stays = jnp.zeros(x.shape, bool) if known is None else jnp.broadcast_to(known, x.shape)
        ask = functools.partial(self._ask, state, cond, times)
        cache = self._cache(ask, x)
        columns = self.positions[-1]

        def step(carry: tuple[Array, PyTree], t: Array) -> tuple[tuple[Array, PyTree], None]:
            x, cache = carry
            key = jax.random.fold_in(rng, t)
            for c in range(self.channels if self.channelwise else 1):
                theta, cache = ask(cache, "step", x, t)
                at = slice(c, c + 1) if self.channelwise else slice(None)
                value = pick(key, theta)[:, at].astype(x.dtype)
                value = jnp.where(stays[:, t, at], x[:, t, at], value)
                x = x.at[:, t, at].set(value)
            return (x, cache), None

        def row(carry: tuple[Array, PyTree], i: Array) -> tuple[tuple[Array, PyTree], None]:
            x, cache = carry
            _, cache = ask(cache, "row", x, i)
            return jax.lax.scan(step, (x, cache), i * columns + jnp.arange(columns))

        _, cache = ask(cache, "start", x)
        (x, _), _ = jax.lax.scan(row, (x, cache), jnp.arange(math.prod(self.positions[:-1])))
        return x

    def start(self, state: State, x: Array, cond: Any = None) -> PyTree:
        """What `step` remembers before the first position of x [B, N, C]."""
        ask = functools.partial(self._ask, state, cond, 1)
        return ask(self._cache(ask, x), "start", x)[1]

    def step(
        self, state: State, memory: PyTree, x: Array, t: Array, cond: Any = None
    ) -> tuple[Array, PyTree]:
        """Theta [B, width] of position t of x [B, N, C], before which all is there."""
        ask = functools.partial(self._ask, state, cond, 1)
        first = t % self.positions[-1] == 0

        def row(memory: PyTree) -> PyTree:
            return ask(memory, "row", x, t // self.positions[-1])[1]

        memory = jax.lax.cond(first, row, lambda memory: memory, memory)
        return ask(memory, "step", x, t)

    def _ask(
        self, state: State, cond: Any, times: int, cache: PyTree, name: str, x: Array, *at: Array
    ) -> tuple[Any, PyTree]:
        """What the network's function `name` says, and its cache afterwards."""
        x = jnp.concatenate([x] * times) if times > 1 else x
        x = x.reshape(x.shape[0], *self.shape)
        state = self.player.moved(state, {CACHE: cache})
        out, moved = self.player.apply(state, x, *at, self.head, cond, method=name, mutable=[CACHE])
        return out, moved.get(CACHE, cache)

    def _cache(self, ask: Callable[..., Any], x: Array) -> PyTree:
        """Zeros, as the network's functions make them."""

        def made(x: Array) -> PyTree:
            _, cache = ask({}, "start", x)
            _, cache = ask(cache, "row", x, jnp.int32(0))
            return ask(cache, "step", x, jnp.int32(0))[1]

        return jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(made, x))
