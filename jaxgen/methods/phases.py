"""Losses of a part of the training: before and after it a player rests.

It pays nothing then. An optimiser that remembers slopes still moves it for a few steps afterwards.
"""

from __future__ import annotations

import functools
from typing import Any

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
    found = loss if end is None else after(loss, _nothing, end)
    return after(_nothing, found, start) if start else found


def after(first: Loss, second: Loss, step: int) -> Loss:
    """The first loss on train steps below `step`, the second from there on; one is computed.

    The metrics of the other are zero.
    """

    def phased(state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        losses = [functools.partial(loss, state, batch, rng) for loss in (first, second)]
        known = [jax.eval_shape(loss)[1][1] for loss in losses]
        zeros = {k: jnp.zeros(v.shape, v.dtype) for one in known for k, v in one.items()}

        def work(loss: Any) -> tuple[Array, Vars, Metrics]:
            value, (variables, metrics) = loss()
            return value, variables, zeros | metrics

        branches = [functools.partial(work, loss) for loss in losses]
        value, variables, metrics = jax.lax.cond(state.step < step, *branches)
        return value, (variables, metrics)

    return phased


def _nothing(state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
    return jnp.zeros(()), (state.vars, {})
