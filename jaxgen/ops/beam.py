"""The likeliest sentences, by beam search."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Tokens = Int[Array, "b beam t"]
Scores = Float[Array, "b beam"]
END = 0


def search(
    step: Callable[[Any, Int[Array, " n"]], tuple[Any, Float[Array, "n words"]]],
    memory: Any,
    first: Int[Array, " b"],
    width: int,
    length: int,
) -> tuple[Tokens, Scores]:
    """The `width` likeliest beginnings after each word; those that have ended stay.

    Args:
        step: memory and the last words [B * width] to memory and the logits of the next.
        memory: pytree of [B, ...], before the first word.
        first: what stands for the word before the first, [B].
        width: beginnings that are kept.
        length: words, at most. Token 0 ends a sentence, and fills what is left.

    Returns:
        Tokens and log-probabilities in nats, the likeliest first. Of fewer sentences than
        `width`, the others have -inf.
    """
    num = len(first)

    def flat(x: Array) -> Array:
        return x.reshape(num * width, *x.shape[2:])

    def chosen(x: Array, rows: Array) -> Array:
        return flat(x.reshape(num, width, *x.shape[1:])[jnp.arange(num)[:, None], rows])

    def extend(carry: Any, t: Array) -> tuple[Any, None]:
        memory, tokens, scores, last, ended = carry
        memory, logits = step(memory, last)
        log_p = jax.nn.log_softmax(logits).reshape(num, width, -1)
        words = log_p.shape[-1]
        stay = jnp.where(jnp.arange(words) == END, 0.0, -jnp.inf)
        log_p = jnp.where(ended[..., None], stay[None, None], log_p)
        total = (scores[..., None] + log_p).reshape(num, -1)
        scores, places = jax.lax.top_k(total, width)
        rows, word = places // words, places % words
        memory = jax.tree.map(lambda x: chosen(x, rows), memory)
        tokens = flat(tokens)
        tokens = chosen(tokens, rows).reshape(num, width, length).at[..., t].set(word)
        ended = jnp.take_along_axis(ended, rows, axis=1) | (word == END)
        return (memory, tokens, scores, word.reshape(-1), ended), None

    memory = jax.tree.map(lambda x: jnp.repeat(x, width, axis=0), memory)
    tokens = jnp.zeros((num, width, length), jnp.int32)
    alone = jnp.where(jnp.arange(width) == 0, 0.0, -jnp.inf)
    scores = jnp.broadcast_to(alone[None], (num, width))
    ended = jnp.zeros((num, width), bool)
    start = memory, tokens, scores, jnp.repeat(first, width), ended
    (_, tokens, scores, _, _), _ = jax.lax.scan(extend, start, jnp.arange(length))
    return tokens, scores
