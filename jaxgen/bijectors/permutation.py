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


class EvenOdd(Bijector):
    """The elements of even index first, then those of odd index.

    Makes halves of the last axis what the partition of NICE calls odd and even.
    """

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Sorts by parity."""
        return jnp.concatenate([x[..., ::2], x[..., 1::2]], axis=-1), zero_logdet(x)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Interleaves."""
        even, odd = jnp.split(y, [(y.shape[-1] + 1) // 2], axis=-1)
        x = jnp.zeros_like(y).at[..., ::2].set(even).at[..., 1::2].set(odd)
        return x, zero_logdet(y)


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
