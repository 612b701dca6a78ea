"""Coding entry by entry, of models that say each value's probability given those before it.

One pass over all entries serves the encoder, and the decoder finds one after another: two programs,
whose floats differ in the last bits. So where a log-probability lies so near to the middle of two
points of the grid that a rounding error could move it, the grid is shifted, by eighths, which the
encoder says.

Source: the coder is a range coder as Martin 1979 has it, of the library constriction.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jaxgen.abilities import Enumerates
from jaxgen.coding.archive import Chunk
from jaxgen.coding.network import Network, mark
from jaxgen.coding.tables import SHIFTS, grid, probabilities, steps_of
from jaxgen.evaluate.sampling import filled

USUAL = 1 - 2.0**-14  # probability of a grid that is not shifted


class Entries:
    """A model's probabilities for the range coder.

    Attributes:
        network: of the run.
        batch: examples beside each other.
    """

    kind, usual_batch, lossless = "entries", 32, True
    takes = ()

    def __init__(self, network: Network, batch: int):
        """Of a method that is `Enumerates`."""
        self.network, self.batch = network, batch
        method: Any = network.method
        self._all = network.compiled(method.entry_log_probs)
        self._start = network.compiled(method.entry_start)
        self._next = network.compiled(method.entry_next)

    @staticmethod
    def fits(method: Any) -> bool:
        """Whether the method says what is needed."""
        return isinstance(method, Enumerates)

    def known(self, x: np.ndarray) -> np.ndarray:
        """[B, D, K], of examples that are there."""
        return np.asarray(self._all(x))

    def canary(self) -> str:
        """Digest of the tables of an example of zeros."""
        spec = self.network.spec
        return mark(steps_of(self.known(np.zeros((self.batch, *spec.shape), spec.x.dtype))))

    def encode(self, x: np.ndarray) -> Chunk:
        """Of examples [N, ...]."""
        import constriction

        encoder, (shifts, values) = constriction.stream.queue.RangeEncoder(), _models()
        for start in range(0, len(x), self.batch):
            part = x[start : start + self.batch]
            log_p = self.known(filled(part, 0, self.batch))[: len(part)].swapaxes(0, 1)
            symbols = part.reshape(len(part), -1).T.astype(np.int32)
            for rows, column in zip(log_p, symbols, strict=True):
                shift, steps = grid(rows)
                encoder.encode(shift.astype(np.int32), shifts)
                encoder.encode(np.ascontiguousarray(column), values, probabilities(steps))
        return Chunk(np.asarray(encoder.get_compressed()))

    def decode(self, chunk: Chunk, count: int) -> np.ndarray:
        """The examples [count, ...]."""
        import constriction

        spec = self.network.spec
        decoder, (shifts, values) = constriction.stream.queue.RangeDecoder(chunk.words), _models()
        out = np.zeros((count, *spec.shape), spec.x.dtype)
        for start in range(0, count, self.batch):
            part = np.zeros((self.batch, *spec.shape), spec.x.dtype)
            flat, real = part.reshape(self.batch, -1), min(self.batch, count - start)
            memory = self._start(part)
            for entry in range(flat.shape[1]):
                rows, memory = self._next(memory, part, np.int32(entry))
                steps = steps_of(np.asarray(rows)[:real], decoder.decode(shifts, real))
                flat[:real, entry] = decoder.decode(values, probabilities(steps))
            out[start : start + real] = part[:real]
        return out

    def nats(self, x: np.ndarray) -> float:
        """What the model itself says of all examples."""
        total = 0.0
        for start in range(0, len(x), self.batch):
            part = x[start : start + self.batch]
            log_p = self.known(filled(x, start, self.batch))[: len(part)]
            values = part.reshape(len(part), -1, 1).astype(np.int64)
            total -= math.fsum(np.take_along_axis(log_p, values, -1).ravel())
        return total

    @property
    def options(self) -> dict[str, int]:
        """What a decoder has to know: nothing."""
        return {}


def _models() -> tuple[Any, Any]:
    """Of the shifts, and of values whose probabilities are given."""
    import constriction

    rare = (1 - USUAL) / (SHIFTS - 1)
    usual = np.array([USUAL] + [rare] * (SHIFTS - 1))
    categorical = constriction.stream.model.Categorical
    return categorical(usual, perfect=False), categorical(perfect=False)
