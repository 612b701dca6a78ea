"""Processes that read: decoding that holds Python's lock goes on beside itself and the steps."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.data.dataset import DataError, Dataset, Split
from jaxgen.fields import DataSpec

IDLE_S = 60  # after which a worker without work ends; the next batch starts another
_splits: Mapping[str, Split] = {}  # what a worker reads from


class Workers:
    """Processes that hold the same splits.

    They start when first asked, and end when nobody asks for IDLE_S seconds, with this object, or
    with the process that they read for. Several threads may ask at a time, and should.
    """

    def __init__(self, splits: Mapping[str, Split], count: int):
        import loky

        self._count = count
        self._pool = loky.ProcessPoolExecutor(
            count, timeout=IDLE_S, initializer=_begin, initargs=(splits,)
        )

    def ask(self, split: str, function: str, *arguments: Any) -> dict[str, np.ndarray]:
        """What a function of a split gives.

        Raises:
            DataError: what the function raises, and when a worker was killed.
        """
        from loky.process_executor import BrokenProcessPool

        try:
            return self._pool.submit(_call, split, function, arguments).result()
        except BrokenProcessPool as error:
            raise DataError(
                f"a process that reads data was killed, or crashed: if memory is short take fewer "
                f"than data.workers={self._count}, or 0; the same command resumes"
            ) from error


@dataclasses.dataclass(frozen=True, eq=False)
class WorkedSplit(Split):
    """A split whose batches are read by workers.

    Attributes:
        inner: what they read.
        name: by which they know it.
        workers: that read.
    """

    inner: Split
    name: str
    workers: Workers

    def __len__(self) -> int:
        return len(self.inner)

    @property
    def place(self) -> str:
        """See `Split`."""
        return self.inner.place

    @property
    def redraws(self) -> bool:
        """See `Split`."""
        return self.inner.redraws

    @property
    def labels(self) -> np.ndarray | None:
        """See `Split.labels`."""
        return self.inner.labels

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        return self.workers.ask(self.name, "take", indices)

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`."""
        return self.workers.ask(self.name, "draw", indices, rows, seed, index)

    def sha256(self) -> str:
        """See `Split.sha256`."""
        return self.inner.sha256()

    def describe(self, spec: DataSpec) -> list[str]:
        """See `Split.describe`."""
        return self.inner.describe(spec)


def worked(dataset: Dataset, count: int) -> Dataset:
    """The data set, read by `count` workers where examples are decoded when asked for."""
    slow = {name: split for name, split in dataset.splits.items() if split.decodes}
    if not count or not slow:
        return dataset
    workers = Workers(slow, count)
    read = {name: WorkedSplit(split, name, workers) for name, split in slow.items()}
    return dataclasses.replace(dataset, splits={**dataset.splits, **read})


def _begin(splits: Mapping[str, Split]) -> None:
    """In a new worker: signals are for the process that it reads for, which lets it end."""
    global _splits
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _splits = splits


def _call(split: str, function: str, arguments: tuple[Any, ...]) -> dict[str, np.ndarray]:
    return getattr(_splits[split], function)(*arguments)
