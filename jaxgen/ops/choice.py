"""How a value is drawn from logits: temperature, the likeliest few, guidance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Logits = Float[Array, "*batch values"]


def guided(given: Logits, null: Logits, scale: Any) -> Logits:
    """null + scale (given - null), of log-probabilities with a condition and without.

    Scale 1 is the condition's own, up to roundings; 0 ignores it.

    Source: Ho & Salimans 2022, Classifier-free diffusion guidance, equation 6, there of scores
    with w = scale - 1.
    """
    given, null = jax.nn.log_softmax(given), jax.nn.log_softmax(null)
    return null + scale * (given - null)


def most_likely(logits: Logits, num: int) -> Logits:
    """Only the `num` largest stay, and what equals the last of them; the others are -inf.

    Raises:
        ValueError: for a number that is below one.
    """
    if num < 1:
        raise ValueError(f"top_k={num}, expected 1 or more")
    least = jax.lax.top_k(logits, min(num, logits.shape[-1]))[0][..., -1:]
    return jnp.where(logits < least, -jnp.inf, logits)


def nucleus(logits: Logits, share: Any) -> Logits:
    """The fewest values that together have this share of the probability; the others are -inf.

    The likeliest one always stays.

    Source: Holtzman et al. 2020, The curious case of neural text degeneration, section 3.1.
    """
    ordered = jnp.flip(jnp.sort(logits, axis=-1), axis=-1)
    mass = jax.nn.softmax(ordered)
    before = jnp.cumsum(mass, axis=-1) - mass
    stays = (before < share).at[..., 0].set(True)
    least = jnp.min(jnp.where(stays, ordered, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits < least, -jnp.inf, logits)


def draw(
    rng: Any,
    logits: Logits,
    temperature: Any = 1.0,
    top_k: int | None = None,
    top_p: Any = None,
) -> Int[Array, "*batch"]:
    """A value of each distribution.

    Args:
        rng: a key.
        logits: of it.
        temperature: multiplies the noise; 0 takes the likeliest value.
        top_k: see `most_likely`; None keeps all.
        top_p: see `nucleus`, of the distribution at this temperature; None keeps all.

    Raises:
        ValueError: for a `top_k` below one.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    if top_k is not None:
        logits = most_likely(logits, top_k)
    if top_p is not None:
        sharp = logits / jnp.maximum(temperature, 1e-6)
        logits = jnp.where(jnp.isneginf(nucleus(sharp, top_p)), -jnp.inf, logits)
    noise = jax.random.gumbel(rng, logits.shape, logits.dtype)
    return jnp.argmax(logits + temperature * noise, axis=-1)
