"""A stack of bits: what is pushed under a model comes back by a pop under the same one.

A pop of a symbol that was not pushed draws it, from bits that come back when it is pushed. The
first such draws take bits that were there before, the start: a fixed stream, of which a file keeps
as many words as were looked at.

Source: Duda 2009, Asymmetric numeral systems; the coder is that of the library constriction.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from jaxgen.coding.archive import Chunk
from jaxgen.config import ConfigError

HEAD = 3  # words at the end that belong to the coder's state, or may
LOW = 16  # bits of a part of what has no model


class Stack:
    """Of 32-bit words."""

    def __init__(self, start: int, chunk: Chunk | None = None):
        """Of so many start words, or of those and what a chunk holds.

        Raises:
            ConfigError: for a chunk that has more of them.
        """
        import constriction

        self._start, models = _stream(start), constriction.stream.model
        self.categorical, self.uniform = models.Categorical(perfect=False), models.Uniform()
        self.gaussian = models.QuantizedGaussian
        if chunk is None:
            self._coder = constriction.stream.stack.AnsCoder(self._start, seal=True)
        else:
            kept = start - chunk.start
            if kept < 0 or not len(chunk.words) or not chunk.words[-1]:
                raise ConfigError("it is damaged: it has words of another start")
            words = np.concatenate([self._start[:kept], chunk.words])
            self._coder = constriction.stream.stack.AnsCoder(words)
        self._least = start

    def push(self, symbols: np.ndarray, model: Any, *parameters: np.ndarray) -> None:
        """int [R], under a model with parameters [R, ...]."""
        self._coder.encode_reverse(np.ascontiguousarray(symbols, np.int32), model, *parameters)

    def pop(self, num: int, model: Any, *parameters: np.ndarray) -> np.ndarray:
        """int64 [num]."""
        rows = parameters or (num,)
        found = self._coder.decode(model, *rows)
        self._least = min(self._least, self._coder.num_words())
        return np.asarray(found, np.int64)

    def push_bits(self, values: np.ndarray, bits: np.ndarray) -> None:
        """int [R], each of 0 to 2^bits - 1."""
        for at in range(int(bits.max(initial=0)) - 1, -1, -1):
            if at % LOW == 0:
                which = bits > at
                width = np.minimum(bits[which] - at, LOW)
                self.push((values[which] >> at) & ((1 << width) - 1), self.uniform, _sizes(width))

    def pop_bits(self, bits: np.ndarray) -> np.ndarray:
        """int64 [R]."""
        found = np.zeros(len(bits), np.int64)
        for at in range(0, int(bits.max(initial=0)), LOW):
            which = bits > at
            width = np.minimum(bits[which] - at, LOW)
            found[which] |= self.pop(int(which.sum()), self.uniform, _sizes(width)) << at
        return found

    def chunk(self) -> Chunk:
        """What a file keeps: all words but those of the start that nothing looked at."""
        words = np.asarray(self._coder.get_compressed())
        untouched = max(0, min(self._least - HEAD, len(words) - 1))
        return Chunk(words[untouched:], len(self._start) - untouched)

    def check_empty(self) -> None:
        """Raises ConfigError unless the start alone is left: all that was popped was pushed."""
        try:
            left = np.asarray(self._coder.get_compressed(unseal=True))
        except Exception as error:  # constriction's own, of a coder that is not sealed
            raise ConfigError(WRONG) from error
        if not np.array_equal(left, self._start):
            raise ConfigError(WRONG)


WRONG = "what was decoded is not what was compressed: report this file"


def _sizes(bits: np.ndarray) -> np.ndarray:
    return (1 << bits).astype(np.int32)


def _stream(words: int) -> np.ndarray:
    """uint32, the first of one long sequence."""
    raw = hashlib.shake_256(b"jaxgen: start of a stack").digest(4 * words)
    return np.frombuffer(raw, "<u4").astype(np.uint32)
