"""A method's per-example values, averaged over a split of the data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import Density, Stratified
from jaxgen.errors import ConfigError
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


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Evaluates every example by several draws, each with a key of its own.

    The key is a function of the run's key, the example's index and the number of the draw: the
    values do not depend on the batches, nor on the devices.

    Attributes:
        method: whose values are of single examples.
        draws: that are averaged, 1 or more.
    """

    method: Method
    draws: int

    def __post_init__(self) -> None:
        """Checks the method."""
        if not isinstance(self.method, Density | Stratified):
            raise ConfigError(
                f"config.evaluate.draws={self.draws}: {type(self.method).__name__} is no density: "
                "its values are of a batch, and not of single examples; expected 1"
            )

    def evaluate(self, state: State, batch: Mapping[str, Array], rng: Array) -> dict[str, Array]:
        """Means over the draws, [B] each, of a batch with "index" [B]."""
        batch = dict(batch)
        index = batch.pop("index")

        def one(index: Array, example: Mapping[str, Array], draw: Array) -> dict[str, Array]:
            key = jax.random.fold_in(jax.random.fold_in(rng, index), draw)
            alone = {k: v[None] for k, v in example.items()}
            if isinstance(self.method, Stratified):
                values = self.method.evaluate_stratum(state, alone, key, draw, self.draws)
            else:
                values = self.method.evaluate(state, alone, key)
            return {k: v[0] for k, v in values.items()}

        def of(draw: Array) -> dict[str, Array]:
            return jax.vmap(one, in_axes=(0, 0, None))(index, batch, draw)

        def add(draw: Array, total: dict[str, Array]) -> dict[str, Array]:
            return jax.tree.map(jnp.add, total, of(draw))

        total = jax.lax.fori_loop(1, self.draws, add, of(jnp.int32(0)))
        return {k: v / self.draws for k, v in total.items()}


def value_sums(
    method: Method | Drawn, state: State, batch: Mapping[str, Array], rng: Array
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
        step: compiled `value_sums` of (batch, rng); the noise of batch i is a function of i, of
            batches with "index" that of each example: see `Drawn`.
        batches: from `data.loader.eval_batches`: every example has weight 1 exactly once.
        put: moves a local batch to the devices.
    """
    rows = [step(put(b), _key(b, i)) for i, b in enumerate(batches)]
    rows = jax.device_get(rows)
    return {k: _combine(np.asarray([row[k] for row in rows], np.float64)) for k in rows[0]}


def split_values(step: Any, batches: Iterator[Any], put: Any) -> dict[str, np.ndarray]:
    """The values of every example, [N] float32 each, with the noise that `evaluate_split` uses.

    Args:
        step: compiled `Method.evaluate` of (batch, rng).
        batches: from `data.loader.eval_batches`, in one process.
        put: moves a batch to the devices.
    """
    rows = []
    for i, batch in enumerate(batches):
        real = batch["weight"] > 0
        data = {k: v for k, v in batch.items() if k != "weight"}
        values = jax.device_get(step(put(data), _key(batch, i)))
        rows.append({k: v[real] for k, v in values.items()})
    return {k: np.concatenate([row[k] for row in rows]) for k in rows[0]}


def _key(batch: Mapping[str, Any], number: int) -> Array:
    rng = jax.random.key(EVALUATION_SEED)
    return rng if "index" in batch else jax.random.fold_in(rng, number)


def _combine(sums: np.ndarray) -> Estimate:
    """[batches, 3] to the estimate over all of them."""
    count, total, squares = sums.T
    n = count.sum()
    mean = total.sum() / n
    centres = total / np.maximum(count, 1)
    variance = (squares.sum() + (count * (centres - mean) ** 2).sum()) / max(n - 1, 1)
    return Estimate(float(mean), math.sqrt(variance / n), int(n))
