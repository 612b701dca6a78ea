"""Antialiased Lanczos scaling of an image, all channels at once: Pillow's numbers, in less time.

Pillow scales arrays of real numbers a plane at a time. Here the two passes are products with the
few columns of each matrix that are not zero, in Pillow's precision: sums in float64, results of a
pass in float32. `benchmarks/reading.py` measures what it is for.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LOBES = 3.0
AT_A_TIME = 8  # results of a product: more would multiply more zeros, and start threads of BLAS


class Window(NamedTuple):
    """What some neighbouring results are made of.

    Attributes:
        first: pixel that they read.
        last: pixel after those that they read.
        weights: float64 [last - first, results].
    """

    first: int
    last: int
    weights: np.ndarray


def scaled(image: np.ndarray, box: Sequence[float], height: int, width: int) -> np.ndarray:
    """The box (left, top, right, bottom) of [H, W, C] as float32 [height, width, C].

    Columns are scaled before rows, as in Pillow.
    """
    rows, columns, channels = image.shape
    left, top, right, bottom = map(float, box)
    of_columns, of_rows = windows(columns, left, right, width), windows(rows, top, bottom, height)
    read = slice(of_rows[0].first, of_rows[-1].last)
    x = np.moveaxis(image[read], 2, 1)
    if x.dtype.itemsize > 2:  # shorter numbers are the same in float32
        x = x.astype(np.float32)
    x = x.astype(np.float64, order="C").reshape(-1, columns)
    y = np.concatenate([x[:, a:b] @ w for a, b, w in of_columns], 1).astype(np.float32)
    y = y.astype(np.float64).reshape(-1, channels * width)
    a = read.start
    z = np.concatenate([w.T @ y[first - a : last - a] for first, last, w in of_rows])
    return np.moveaxis(z.astype(np.float32).reshape(height, channels, width), 1, 2)


@functools.lru_cache(maxsize=64)
def windows(size: int, start: float, stop: float, count: int) -> tuple[Window, ...]:
    """The windows of `count` results from start to stop of `size` pixels."""
    start, stop = np.float32(start), np.float32(stop)  # as Pillow has a box
    start, scale = float(start), float(stop - start) / count
    stretch = max(scale, 1.0)
    centre = start + (np.arange(count) + 0.5) * scale
    reach = LOBES * stretch
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + reach + 0.5).astype(np.int64), size)
    made = []
    for i in range(0, count, AT_A_TIME):
        mine = slice(i, min(i + AT_A_TIME, count))
        a, b = first[mine].min(), last[mine].max()
        pixel = np.arange(a, b)[:, None]
        t = (pixel - centre[None, mine] + 0.5) / stretch
        inside = (pixel >= first[None, mine]) & (pixel < last[None, mine]) & (np.abs(t) < LOBES)
        weights = np.where(inside, np.sinc(t) * np.sinc(t / LOBES), 0.0)
        made.append(Window(int(a), int(b), weights / weights.sum(axis=0)))
    return tuple(made)
