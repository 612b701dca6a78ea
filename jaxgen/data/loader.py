"""Batches of indices, then of examples: deterministic, resumable, the same for any process count.

The order is a pure function of (seed, batch number), so the position of an iterator is one
integer, the number of the next batch, and resuming needs nothing else. A global batch is made
first and then sliced by process: every number of processes sees the same global batches with the
same row order. grain runs the reading in threads and keeps a few batches ready.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np

from jaxgen.data.dataset import DataError, Split

PREFETCH = 4  # batches kept ready
LAST = 2**62  # number of train batches: endless


@dataclasses.dataclass(frozen=True)
class Order:
    """The endless order of train examples: a new permutation every epoch, nothing dropped.

    Batch i holds positions i * batch_size .. (i + 1) * batch_size - 1 of the concatenated epochs,
    so batches straddle epochs. NumPy promises never to change the stream of `RandomState`, which
    it does not promise for `Generator`.

    Attributes:
        count: number of examples.
        batch_size: of the global batch.
        seed: 0 <= seed < 2**32.

    Example:
        >>> order = Order(count=5, batch_size=3, seed=0)
        >>> sorted(int(i) for k in range(5) for i in order[k])  # three epochs
        [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    """

    count: int
    batch_size: int
    seed: int

    def __getitem__(self, index: int) -> np.ndarray:
        """Indices of global batch `index`, int64 [batch_size]."""
        first = index * self.batch_size
        epochs, rows = np.divmod(np.arange(first, first + self.batch_size), self.count)
        out = np.empty(self.batch_size, np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            out[here] = _permutation(self.count, self.seed, int(epoch))[rows[here]]
        return out


@functools.lru_cache(maxsize=8)
def _permutation(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.RandomState([seed, epoch % 2**32]).permutation(count)


def train_batches(
    split: Split,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    skipped: Collection[int] = (),
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 2,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Endless shuffled batches.

    Args:
        split: what to read.
        batch_size: of the global batch, a multiple of `process_count`.
        seed: of the order, 0 <= seed < 2**32.
        start: number of the first batch to deliver.
        skipped: numbers of batches to leave out.
        process_index: whose rows to read.
        process_count: number of processes that share each batch.
        threads: that read ahead; 0 reads in the calling thread.

    Returns:
        A generator of (number of the global batch, this process's rows of it), see `Split.draw`.
        `close()` stops its threads.

    Raises:
        DataError: on sizes that do not fit.
    """
    rows = _local_rows(batch_size, process_index, process_count)
    if len(split) == 0:
        raise DataError("expected at least one train example, got none")
    if not 0 <= seed < 2**32:
        raise DataError(f"expected a data seed in 0 .. 2**32 - 1, got {seed}")
    order = Order(len(split), batch_size, seed)
    left_out = frozenset(skipped)

    def read(index: int) -> tuple[int, dict[str, np.ndarray]]:
        index = int(index)
        return index, split.draw(order[index], rows, seed, index)

    return _stream(start, LAST, read, threads, left_out)


def eval_batches(
    split: Split,
    batch_size: int,
    *,
    max_examples: int | None = None,
    indexed: bool = False,
    process_index: int = 0,
    process_count: int = 1,
    threads: int = 2,
) -> Iterator[dict[str, np.ndarray]]:
    """Every example exactly once, in order, in batches of one shape.

    The last batch is filled up with copies of its first example, which weigh nothing.

    Args:
        split: what to read.
        batch_size: of the global batch, a multiple of `process_count`.
        max_examples: take only that many, evenly spaced over the split (sources are often
            sorted by class); None takes all.
        indexed: deliver "index", too: int32, of the examples in the split.
        process_index: whose rows to read.
        process_count: number of processes that share each batch; all get as many batches.
        threads: that read ahead; 0 reads in the calling thread.

    Returns:
        A generator of this process's rows, see `Split.take`, with "weight": float32
        [batch_size / process_count], 1 for examples and 0 for padding.

    Raises:
        DataError: on sizes that do not fit.
    """
    rows = _local_rows(batch_size, process_index, process_count)
    chosen = evenly(len(split), max_examples)

    def read(index: int) -> dict[str, np.ndarray]:
        here = chosen[index * batch_size : (index + 1) * batch_size]
        padded = np.full(batch_size, here[0])
        padded[: len(here)] = here
        weight = (np.arange(batch_size) < len(here)).astype(np.float32)
        index = {"index": padded[rows].astype(np.int32)} if indexed else {}
        return split.take(padded[rows]) | {"weight": weight[rows]} | index

    return _stream(0, -(-len(chosen) // batch_size), read, threads)


def _local_rows(batch_size: int, process_index: int, process_count: int) -> slice:
    """The rows of the global batch that belong to one process."""
    if batch_size < 1 or batch_size % process_count:
        raise DataError(
            f"expected a batch size that is a positive multiple of the {process_count} "
            f"process(es), got {batch_size}"
        )
    if not 0 <= process_index < process_count:
        raise DataError(f"expected a process index in 0 .. {process_count - 1}: {process_index}")
    local = batch_size // process_count
    return slice(process_index * local, (process_index + 1) * local)


def evenly(count: int, most: int | None) -> np.ndarray:
    """At most `most` of 0 .. count - 1, int64, evenly spaced and increasing; None takes all."""
    if most is not None and most < 1:
        raise DataError(f"expected max_examples >= 1 or None, got {most}")
    taken = count if most is None else min(count, most)
    return np.arange(taken, dtype=np.int64) * count // max(taken, 1)


def _stream(
    first: int,
    last: int,
    read: Callable[[int], Any],
    threads: int,
    left_out: frozenset[int] = frozenset(),
) -> Iterator[Any]:
    """`read(i)` for first <= i < last in order, less `left_out`, a few ahead in threads."""
    import grain

    # The whole batch is one grain element: grain carries numbers, NumPy gathers the rows.
    numbers = grain.MapDataset.range(first, last)
    if left_out:
        numbers = numbers.filter(lambda index: int(index) not in left_out)
    ahead = max(PREFETCH, threads) if threads else 0
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=ahead)
    iterator = iter(numbers.map(read).to_iter_dataset(options))
    try:
        yield from iterator
    finally:
        iterator.close()
