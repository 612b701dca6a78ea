"""Where the numbers go: a line on the terminal, a JSON line, TensorBoard."""

from __future__ import annotations

import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np


def say(text: str) -> None:
    """Prints a line at once."""
    print(text, flush=True)


def silent(text: str) -> None:
    """What processes other than the first say."""


class MetricLog:
    """`metrics.jsonl` and TensorBoard events, written by the first process.

    Rows of steps after `resumed_at` are cut from the file: a resumed run writes them again.
    """

    def __init__(self, path: pathlib.Path, tensorboard: pathlib.Path, resumed_at: int):
        """Opens both.

        Args:
            path: of the JSON lines.
            tensorboard: directory of the event files.
            resumed_at: train steps done; 0 for a new run.
        """
        from tensorboardX import SummaryWriter

        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_lines(path) if line["step"] <= resumed_at]
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(temporary, path)
        self._file = open(path, "a", buffering=1)
        # two writers of one second would share a file: the suffix tells them apart
        suffix = f".{resumed_at:08}"
        self._events = SummaryWriter(
            str(tensorboard), purge_step=resumed_at + 1, filename_suffix=suffix
        )

    def write(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """One row: `{"step": ..., "split": ..., name: value}`; a NaN becomes a string."""
        row: dict[str, Any] = {"step": step, "split": split}
        for name, value in values.items():
            row[name] = float(value) if math.isfinite(value) else str(value)
            self._events.add_scalar(f"{split}/{name}", float(value), step)
        self._file.write(json.dumps(row, allow_nan=False) + "\n")

    def picture(self, step: int, image: np.ndarray) -> None:
        """A picture [H, W, 3] uint8 for TensorBoard."""
        self._events.add_image("samples", image, step, dataformats="HWC")

    def close(self) -> None:
        """Flushes and closes both."""
        self._file.close()
        self._events.close()


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a metrics file; a torn last line, of a killed run, is left out."""
    rows = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return rows


def duration(seconds: float) -> str:
    """3725 as "1:02:05", 65 as "1:05"."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


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

    def __init__(self, what: str, quiet: bool = False):
        """Args: what compiles; whether to say nothing."""
        self._what, self._quiet = what, quiet

    def __enter__(self) -> None:
        self._start, self._status = time.monotonic(), None
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
