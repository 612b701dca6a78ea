"""A method's per-example values, averaged over a split of the data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array, Method, State

EVALUATION_SEED = 20_180_709  # of the noise of evaluations: the same at every step and in every run


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over examples.

    Attributes:
        mean: of the values.
        stderr: of the mean, over the examples.
        count: of examples.
    """

    mean: float
    stderr: float
    count: int


def value_sums(
    method: Method, state: State, batch: Mapping[str, Array], rng: Array
) -> dict[str, Array]:
    """[3] per metric: weight, weighted sum and sum of squares of the per-example values.

    The squares are around the batch's mean, and so do not cancel.

    Args:
        method: whose `evaluate` is called.
        state: of averaged params.
        batch: with "weight" [B], 0 for padding.
        rng: a key.
    """
    batch = dict(batch)
    weight = batch.pop("weight")

    def sums(values: Array) -> Array:
        values = jnp.where(weight > 0, values, 0.0)
        total, count = jnp.sum(weight * values), jnp.sum(weight)
        centre = total / jnp.maximum(count, 1.0)
        return jnp.stack([count, total, jnp.sum(weight * jnp.square(values - centre))])

    return {k: sums(v) for k, v in method.evaluate(state, batch, rng).items()}


def evaluate_split(step: Any, batches: Iterator[Any], put: Any) -> dict[str, Estimate]:
    """Averages over all batches, summed on the host in float64.

    Args:
        step: compiled `value_sums` of (batch, rng); the noise of batch i is a function of i.
        batches: from `data.loader.eval_batches`: every example has weight 1 exactly once.
        put: moves a local batch to the devices.
    """
    rng = jax.random.key(EVALUATION_SEED)
    rows = [step(put(b), jax.random.fold_in(rng, i)) for i, b in enumerate(batches)]
    rows = jax.device_get(rows)
    return {k: _combine(np.asarray([row[k] for row in rows], np.float64)) for k in rows[0]}


def split_values(step: Any, batches: Iterator[Any], put: Any) -> dict[str, np.ndarray]:
    """The values of every example, [N] float32 each, with the noise that `evaluate_split` uses.

    Args:
        step: compiled `Method.evaluate` of (batch, rng).
        batches: from `data.loader.eval_batches`, in one process.
        put: moves a batch to the devices.
    """
    rng = jax.random.key(EVALUATION_SEED)
    rows = []
    for i, batch in enumerate(batches):
        real = batch["weight"] > 0
        data = {k: v for k, v in batch.items() if k != "weight"}
        values = jax.device_get(step(put(data), jax.random.fold_in(rng, i)))
        rows.append({k: v[real] for k, v in values.items()})
    return {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}


def _combine(sums: np.ndarray) -> Estimate:
    """[batches, 3] to the estimate over all of them."""
    count, total, squares = sums.T
    n = count.sum()
    mean = total.sum() / n
    centres = total / np.maximum(count, 1)
    variance = (squares.sum() + (count * (centres - mean) ** 2).sum()) / max(n - 1, 1)
    return Estimate(float(mean), math.sqrt(variance / n), int(n))
