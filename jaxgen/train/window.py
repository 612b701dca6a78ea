"""Metrics on their way from the device: read late, so that no step waits for them."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterator

import numpy as np

from jaxgen.train.program import Program, Record

LAG = 8  # dispatches in flight: enough that no step waits, few enough that batches do not pile up


class NonFinite(RuntimeError):
    """A loss, parameter or gradient that is not finite."""

    def __init__(self, step: int, batch: int, turn: str, tensor: str):
        """Args: step that was played, number of its batch, the turn, and the first bad tensor."""
        super().__init__(f"step {step}, turn {turn!r}: {tensor} is not finite")
        self.step, self.batch, self.turn, self.tensor = step, batch, turn, tensor


@dataclasses.dataclass(frozen=True)
class _Dispatch:
    first: int  # train step
    batches: list[int]
    record: Record
    closes: bool


class Window:
    """Means of the metrics between one closed dispatch and the next."""

    def __init__(self, program: Program):
        """Args: the program whose records come in."""
        self._program = program
        self._pending: deque[_Dispatch] = deque()
        self._sums = np.zeros((len(program.names), 2))

    def add(self, first: int, batches: list[int], record: Record, closes: bool) -> None:
        """Takes the record of a dispatch.

        Args:
            first: train step that it started at.
            batches: numbers of the batches that it used, one per step.
            record: still on the device.
            closes: whether a row of means ends with it.
        """
        self._pending.append(_Dispatch(first, batches, record, closes))

    def drain(self, leave: int = 0) -> Iterator[tuple[int, dict[str, float]]]:
        """Reads all records but the newest `leave`.

        Yields:
            For each row that ends among them, the train steps done and the means since the row
            before; skipped turns weigh nothing.

        Raises:
            NonFinite: for the earliest step with a tensor that is not finite.
        """
        while len(self._pending) > leave:
            dispatch = self._pending.popleft()
            count = len(dispatch.batches)
            bad = np.asarray(dispatch.record.bad)[:count]
            for i in np.flatnonzero(bad.any(axis=1)):
                found = self._program.nonfinite(bad[i])
                assert found is not None
                raise NonFinite(dispatch.first + int(i), dispatch.batches[i], *found)
            self._sums += np.asarray(dispatch.record.values, np.float64)[:count].sum(axis=0)
            if dispatch.closes:
                yield dispatch.first + count, self._means()

    def _means(self) -> dict[str, float]:
        means = {
            name: total / weight
            for name, (total, weight) in zip(self._program.names, self._sums, strict=True)
            if weight
        }
        self._sums[:] = 0
        return means
