"""Generators with styles: z to w, w of every layer, mixed in training, and images of them."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.methods.source import Source
from jaxgen.types import Array, State


@dataclasses.dataclass(frozen=True)
class Styles(Source):
    """Samples of a network as `nn.stylegan.Styled`, with mixed styles in training.

    Source: Karras et al. 2019, StyleGAN, section 3.1.

    Attributes:
        mixing: probability that a batch has the styles of two z.
    """

    mixing: float = 0.9

    def train(self, state: State, rng: Array, num: int, cond: Any) -> tuple[Array, State]:
        """As of every source, with mixed styles."""
        mixed, noise = jax.random.split(rng)
        styles, state = self.mixed(state, mixed, num, cond)
        return self.synthesize(state, styles, noise), state

    def apply(self, state: State, rng: Array, z: Array, cond: Any) -> Array:
        """The samples of z [B, latent], with the noise of the initialisation."""
        return self.synthesize(state, self.spread(self.map(state, z, cond)), rng, "const")

    def mixed(self, state: State, rng: Array, num: int, cond: Any) -> tuple[Array, State]:
        """w of every layer, [num, L, style]: those of a second z from a random layer on."""
        keys = jax.random.split(rng, 4)
        z = self.latents(keys[0], num)
        w, moved = self.player.train(state, z, cond, method="map")
        styles = self.spread(w)
        if not self.mixing:
            return styles, moved
        other = self.spread(self.map(state, self.latents(keys[1], num), cond))
        layers = styles.shape[1]
        cut = jax.random.randint(keys[2], (), 1, layers)
        cut = jnp.where(jax.random.uniform(keys[3]) < self.mixing, cut, layers)
        first = jnp.arange(layers).reshape(1, -1, 1) < cut
        return jnp.where(first, styles, other), moved

    def map(self, state: State, z: Array, cond: Any) -> Array:
        """w [B, style] of z [B, latent]."""
        return self.player.apply(state, z, cond, method="map")

    def spread(self, w: Array) -> Array:
        """w [B, style] for every layer, [B, L, style]."""
        return self.player.module.apply({}, w, self.size(w.shape[0]), method="spread")

    def synthesize(self, state: State, styles: Array, rng: Array, noise: str = "random") -> Array:
        """Images of styles [B, L, style]; `noise` is "random", "const" or "none"."""
        options = {"rngs": {"noise": rng}, "method": "synthesize"}
        return self.player.apply(state, styles, self.size(styles.shape[0]), noise, **options)
