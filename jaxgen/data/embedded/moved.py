"""Data that move with a context of real numbers, for densities that are given one.

`turned_moons`: the two moons turned about the origin by an angle; the context is its cosine and
sine. A turn changes no volume: the conditional entropy is that of the moons. `moved_digits`: a
digits scan on a canvas of 12x12, moved down and right by up to four pixels, real numbers, between
which it is interpolated linearly and rounded; the context is how far. Both are drawn with a seed,
the digits of a split from the scans of that split.
"""

from __future__ import annotations

import math

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.data.embedded import digits, toys
from jaxgen.types import DataSpec, Units

NAMES = ("turned_moons", "moved_digits")
COUNTS = {
    "turned_moons": {"train": 50_000, "test": 10_000},
    "moved_digits": {"train": 20_000, "test": 4_000},
}
SEEDS = {"train": 0, "test": 1}
FURTHEST = 4  # pixels
SIDE = 8 + FURTHEST


def load(name: str, data_dir: str | None = None) -> Dataset:
    """One of the two; the scans themselves are prepared under `data_dir`.

    Raises:
        DataError: on another name, or where `data_dir` cannot be written.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    return _turned_moons() if name == "turned_moons" else _moved_digits(data_dir)


def _turned_moons() -> Dataset:
    name = "turned_moons"
    splits = {}
    for split, count in COUNTS[name].items():
        random = np.random.RandomState(SEEDS[split])
        points, label = toys.TOYS["moons"].sample(random, count)
        angle = 2 * math.pi * random.rand(count)
        given = np.stack([np.cos(angle), np.sin(angle)], -1)
        x = turned(points, given)
        arrays = {"x": x, "label": label, "context": given}
        kinds = {"x": np.float32, "label": np.int32, "context": np.float32}
        splits[split] = ArraySplit({k: v.astype(kinds[k]) for k, v in arrays.items()})
    spec = DataSpec.of(
        name,
        (2,),
        num_classes=2,
        entropy=toys.TOYS["moons"].entropy,
        context=("cosine", "sine"),
    )
    return Dataset(spec, splits, "seeded draws of the moons, turned")


def turned(points: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Points [N, 2] turned by the angles whose cosine and sine are in `given`, [N, 2]."""
    (x, y), (cosine, sine) = points.T, given.T
    return np.stack([cosine * x - sine * y, sine * x + cosine * y], -1)


def _moved_digits(data_dir: str | None) -> Dataset:
    name, scans, splits = "moved_digits", digits.load(data_dir=data_dir), {}
    units = Units((FURTHEST / 2,) * 2, (FURTHEST / math.sqrt(12),) * 2)
    for split, count in COUNTS[name].items():
        random, own = np.random.RandomState(SEEDS[split]), scans.splits[split]
        every = own.take(np.arange(len(own)))
        rows = random.randint(len(own), size=count)
        offset = FURTHEST * random.rand(count, 2)
        x = moved(every["x"][rows], offset)
        arrays = {"x": x, "label": every["label"][rows], "context": units.inward(offset)}
        splits[split] = ArraySplit(arrays)
    spec = DataSpec.of(
        name,
        (SIDE, SIDE, 1),
        scans.spec.levels,
        num_classes=10,
        context=("down", "right"),
        context_units=units,
    )
    return Dataset(spec, splits, "seeded moves of the digits scans", notes=scans.notes)


def moved(scans: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Scans [N, 8, 8, 1] moved by `offset` [N, 2] pixels, down and right: uint8 [N, 12, 12, 1]."""
    whole = np.minimum(offset.astype(np.int64), FURTHEST - 1)
    part = offset - whole
    canvas = np.zeros((len(scans), SIDE, SIDE))
    for corner in np.ndindex(2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        rows, columns = (
            whole[:, axis, None] + corner[axis] + np.arange(8)[None] for axis in range(2)
        )
        index = np.arange(len(scans))[:, None, None], rows[:, :, None], columns[:, None]
        canvas[index] += weight[:, None, None] * scans[..., 0]
    return np.rint(canvas).astype(np.uint8)[..., None]
