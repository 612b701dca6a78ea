"""Which examples of a batch make a wrong pair, and a partner drawn among them."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Values = Int[Array, "b ..."]


def contradicted(said: Sequence[tuple[Values, Values, int]], num: int) -> Bool[Array, "b b"]:
    """Whether what text i (first) says is not so in example j.

    Args:
        said: for each property what the texts say of it, what is there, and from which value on
            nothing is said. Without any, every other example is wrong.
        num: of examples.
    """
    if not said:
        return ~jnp.eye(num, dtype=bool)
    found = jnp.zeros((num, num), bool)
    for text, there, silent in said:
        text, there = (v.reshape(num, -1) for v in (text, there))
        other = jnp.any(text[:, None] != there[None], axis=-1)
        found |= other & jnp.all(text < silent, axis=-1)[:, None]
    return found


def partners(rng: Array, wrong: Bool[Array, "b b"]) -> tuple[Int[Array, " b"], Float[Array, " b"]]:
    """For each row a column drawn evenly among those that are True.

    Returns:
        The columns, and 1, or 0 for rows without any.
    """
    scores = jnp.where(wrong, jax.random.uniform(rng, wrong.shape), -1.0)
    return jnp.argmax(scores, axis=1), jnp.any(wrong, axis=1).astype(jnp.float32)


def weighted_mean(values: Float[Array, " b"], weights: Float[Array, " b"]) -> Float[Array, ""]:
    """Mean of values with weights of 0 or 1; 0 without any."""
    return jnp.sum(values * weights) / jnp.maximum(jnp.sum(weights), 1.0)


def matching_nats(
    products: Float[Array, "b b"], wrong: Bool[Array, "b b"]
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Mean nats by which a partner is known, among itself and the wrong ones, both ways.

    Args:
        products: of what is to know its partner (first) and the partners, scaled.
        wrong: see `contradicted`; what is neither wrong nor the partner is not looked at.

    Returns:
        The nats, and the share of rows whose own partner has the largest product.

    Source: Radford et al. 2021, CLIP, figure 3.
    """
    seen = wrong | jnp.eye(len(wrong), dtype=bool)
    products = jnp.where(seen, products, -jnp.inf)
    both = [jnp.diag(jax.nn.log_softmax(products, axis)) for axis in (0, 1)]
    right = jnp.argmax(products, axis=1) == jnp.arange(len(products))
    return -jnp.mean(jnp.stack(both)), jnp.mean(right.astype(jnp.float32))
