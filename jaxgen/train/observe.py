"""Looking at a model while it trains: evaluation on the splits, grids of samples."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgen import sharding
from jaxgen.abilities import Density, Weighted
from jaxgen.config import ConfigError, unknown
from jaxgen.data.dataset import Dataset
from jaxgen.data.loader import eval_batches, evenly
from jaxgen.evaluate.givens import check_given, rows_of, split_given
from jaxgen.evaluate.sampling import Sampler
from jaxgen.evaluate.split import Drawn, Estimate, evaluate_split, split_values, value_sums
from jaxgen.evaluate.validation import check_count, check_knobs
from jaxgen.evaluate.watch import Watch
from jaxgen.pictures import plane, save_png, view
from jaxgen.progress import track
from jaxgen.rundir import RunDir
from jaxgen.train.log import MetricLog
from jaxgen.train.memory import check_batches, check_examples
from jaxgen.types import DataSpec, Method, State
from jaxgen.values import Natural

GRID = 200  # points along each axis of a density plot
SAMPLE_SEED = 20_140_610  # of the latents of the grids: the same at every step and in every run


class Observer:
    """The config section `evaluate`, on averaged params where there are any.

    Attributes:
        every_steps: interval of evaluations; 0 evaluates at the end only.
        sample_every_steps: of sample grids.
        metrics_every_steps: of metrics of samples.
        intervals: all three.
        likelihoods: metric -> what it is the negative log-probability of.
        draws: of noise for each example.
        averages: names of the averages that stand for params.
    """

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
        draws: int = 1,
        best: str = "",
        sample_every_steps: int = 1000,
        num_samples: Natural = 64,
        sample: Mapping[str, Any] | None = None,
        metrics: str | Sequence[str] = "",
        metrics_every_steps: int = 0,
        metrics_num: int = 1000,
        metrics_extractor: str = "",
        metrics_budget: float = 0.1,
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
            draws: of noise for each example, that its values are means of. One is a function of
                the batch's number; of several each is a function of the example, and so the same
                whatever the batches.
            best: the metric whose lowest value marks the best checkpoint, as "test/bpd"; the
                first one of the test split if empty.
            sample_every_steps: interval of sample grids; 0 draws at the end only.
            num_samples: of a grid; 0 draws none, ever.
            sample: knobs of `Method.sample`, as `{"temperature": 0.7}`.
            metrics: families of `evaluate.metrics` to measure on samples, as "fd,pr"; empty for
                none.
            metrics_every_steps: their interval; 0 measures at the end only.
            metrics_num: samples for them.
            metrics_extractor: of their features; pixels if empty.
            metrics_budget: share of the time that they may take: a measurement that is due when
                the share is used up is left out.

        Raises:
            ConfigError: for a split that the data do not have, or an unfit number.
        """
        for name in splits:
            if name not in dataset.splits:
                raise ConfigError(
                    f"config.evaluate.splits: {name!r} is none of {', '.join(dataset.splits)}"
                )
        lowest = min(every_steps, sample_every_steps, metrics_every_steps)
        if min(lowest, num_samples) < 0 or batch_size < 1:
            raise ConfigError("config.evaluate: intervals, num_samples >= 0; batch_size >= 1")
        if max_examples is not None and max_examples < 1:
            raise ConfigError(f"config.evaluate.max_examples={max_examples}, expected 1 or more")
        shown = f"config.evaluate.batch_size={batch_size}"
        check_batches(dataset.spec, batch_size, shown, "take fewer at a time")
        if num_samples:
            check_examples(dataset.spec, num_samples, True, "config.evaluate.num_samples")
            _check_knobs(method, dataset.spec, num_samples, sample or {})
        self.every_steps, self.sample_every_steps = every_steps, sample_every_steps
        self.metrics_every_steps = metrics_every_steps if metrics else 0
        self.intervals = (every_steps, sample_every_steps, self.metrics_every_steps)
        self._watch: Watch | None = None
        if metrics:
            self._watch = Watch(
                method,
                mesh,
                dataset,
                metrics=metrics,
                num=metrics_num,
                name=metrics_extractor,
                budget=metrics_budget,
            )
        self._mesh, self._dataset, self._target = mesh, dataset, target
        self._batch_size = math.ceil(batch_size / mesh.size) * mesh.size
        self.draws = draws
        self._splits, self._max, self._best = tuple(splits), max_examples, best
        self.averages = sorted(target.averages().values())
        self.likelihoods = method.likelihoods if isinstance(method, Density) else {}
        self._compile(method, target, num_samples, dict(sample or {}))

    def _compile(
        self, method: Method, target: State, num_samples: int, sample: dict[str, Any]
    ) -> None:
        """Makes the functions that are compiled at their first use."""
        mesh = self._mesh
        whole, rows = sharding.replicated(mesh), sharding.batch_sharding(mesh)
        where = jax.tree.map(lambda x: x.sharding, target)

        found = method if self.draws == 1 else Drawn(method, self.draws)

        def evaluate(state: State, batch: Any, rng: Any) -> Any:
            return value_sums(found, sharding.whole_params(state.averaged(), mesh), batch, rng)

        def values(state: State, batch: Any, rng: Any) -> Any:
            return found.evaluate(sharding.whole_params(state.averaged(), mesh), batch, rng)

        split = self._dataset.splits[self._splits[-1]]
        self._knobs, self._num_samples = sample, num_samples
        self._given = rows_of(method, self._dataset.spec, split, num_samples)
        self._sampler = Sampler(method, self._dataset.spec, mesh)

        def log_prob(state: State, x: Any) -> Any:
            assert isinstance(method, Density)
            whole_state = sharding.whole_params(state.averaged(), mesh)
            return method.log_prob(whole_state, x, jax.random.key(0))

        self._log_prob = None
        plane = self._dataset.spec.shape == (2,)
        if isinstance(method, Density) and plane and not method.density.given:
            self._log_prob = jax.jit(log_prob, in_shardings=(where, whole), out_shardings=whole)
        self._evaluate = jax.jit(evaluate, in_shardings=(where, rows, whole), out_shardings=whole)
        self._values = jax.jit(values, in_shardings=(where, rows, whole), out_shardings=whole)

    @property
    def batch_size(self) -> int:
        """Of evaluations, rounded up to a multiple of the devices."""
        return self._batch_size

    def evaluate(self, state: State) -> dict[str, Estimate]:
        """`split/metric` -> estimate; every example counts exactly once."""
        step = functools.partial(self._evaluate, state)
        estimates = {}
        for name in self._splits:
            values = evaluate_split(step, self._batches(name), self._put)
            estimates |= {f"{name}/{k}": v for k, v in values.items()}
        return estimates

    def per_example(self, state: State, name: str) -> dict[str, np.ndarray]:
        """Columns [N]: "index" in the split, "label" if there is one, and every metric.

        Their means are what `evaluate` gives. For one process.

        Raises:
            ConfigError: for a split that the data do not have.
        """
        if name not in self._dataset.splits:
            known = ", ".join(self._dataset.splits)
            raise ConfigError(f"split {name!r} is none of {known}")
        split = self._dataset.splits[name]
        index = evenly(len(split), self._max)
        step = functools.partial(self._values, state)
        columns = {"index": index}
        if self._dataset.spec.num_classes:
            columns["label"] = split.take(index)["label"]
        return columns | split_values(step, self._batches(name), self._put)

    def _put(self, batch: Any) -> Any:
        return sharding.put(batch, sharding=sharding.batch_sharding(self._mesh))

    def _batches(self, name: str) -> Iterator[Any]:
        split, size = self._dataset.splits[name], self._batch_size
        batches = eval_batches(
            split,
            size,
            max_examples=self._max,
            indexed=self.draws > 1,
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            threads=self._dataset.threads,
        )
        count, unit = len(evenly(len(split), self._max)), self._dataset.spec.unit
        return track(batches, f"evaluating {name}", count, unit, lambda _: size)

    def prepare(self) -> None:
        """Before training: what metrics of samples need, and whether `best` names a metric.

        Raises:
            ConfigError: when it does not.
        """
        if self._best and self._best not in (names := self._names()):
            raise ConfigError(unknown("metric in config.evaluate.best", self._best, names))
        if self._watch:
            self._watch.prepare()

    def _names(self) -> list[str]:
        """`split/metric` of an evaluation, by tracing it, as its first use would."""
        batch = self._put(next(self._batches(self._splits[-1])))
        metrics = self._evaluate.eval_shape(self._target, batch, jax.random.key(0))
        return [f"{split}/{metric}" for split in self._splits for metric in metrics]

    def measure(self, state: State) -> dict[str, float]:
        """Name -> value of the metrics of samples; {} where there are none, or no time for them."""
        return self._watch.measure(state) if self._watch else {}

    def score(self, estimates: Mapping[str, Estimate]) -> float | None:
        """The value that marks the best checkpoint, None if it is not finite.

        Raises:
            ConfigError: when config.evaluate.best names no metric.
        """
        name = self._marked(estimates)
        if name and name not in estimates:
            raise ConfigError(f"config.evaluate.best={name!r}, expected one of {list(estimates)}")
        value = estimates[name].mean if name else math.nan
        return value if math.isfinite(value) else None

    def headline(self, estimates: Mapping[str, Estimate]) -> dict[str, float]:
        """The metric that marks the best checkpoint, on every split: what one wants to see."""
        metric = self._marked(estimates).rpartition("/")[2]
        return {k: v.mean for k, v in estimates.items() if k.rpartition("/")[2] == metric}

    def _marked(self, estimates: Mapping[str, Estimate]) -> str:
        return self._best or next((k for k in estimates if k.startswith("test/")), "")

    def draw(self, state: State, step: int, run: RunDir, log: MetricLog | None) -> None:
        """Writes the grid of this step; all processes take part, one writes."""
        if not self._num_samples:
            return
        drawn = self._sampler.samples(
            state, self._num_samples, SAMPLE_SEED, self._knobs, given=self._given
        )
        samples = np.concatenate(list(drawn))
        density = self._density(state) if self._log_prob else None
        if log:
            image = plane(samples, *density) if density else view(self._dataset.spec.x, samples)
            save_png(run.samples / f"step_{step:08}.png", image)
            log.picture(step, image)

    def _density(self, state: State) -> tuple[np.ndarray, tuple[float, ...]]:
        """The density on a grid over the evaluation data, and the grid's extent."""
        assert self._log_prob is not None
        data = self._dataset.splits[self._splits[-1]]
        x = data.take(np.arange(min(len(data), 4096)))["x"]
        middle, half = (x.max(0) + x.min(0)) / 2, 0.55 * np.max(x.max(0) - x.min(0))
        sides = [np.linspace(m - half, m + half, GRID, dtype=np.float32) for m in middle]
        grid = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
        log_density = np.asarray(self._log_prob(state, grid)) + self._dataset.spec.x.log_volume
        density = np.exp(log_density).reshape(GRID, GRID)
        return density, tuple(float(v) for side in sides for v in (side[0], side[-1]))


def _check_knobs(method: Method, spec: DataSpec, num: int, knobs: Mapping[str, Any]) -> None:
    try:
        check_knobs(method, knobs)
        fields, _ = split_given(spec, knobs)
        for name, value in fields.items():  # a config may be a stranger's: it opens nothing
            if isinstance(value, str):
                raise ConfigError(f"{name}: expected numbers, no file")
        check_given(method, spec, fields, num)
    except ConfigError as error:
        raise ConfigError(f"config.evaluate.sample: {error}") from None


def weighted(method: Method, draws: Any) -> Method:
    """The method with so many draws in its importance-weighted estimate; None leaves it.

    Raises:
        ConfigError: for a method without one, or a number that cannot be.
    """
    if draws is None:
        return method
    if not isinstance(method, Weighted):
        raise ConfigError(f"{type(method).__name__} has no importance-weighted estimate")
    changed: Any = method
    try:
        return dataclasses.replace(
            changed, importance_samples=check_count(draws, "importance_samples")
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
