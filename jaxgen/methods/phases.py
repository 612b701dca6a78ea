"""Losses of a part of the training: before and after it a player rests."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from jaxgen.types import Array, Batch, Loss, Metrics, State, Vars


def during(loss: Loss, start: int, end: int | None = None) -> Loss:
    """The loss on train steps start <= step < end; on others zero, as its metrics, for nothing.

    Args:
        loss: of a `Turn`.
        start: first step.
        end: step after the last; None for no end.
    """

    def phased(state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        def work() -> tuple[Array, Vars, Metrics]:
            value, (variables, metrics) = loss(state, batch, rng)
            return value, variables, metrics

        def rest() -> tuple[Array, Vars, Metrics]:
            value, _, metrics = jax.eval_shape(work)
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (value, metrics))
            return zeros[0], state.vars, zeros[1]

        active = state.step >= start
        if end is not None:
            active &= state.step < end
        value, variables, metrics = jax.lax.cond(active, work, rest)
        return value, (variables, metrics)

    return phased
