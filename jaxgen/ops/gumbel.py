"""Words that are drawn, with a gradient that passes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Rows = Float[Array, "*b words"]


def straight_through(logits: Rows, gumbel: Rows, temperature: float) -> Rows:
    """One-hot draws of softmax(logits), with the gradient of a softmax.

    Forward, the largest of logits + gumbel; backward, softmax((logits + gumbel) / temperature): the
    temperature changes the gradient alone, never what is drawn.

    Source: Jang et al. 2017, Categorical reparameterization with Gumbel-softmax, section 2.2.
    """
    noisy = logits + gumbel
    soft = jax.nn.softmax(noisy / temperature)
    hard = jax.nn.one_hot(jnp.argmax(noisy, axis=-1), logits.shape[-1], dtype=soft.dtype)
    return hard + soft - jax.lax.stop_gradient(soft)
