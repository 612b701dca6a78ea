"""Lossless files of examples: a model's probabilities, and a range coder of a library.

A decoder must find the encoder's probabilities exactly, and neither batch size nor threads, nor a
pass over all entries against one entry after another, give floats that are equal to the last bit.
So the network runs in float64; log-probabilities are rounded to a grid of 2^-12 nats, and where one
of them lies so near to the middle of two points that a rounding error could move it, the grid is
shifted, by eighths, which the encoder says. From the grid on all is integers. A file is `MAGIC`, a
version, the length of a header and the header (JSON), the coder's words, and a digest of all that.

Source: the coder is a range coder as Martin 1979 has it, of the library constriction.
"""

from __future__ import annotations

import decimal
import functools
import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Enumerates, given
from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import filled
from jaxgen.evaluate.validation import check_count, check_data
from jaxgen.machine import check_memory
from jaxgen.progress import track
from jaxgen.train.integrity import state_digest
from jaxgen.types import State
from jaxgen.views.examples import read as read_pictures

MAGIC, VERSION = b"JXGC", 1
BATCH = 32  # examples that are coded beside each other
STEPS = 4096  # of the grid, in a nat
FAR = 2**17 - 1  # steps: what is less likely, by 32 nats, counts as that
SHIFTS, MARGIN = 8, 2e-6  # of the grid; the margin in steps: 5e-10 nats
ONE = 31  # bits of the integer that stands for the most likely value
USUAL = 1 - 2.0**-14  # probability of a grid that is not shifted
DIGEST = 16  # bytes
MOST_HEADER = 2**16  # bytes


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """2^31 exp(-256 i / STEPS) and 2^31 exp(-j / STEPS), by decimal arithmetic: integers."""
    with decimal.localcontext(prec=40):
        unit = decimal.Decimal(2) ** ONE
        rates = decimal.Decimal(256) / STEPS, decimal.Decimal(1) / STEPS
        sizes = (FAR >> 8) + 1, 256
        high, low = (
            [int((unit * (-rate * i).exp()).to_integral_value()) for i in range(size)]
            for rate, size in zip(rates, sizes, strict=True)
        )
    return np.array(high, np.uint64), np.array(low, np.uint64)


def grid(log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which shift of the grid is safe for each row [R, K], and the rows in steps under it.

    Raises:
        ConfigError: where none is.
    """
    below = (log_p.max(-1, keepdims=True) - log_p) * STEPS
    shift = np.full(len(log_p), -1)
    for i in reversed(range(SHIFTS)):
        y = below + i / SHIFTS
        safe = (np.abs(np.abs(y - np.rint(y)) - 0.5) > MARGIN) | (below > FAR + 1)
        shift[safe.all(-1)] = i
    if (shift < 0).any() or not np.isfinite(below.min(-1)).all():
        raise ConfigError("the model's probabilities cannot be rounded: are its parameters finite?")
    return shift, steps_of(log_p, shift)


def steps_of(log_p: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """int64 [R, K]: by how many steps each value is less likely than the likeliest."""
    below = (log_p.max(-1, keepdims=True) - log_p) * STEPS + (shift / SHIFTS)[:, None]
    return np.rint(np.minimum(below, FAR)).astype(np.int64)


def probabilities(steps: np.ndarray) -> np.ndarray:
    """float64 [R, K], the same on any machine: quotients of integers."""
    high, low = _tables()
    weights = np.maximum((high[steps >> 8] * low[steps & 255]) >> np.uint64(ONE), np.uint64(1))
    return weights / weights.sum(-1, keepdims=True)


class Coder:
    """A model's probabilities, in float64, for the range coder.

    Attributes:
        run: what `jaxgen.load` gives.
        digest: of the model: its method, and its parameters.
    """

    def __init__(self, run: Any):
        """Raises ConfigError for a model that does not say what a coder needs."""
        self.run, method = run, run.method
        if not isinstance(method, Enumerates):
            raise ConfigError(
                f"{type(method).__name__} says no value's probability given those before it: only "
                "autoregressive models compress"
            )
        if given(method):
            raise ConfigError(
                f"{run.directory.path} is given {', '.join(given(method))}: what is compressed "
                "says nothing of it, train without (config.method.given)"
            )
        state = run.state.averaged().replace(opt={}, ema={})
        about = {"params": state.params, "vars": state.vars}
        words = {k: run.config[k] for k in ("model", "method")} | {"x": run.spec.x.as_json()}
        whole = state_digest(about) + json.dumps(words, sort_keys=True)
        self.digest = hashlib.sha256(whole.encode()).hexdigest()[: 2 * DIGEST]
        self.method, self._state = method, state
        self._all = jax.jit(method.entry_log_probs)
        self._start, self._next = jax.jit(method.entry_start), jax.jit(method.entry_next)

    def _wide(self) -> State:
        def wide(leaf: Any) -> Any:
            leaf = np.asarray(leaf)
            return leaf.astype(np.float64) if np.issubdtype(leaf.dtype, np.floating) else leaf

        return self._state.replace(
            params=jax.tree.map(wide, self._state.params), vars=jax.tree.map(wide, self._state.vars)
        )

    def known(self, x: np.ndarray) -> np.ndarray:
        """[B, D, K], of examples that are there."""
        with jax.enable_x64(True):
            return np.asarray(self._all(self._wide(), x))

    def entries(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """[B, K] of each entry of x in turn; what was found is to be written into x before."""
        with jax.enable_x64(True):
            state = self._wide()
            memory = self._start(state, x)
        for entry in range(x[0].size):
            with jax.enable_x64(True):
                found, memory = self._next(state, memory, x, np.int32(entry))
            yield np.asarray(found)


def chosen(
    run: Any, pictures: Any = None, num: int | None = None, fit: str | None = None, **places: Any
) -> np.ndarray:
    """Examples [N, ...] in the units of the data: of one's own, or the first of the test split.

    Args:
        run: what `jaxgen.load` gives.
        pictures: see `views.examples.read`; None takes test examples.
        num: of test examples; None takes all.
        fit: of `pictures`.
        **places: of the data.

    Raises:
        ConfigError: for what is none of the run's data, or a number beside pictures.
    """
    if pictures is not None:
        if num is not None:
            raise ConfigError("num is of test examples, and pictures are named: omit it")
        return read_pictures(run.directory, pictures, fit).x
    split = run.dataset(**places).splits["test"]
    num = len(split) if num is None else min(check_count(num, "num"), len(split))
    return split.take(np.arange(num))["x"]


def compress(run: Any, x: Any, batch: int = BATCH) -> bytes:
    """A file of examples [N, ...], in the units of the data.

    Args:
        run: an autoregressive model that is given nothing.
        x: examples.
        batch: of them coded beside each other; the decoder takes the same.

    Raises:
        ConfigError: for another model, or examples that are none of its data.
    """
    import constriction

    coder, spec = Coder(run), run.spec
    x = check_data(x, spec, "run.compress(x)")
    batch = min(check_count(batch, "batch"), len(x))
    encoder, shifts, values = constriction.stream.queue.RangeEncoder(), *_models()
    for start in track(range(0, len(x), batch), "compressing", len(x), spec.unit, lambda _: batch):
        part = x[start : start + batch]
        log_p = coder.known(filled(part, 0, batch))[: len(part)].swapaxes(0, 1)  # [D, B, K]
        symbols = part.reshape(len(part), -1).T.astype(np.int32)
        for rows, column in zip(log_p, symbols, strict=True):
            shift, steps = grid(rows)
            encoder.encode(shift.astype(np.int32), shifts)
            encoder.encode(np.ascontiguousarray(column), values, probabilities(steps))
    words = np.asarray(encoder.get_compressed(), "<u4").tobytes()
    about = {"model": coder.digest, "count": len(x), "batch": batch, "crc32": zlib.crc32(x)}
    header = json.dumps(about, sort_keys=True).encode()
    body = MAGIC + struct.pack("<HI", VERSION, len(header)) + header + words
    return body + hashlib.sha256(body).digest()[:DIGEST]


def decompress(run: Any, data: bytes) -> np.ndarray:
    """The examples [N, ...] of a file that `compress` gave.

    Raises:
        ConfigError: for what is no such file, is damaged, or was made by another model.
    """
    import constriction

    about, words = read(data)
    coder, spec = Coder(run), run.spec
    if about["model"] != coder.digest:
        raise ConfigError(
            f"it was compressed by the model {about['model'][:12]}, and {run.directory.path} at "
            f"step {run.step} is {coder.digest[:12]}: give that run, and the same --step"
        )
    count, batch = about["count"], about["batch"]
    dtype = np.dtype(spec.x.dtype)
    check_memory(count * spec.dims * dtype.itemsize, f"{count:,} {spec.unit}", "free some")
    decoder, shifts, values = constriction.stream.queue.RangeDecoder(words), *_models()
    out = np.zeros((count, *spec.shape), dtype)
    for start in track(range(0, count, batch), "decompressing", count, spec.unit, lambda _: batch):
        part = np.zeros((batch, *spec.shape), dtype)
        flat, real = part.reshape(batch, -1), min(batch, count - start)
        for entry, rows in enumerate(coder.entries(part)):
            steps = steps_of(rows[:real], decoder.decode(shifts, real))
            flat[:real, entry] = decoder.decode(values, probabilities(steps))
        out[start : start + real] = part[:real]
    if zlib.crc32(out) != about["crc32"]:
        raise ConfigError("what was decoded is not what was compressed: report this file")
    return out


def read(data: bytes) -> tuple[dict[str, Any], np.ndarray]:
    """The header of a file, and the coder's words uint32.

    Raises:
        ConfigError: for what is no such file, or is damaged.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise ConfigError("it is no file of `jaxgen compress`")
    start = len(MAGIC) + 6
    if len(data) < start + DIGEST:
        raise ConfigError("it is cut off")
    version, size = struct.unpack("<HI", data[len(MAGIC) : start])
    if version != VERSION:
        raise ConfigError(f"it is of version {version}, and this jaxgen reads {VERSION}")
    body, digest = data[:-DIGEST], data[-DIGEST:]
    if hashlib.sha256(body).digest()[:DIGEST] != digest:
        raise ConfigError("it is damaged or cut off: its digest is another one")
    try:
        about = json.loads(body[start : start + size]) if size <= MOST_HEADER else None
        whole = {k: about[k] for k in ("count", "batch", "crc32")} | {"model": about["model"]}
    except (ValueError, RecursionError, TypeError, KeyError):
        raise ConfigError("its header is none of `jaxgen compress`") from None
    numbers = [whole[k] for k in ("count", "batch", "crc32")]
    sound = all(type(n) is int and 0 <= n < 2**32 for n in numbers) and numbers[1] > 0
    words = body[start + size :]
    if not sound or numbers[1] > max(numbers[0], 1) or not isinstance(whole["model"], str):
        raise ConfigError("its header is none of `jaxgen compress`")
    if len(words) % 4:
        raise ConfigError("it is damaged: its words are cut")
    return whole, np.frombuffer(words, "<u4").astype(np.uint32)


def _models() -> tuple[Any, Any]:
    """Of the shifts, and of values whose probabilities are given."""
    import constriction

    rare = (1 - USUAL) / (SHIFTS - 1)
    usual = np.array([USUAL] + [rare] * (SHIFTS - 1))
    categorical = constriction.stream.model.Categorical
    return categorical(usual, perfect=False), categorical(perfect=False)


def bits_per_dim(run: Any, x: np.ndarray) -> float:
    """What the model itself says of examples, in float64: bits/dim."""
    coder, total = Coder(run), 0.0
    for start in range(0, len(x), BATCH):
        part = x[start : start + BATCH]
        log_p = coder.known(filled(x, start, BATCH))[: len(part)]
        values = part.reshape(len(part), -1, 1).astype(np.int64)
        total -= float(np.take_along_axis(log_p, values, -1).sum())
    return total / (x.size * math.log(2))
