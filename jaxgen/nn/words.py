"""Sentences as codes: words that may be mixtures, a recurrent reader, and what ends a sentence."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Words = Float[Array, "b t words"]  # one-hot, or mixtures of words
Vectors = Float[Array, "b width"]
Alive = Float[Array, "b t"]

PAD = 0  # the word that ends a sentence, and fills what is left


def counted(words: Words) -> Alive:
    """1 up to the word that ends a sentence, with it, and 0 behind: what a sentence consists of."""
    ended = jnp.cumsum(words[..., PAD], axis=1) - words[..., PAD]
    return (ended < 0.5).astype(words.dtype)


class Reader(nn.Module):
    """The last state of a recurrent network that reads a sentence.

    Words become vectors by a product with a table, so that mixtures have gradients. Behind the end
    of a sentence the state stays.

    Source: the recurrent half of Reed et al. 2016, Learning deep representations of fine-grained
    visual descriptions, section 4; gated units as Cho et al. 2014.

    Attributes:
        embedding: width of the vectors of words.
        width: of the state.
    """

    embedding: int = 32
    width: int = 64

    @nn.compact
    def __call__(self, words: Words) -> Vectors:
        """[B, T, V] -> [B, width]."""
        vectors = nn.Dense(self.embedding, use_bias=False, name="table")(words)
        cell = nn.GRUCell(self.width, name="cell")

        def step(cell: Any, state: Vectors, now: Any) -> tuple[Vectors, None]:
            vector, alive = now
            new, _ = cell(state, vector)
            return jnp.where(alive[:, None] > 0, new, state), None

        scanned = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        alive = counted(words) * (1 - jnp.round(words[..., PAD]))
        over = (jnp.swapaxes(vectors, 0, 1), jnp.swapaxes(alive, 0, 1))
        start = jnp.zeros((len(words), self.width), vectors.dtype)
        return scanned(cell, start, over)[0]


def unit(x: Vectors) -> Vectors:
    """Rows of length one."""
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)
