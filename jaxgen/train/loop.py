"""The loop: feed, dispatch, log, evaluate, save; and what happens when one of them fails."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.augment import training
from jaxgen.data.dataset import Dataset
from jaxgen.data.loader import train_batches
from jaxgen.rundir import RunDir
from jaxgen.train.alarms import Alarms
from jaxgen.train.checkpoint import Checkpoints
from jaxgen.train.log import Compiling, MetricLog, progress_line, short
from jaxgen.train.observe import Observer
from jaxgen.train.program import Program, Record
from jaxgen.train.stop import Stopped, StopSignal
from jaxgen.train.window import LAG, NonFinite, Window
from jaxgen.types import State, batches_per_step
from jaxgen.values import Natural

ON_NAN = ("stop", "rollback")


@dataclasses.dataclass(frozen=True)
class Options:
    """The config section `train`.

    Attributes:
        steps: of the run.
        batch_size: global, whatever the number of devices.
        accum: microbatches that a gradient is averaged over.
        steps_per_dispatch: more than one spares tiny models the cost of a dispatch.
        log_every_steps: interval of the progress line and the metrics.
        save_every_steps: interval of checkpoints; 0 saves at the end only.
        save_every_minutes: a second interval, 0 for none; looked at with each progress line.
        on_nan: "stop", or "rollback" to the last checkpoint and leave the batch out.
        max_rollbacks: of a run; the next non-finite step stops it.
    """

    steps: int
    batch_size: int
    accum: int = 1
    steps_per_dispatch: int = 1
    log_every_steps: int = 100
    save_every_steps: int = 1000
    save_every_minutes: float = 0.0
    on_nan: str = "stop"
    max_rollbacks: Natural = 3

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name in ("steps", "batch_size", "accum", "steps_per_dispatch", "log_every_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"config.train.{name}={getattr(self, name)}, expected 1 or more")
        if self.save_every_steps < 0 or self.save_every_minutes < 0:
            raise ConfigError("config.train.save_every_* must not be negative; 0 means never")
        if self.on_nan not in ON_NAN:
            raise ConfigError(f"config.train.on_nan={self.on_nan!r}, expected one of {ON_NAN}")


@dataclasses.dataclass
class Position:
    """Where a run is; with the state, all that a checkpoint holds.

    Attributes:
        step: train steps done.
        batch: number of the next global batch.
        skipped: batches left out after a non-finite step.
        best: lowest score so far.
    """

    step: int = 0
    batch: int = 0
    skipped: list[int] = dataclasses.field(default_factory=list)
    best: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """All that the loop works with."""

    run: RunDir
    seed: int
    program: Program
    options: Options
    dataset: Dataset
    observer: Observer
    checkpoints: Checkpoints
    stop: StopSignal
    ours: Callable[[], None]  # raises when another process has taken the run directory
    say: Callable[[str], None]
    main: bool  # the process that writes


def examples_per_step(parts: Parts) -> int:
    """Examples that a step consumes."""
    return parts.options.batch_size * batches_per_step(parts.program.method.turns)


def train(parts: Parts) -> tuple[State, dict[str, Any]]:
    """Trains to the end, from the newest good checkpoint where there is one.

    Returns:
        The final state, and the estimates of the last evaluation.

    Raises:
        Stopped: after saving, when told to stop.
        NonFinite: when a tensor is not finite and no rollback is left.
        CheckpointError: when a checkpoint could not be written.
    """
    # beside the initialisation: half of a compilation keeps one core busy only
    with ThreadPoolExecutor(1, "compile") as pool:
        began, compiled = time.monotonic(), pool.submit(parts.program.compile)
        state, position = start(parts)
        if parts.main and position.step < parts.options.steps:
            parts.run.set_summary_aside()
        parts.stop.check(position.step)
        with Compiling("the train step", quiet=not parts.main, since=began):
            step = compiled.result()
    parts.stop.check(position.step)
    while True:
        log = None
        if parts.main:
            log = MetricLog(parts.run.metrics, parts.run.tensorboard, position.step, parts.say)
        try:
            return _Loop(parts, step, log, position).go(state)
        except NonFinite as error:
            state, position = _after_nonfinite(parts, error, position)
        finally:
            if log:
                log.close()


def start(parts: Parts) -> tuple[State, Position]:
    """The newest good checkpoint, or the state before the first step."""
    restored = parts.checkpoints.restore(parts.program.target)
    if restored is None:
        with Compiling("the initialisation", quiet=not parts.main):
            state = parts.program.init(first_batch(parts.dataset, parts.seed, parts))
            jax.block_until_ready(state)
        return state, Position()
    step, state, progress = restored
    position = Position(step=step, **progress)
    parts.say(
        f"resumed at step {step} of {parts.options.steps}, data at batch {position.batch}"
        + (f", without batches {position.skipped}" if position.skipped else "")
    )
    return state, position


def first_batch(dataset: Dataset, seed: int, parts: Parts) -> Mapping[str, np.ndarray]:
    """This process's rows of the batch of the first step."""
    with _Feed(dataset, examples_per_step(parts), seed, Position()) as feed:
        return next(feed)[1]


class _Feed:
    """Batches from a position on; closes its threads."""

    def __init__(self, dataset: Dataset, examples: int, seed: int, position: Position):
        self._batches: Any = train_batches(
            training(dataset),
            examples,
            seed=seed,
            start=position.batch,
            skipped=tuple(position.skipped),
            process_index=jax.process_index(),
            process_count=jax.process_count(),
            threads=dataset.threads,
        )

    def __enter__(self) -> Iterator[tuple[int, Mapping[str, np.ndarray]]]:
        return self._batches

    def __exit__(self, *exception: Any) -> None:
        self._batches.close()


class _Loop:
    """One uninterrupted stretch of training."""

    def __init__(self, parts: Parts, step: Any, log: MetricLog | None, position: Position):
        self._parts, self._step, self._log, self._position = parts, step, log, position
        self._window = Window(parts.program)
        self._evaluated: dict[str, Any] = {}
        self._alarms = Alarms(parts.program.method, parts.say)
        self._saved_at = self._logged_at = time.monotonic()
        self._logged_step = self._saved_step = position.step

    def go(self, state: State) -> tuple[State, dict[str, Any]]:
        """Steps until the end."""
        parts, position = self._parts, self._position
        examples = examples_per_step(parts)
        with _Feed(parts.dataset, examples, parts.seed, position) as feed:
            while position.step < parts.options.steps:
                state = self._dispatch(state, feed)
                self._after(state)
        if not self._evaluated:  # the run had finished before
            self._evaluated = parts.observer.evaluate(state)
        self._save(state)
        parts.checkpoints.wait()
        return state, self._evaluated

    def _dispatch(self, state: State, feed: Iterator[Any]) -> State:
        program, position = self._parts.program, self._position
        count = min(program.room, self._next_event() - position.step)
        taken = [next(feed) for _ in range(count)]
        batches = program.put([batch for _, batch in taken])
        state, record = self._step(state, batches, program.rng, np.int32(count))
        numbers = [number for number, _ in taken]
        first, position.step = position.step, position.step + count
        position.batch = numbers[-1] + 1
        closes = self._due(self._parts.options.log_every_steps)
        self._window.add(first, numbers, Record(*record), closes)
        return state

    def _intervals(self) -> list[int]:
        options, observer = self._parts.options, self._parts.observer
        every = [options.log_every_steps, options.save_every_steps, *observer.intervals]
        return [n for n in every if n]

    def _next_event(self) -> int:
        step = self._position.step
        return min(self._parts.options.steps, *(step + n - step % n for n in self._intervals()))

    def _due(self, every: int) -> bool:
        step = self._position.step
        return bool(every and step % every == 0) or step == self._parts.options.steps

    def _after(self, state: State) -> None:
        """What is due after a dispatch."""
        parts, position = self._parts, self._position
        options, observer, score = parts.options, parts.observer, None
        self._report(LAG)
        parts.checkpoints.poll()
        save_due = self._due(options.save_every_steps)
        if self._due(options.log_every_steps):
            save_due |= self._minutes_are_up()
        if any(map(self._due, observer.intervals)):
            score = self._observe(state)
        if score is not None and (position.best is None or score < position.best):
            position.best, save_due = score, True
        signum = parts.stop.received()
        if save_due or signum:
            self._save(state, score)
        if signum and position.step < options.steps:
            parts.checkpoints.wait()
            raise Stopped(position.step, signum)

    def _observe(self, state: State) -> float | None:
        """Evaluates and draws, as far as due; its time does not count as training time."""
        observer, position = self._parts.observer, self._position
        self._report()
        began, score = time.monotonic(), None
        if self._due(observer.every_steps):
            self._evaluated = observer.evaluate(state)
            score = observer.score(self._evaluated)
            self._write_evaluation()
        if self._due(observer.sample_every_steps):
            observer.draw(state, position.step, self._parts.run, self._log)
        if self._due(observer.metrics_every_steps):
            self._measure(state)
        self._logged_at += time.monotonic() - began
        return score

    def _measure(self, state: State) -> None:
        """Metrics of samples, where the config asks for them."""
        values, step = self._parts.observer.measure(state), self._position.step
        if values and self._log:
            self._log.write(step, "metrics", values)
        if values:
            shown = "  ".join(f"{k} {short(v, 4)}" for k, v in values.items())
            self._parts.say(f"step {step}: measured  {shown}")

    def _report(self, leave: int = 0) -> None:
        """Writes the rows that are complete, reading all records but the newest `leave`."""
        for step, values in self._window.drain(leave):
            self._write_row(step, values)

    def _write_row(self, step: int, values: dict[str, float]) -> None:
        parts, now = self._parts, time.monotonic()
        seconds = max(now - self._logged_at, 1e-9) / max(step - self._logged_step, 1)
        self._logged_at, self._logged_step = now, step
        speed, unit = examples_per_step(parts) / seconds, parts.dataset.spec.unit
        left = seconds * (parts.options.steps - step)
        if self._log:
            self._log.write(step, "train", values | {f"{unit}_per_second": speed})
        shown = _shown(values, parts.program.method.turns)
        evaluated = parts.observer.headline(self._evaluated)
        parts.say(progress_line(step, parts.options.steps, shown, evaluated, speed, left, unit))
        self._alarms.check(step, values)

    def _write_evaluation(self) -> None:
        step = self._position.step
        by_split: dict[str, dict[str, float]] = {}
        for key, estimate in self._evaluated.items():
            split, name = key.split("/", 1)
            by_split.setdefault(split, {})[name] = estimate.mean
        for split, values in by_split.items():
            if self._log:
                self._log.write(step, f"eval_{split}", values)
        shown = "  ".join(f"{k} {short(v.mean, 4)}" for k, v in self._evaluated.items())
        self._parts.say(f"step {step}: evaluated  {shown}")

    def _minutes_are_up(self) -> bool:
        minutes = self._parts.options.save_every_minutes
        due = bool(minutes) and time.monotonic() - self._saved_at >= 60 * minutes
        if jax.process_count() > 1 and minutes:
            from jax.experimental import multihost_utils

            due = bool(multihost_utils.broadcast_one_to_all(np.asarray(due)))
        return due

    def _save(self, state: State, score: float | None = None) -> None:
        position = self._position
        self._parts.ours()
        self._report()  # a state that is not finite is not saved
        progress = dataclasses.asdict(position)
        self._parts.checkpoints.save(progress.pop("step"), state, progress, score)
        self._saved_at = time.monotonic()


def _shown(values: Mapping[str, float], turns: Any) -> dict[str, float]:
    """Metrics for the terminal: without the turn's name where there is only one turn.

    A loss that a metric repeats under its own name is left out.
    """
    if len(turns) > 1:
        return dict(values)
    short = {k.removeprefix(f"{turns[0].label}/"): v for k, v in values.items()}
    repeated = any(v == short["loss"] for k, v in short.items() if k != "loss")
    return {k: v for k, v in short.items() if k != "loss" or not repeated}


def _after_nonfinite(parts: Parts, error: NonFinite, position: Position) -> tuple[State, Position]:
    """Rolls back, or explains and raises again."""
    options = parts.options
    parts.checkpoints.wait()
    steps = [s for s in parts.checkpoints.steps() if s <= error.step]
    kept = f"the checkpoint of step {steps[-1]} is kept" if steps else "no checkpoint was saved yet"
    done = len(position.skipped)
    if options.on_nan == "stop" or done >= options.max_rollbacks:
        advice = "lower the learning rate, clip the gradient (config.optim.*.clip_norm), or "
        advice += "set --config.train.on_nan=rollback"
        if options.on_nan == "rollback":
            advice = f"{done} rollbacks were made, config.train.max_rollbacks is reached"
        error.args = (f"{error.args[0]} (batch {error.batch}); {kept}; {advice}",)
        raise error
    state, restored = start(parts)
    restored.skipped = [*position.skipped, error.batch]
    parts.say(
        f"{error}: rolled back to step {restored.step}, batch {error.batch} is left out "
        f"(rollback {len(restored.skipped)} of at most {options.max_rollbacks})"
    )
    return state, restored
