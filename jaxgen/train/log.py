"""Where the numbers go: a line on the terminal, a JSON line, TensorBoard."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging

from jaxgen import rows
from jaxgen.files import WriteError
from jaxgen.progress import duration
from jaxgen.train.tensorboard import Events


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


def silent(text: str) -> None:
    """What processes other than the first say."""


class MetricLog:
    """`metrics.jsonl` and TensorBoard events, written by the first process.

    What is in the file and not of steps up to `resumed_at` is moved out of it: see `rows.resume`.
    A row that cannot be written is an error; events that cannot are said, and left out.
    """

    def __init__(
        self,
        path: pathlib.Path,
        tensorboard: pathlib.Path,
        resumed_at: int,
        say: Callable[[str], None] = say,
    ):
        """Opens both.

        Args:
            path: of the JSON lines.
            tensorboard: directory of the event files.
            resumed_at: train steps done; 0 for a new run.
            say: where messages go.

        Raises:
            WriteError: when the rows cannot be written.
        """
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            rows.resume(path, resumed_at, say)
            self._file = open(path, "ab", buffering=0)
        except OSError as error:
            raise error if isinstance(error, WriteError) else WriteError(path, error) from error
        self._events = Events(tensorboard, resumed_at, say)

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """One row: `{"step": ..., "split": ..., name: value}`; a NaN becomes a string.

        Raises:
            WriteError: when it cannot be written; what was written of it is taken back.
        """
        row: dict[str, Any] = {"step": step, "split": split}
        row |= {name: rows.finite(value) for name, value in values.items()}
        line = json.dumps(row, allow_nan=False).encode() + b"\n"
        before = os.fstat(self._file.fileno()).st_size
        try:
            if (written := self._file.write(line)) < len(line):  # the disk is full: why exactly?
                self._file.write(line[written:])
        except OSError as error:
            with contextlib.suppress(OSError):
                self._file.truncate(before)
            raise WriteError(self._path, error, len(line)) from error
        self._events.scalars(step, {f"{split}/{name}": value for name, value in values.items()})

    def picture(self, step: int, image: np.ndarray) -> None:
        """A picture [H, W, 3] uint8 for TensorBoard."""
        self._events.picture(step, image)

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        self._events.close()


def progress_line(
    step: int,
    steps: int,
    values: Mapping[str, float],
    evaluated: Mapping[str, float],
    speed: float,
    left: float,
    unit: str = "images",
) -> str:
    """What the terminal shows at intervals.

    Args:
        step: done.
        steps: of the run.
        values: of the training steps since the last line.
        evaluated: of the last evaluation, `split/name`.
        speed: examples/s of all devices.
        left: seconds to the end, at this speed.
        unit: what examples are called.
    """
    shown = [f"{name} {short(value)}" for name, value in values.items()]
    shown += [f"{name} {short(value)}" for name, value in evaluated.items()]
    head = f"step {step:>{len(str(steps))}}/{steps}"
    return "  ".join([head, *shown, f"{speed:,.0f} {unit}/s", f"ETA {duration(left)}"])


def short(value: float, places: int = 3) -> str:
    """The number with so many decimals, or four digits if it is very small or large."""
    usual = 1e-2 <= abs(value) < 1e4 or value == 0
    return f"{value:.{places}f}" if usual else f"{value:.4g}"


class Compiling:
    """Says that something compiles, and how long it took: a silent minute looks dead."""

    def __init__(self, what: str, quiet: bool = False, since: float | None = None):
        """Args: what compiles; whether to say nothing; when it began, if before."""
        self._what, self._quiet, self._since = what, quiet, since

    def __enter__(self) -> None:
        self._start, self._status = self._since or time.monotonic(), None
        if self._quiet:
            return
        if sys.stderr.isatty():
            from rich.console import Console

            self._status = Console(stderr=True).status(f"compiling {self._what} ...")
            self._status.start()
        else:
            say(f"compiling {self._what} ...")

    def __exit__(self, *exception: Any) -> None:
        if self._status:
            self._status.stop()
        if not self._quiet and exception[0] is None:
            say(f"compiled {self._what} in {time.monotonic() - self._start:.1f} s")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without orbax's remarks that a run which is only read is only read."""
    before = logging.get_verbosity()
    logging.set_verbosity(min(before, logging.ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(before)
