"""Bijectors that only reorder: fixed permutations of the last axis."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet

X = Float[Array, "b *event c"]


class Reverse(Bijector):
    """Reverses the last axis; its own inverse."""

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Last first."""
        return x[..., ::-1], zero_logdet(x)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Last first again."""
        return self.forward(y, cond)


class Permute(Bijector):
    """A random order of the last axis, drawn at initialisation and never trained."""

    @nn.compact
    def _order(self, x: X) -> Array:
        def draw() -> Array:
            return jax.random.permutation(self.make_rng("params"), x.shape[-1])

        return self.variable("constants", "order", draw).value

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Takes element `order[i]` to place i."""
        return jnp.take(x, self._order(x), axis=-1), zero_logdet(x)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Takes place i back to element `order[i]`."""
        return jnp.take(y, jnp.argsort(self._order(y)), axis=-1), zero_logdet(y)
