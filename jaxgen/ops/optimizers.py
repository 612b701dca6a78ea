"""Optimisers that optax does not have."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax


def adamax_adam(
    learning_rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adamax whose step has Adam's bias correction, sqrt(1 - b2^t) / (1 - b1^t).

    Adamax has 1 / (1 - b1^t): its maximum norm needs no correction, and the additional factor
    makes the first steps smaller. Glow's published numbers were made with it, and with
    b2 = 1 - 1 / (steps per epoch).

    Source: openai/glow, `optim.py`, `adamax`.
    """

    def init(params: optax.Params) -> Any:
        return jnp.zeros((), jnp.int32), *(optax.tree.zeros_like(params) for _ in range(2))

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        grads = updates
        count, first, norm = state
        count = optax.safe_increment(count)
        first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, first, grads)
        norm = jax.tree.map(lambda n, g: jnp.maximum(b2 * n, jnp.abs(g)), norm, grads)
        t = jnp.asarray(count).astype(jnp.float32)
        rate = learning_rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        updates = jax.tree.map(lambda m, n: -rate * m / (n + eps), first, norm)
        return updates, (count, first, norm)

    return optax.GradientTransformation(init, update)
