"""Looking at a model while it trains: evaluation on the splits, grids of samples."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgen.config import ConfigError
from jaxgen.data.dataset import Dataset
from jaxgen.data.loader import eval_batches
from jaxgen.evaluate.split import Estimate, evaluate_split, value_sums
from jaxgen.rundir import RunDir
from jaxgen.train import sharding
from jaxgen.train.log import MetricLog
from jaxgen.train.pictures import picture, save_png
from jaxgen.train.program import whole_params
from jaxgen.types import Method, State

SAMPLE_SEED = 20_140_610  # of the latents of the grids: the same at every step and in every run


class Observer:
    """The config section `evaluate`, on averaged params where there are any."""

    def __init__(
        self,
        method: Method,
        mesh: Mesh,
        target: State,
        dataset: Dataset,
        *,
        every_steps: int = 1000,
        batch_size: int = 256,
        splits: tuple[str, ...] = ("train", "test"),
        max_examples: int | None = None,
        best: str = "",
        sample_every_steps: int = 1000,
        num_samples: int = 64,
        sample: Mapping[str, Any] | None = None,
    ):
        """Checks the options; compiles at the first use.

        Args:
            method: that evaluates and samples.
            mesh: where.
            target: shapes, types and shardings of the state.
            dataset: what to evaluate on.
            every_steps: interval of evaluations; 0 evaluates at the end only.
            batch_size: of evaluations.
            splits: to evaluate on.
            max_examples: of each split, evenly spaced; None takes all.
            best: the metric whose lowest value marks the best checkpoint, as "test/bpd"; the
                first one of the test split if empty.
            sample_every_steps: interval of sample grids; 0 draws at the end only.
            num_samples: of a grid.
            sample: knobs of `Method.sample`, as `{"temperature": 0.7}`.

        Raises:
            ConfigError: for a split that the data do not have, or an unfit number.
        """
        for name in splits:
            if name not in dataset.splits:
                raise ConfigError(
                    f"config.evaluate.splits: {name!r} is none of {', '.join(dataset.splits)}"
                )
        if min(every_steps, sample_every_steps) < 0 or min(batch_size, num_samples) < 1:
            raise ConfigError("config.evaluate: intervals must be >= 0, sizes >= 1")
        self.every_steps, self.sample_every_steps = every_steps, sample_every_steps
        self.intervals = (every_steps, sample_every_steps)
        self._mesh, self._dataset = mesh, dataset
        self._batch_size = math.ceil(batch_size / mesh.size) * mesh.size
        self._splits, self._max, self._best = tuple(splits), max_examples, best
        whole, rows = sharding.replicated(mesh), sharding.batch_sharding(mesh)
        where = jax.tree.map(lambda x: x.sharding, target)

        def evaluate(state: State, batch: Any, rng: Any) -> Any:
            return value_sums(method, whole_params(state.averaged(), mesh), batch, rng)

        def draw(state: State, rng: Any) -> Any:
            state = whole_params(state.averaged(), mesh)
            return method.sample(state, rng, num_samples, **dict(sample or {}))

        self._evaluate = jax.jit(evaluate, in_shardings=(where, rows, whole), out_shardings=whole)
        self._draw = jax.jit(draw, in_shardings=(where, whole), out_shardings=whole)

    @property
    def batch_size(self) -> int:
        """Of evaluations, rounded up to a multiple of the devices."""
        return self._batch_size

    def evaluate(self, state: State) -> dict[str, Estimate]:
        """`split/metric` -> estimate; every example counts exactly once."""
        rows = sharding.batch_sharding(self._mesh)
        put = functools.partial(sharding.put, sharding=rows)
        step = functools.partial(self._evaluate, state)
        estimates = {}
        for name in self._splits:
            values = evaluate_split(step, self._batches(name), put)
            estimates |= {f"{name}/{k}": v for k, v in values.items()}
        return estimates

    def _batches(self, name: str) -> Iterator[Any]:
        return eval_batches(
            self._dataset.splits[name],
            self._batch_size,
            max_examples=self._max,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
        )

    def score(self, estimates: Mapping[str, Estimate]) -> float | None:
        """The value that marks the best checkpoint, None if it is not finite.

        Raises:
            ConfigError: when config.evaluate.best names no metric.
        """
        name = self._best or next((k for k in estimates if k.startswith("test/")), "")
        if self._best and name not in estimates:
            raise ConfigError(f"config.evaluate.best={name!r}, expected one of {list(estimates)}")
        value = estimates[name].mean if name else math.nan
        return value if math.isfinite(value) else None

    def draw(self, state: State, step: int, run: RunDir, log: MetricLog | None) -> None:
        """Writes the grid of this step; all processes take part, one writes."""
        samples = np.asarray(self._draw(state, jax.random.key(SAMPLE_SEED)))
        if log:
            image = picture(samples, self._dataset.spec.levels)
            save_png(run.samples / f"step_{step:08}.png", image)
            log.picture(step, image)
