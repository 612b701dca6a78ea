"""What `benchmarks/editing.py` trains on and is asked: faces whose every edit is known."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.embedded import factors
from jaxgen.fields import DataSpec

NAME, SIDE = "faces_like", 32
CELL = ("smile", "eyes", "pose")  # factors of whose joint values one in ten is in no train face
HELD = 0.1
EDITS = {"smile": 2, "eyes": 2, "hue": 1, "pose": 2}  # levels of each
WIDTH, CORRELATED = 0.35, (0.76, 3_944)  # of the correlated subset, and what it is known to be


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """The full grid, and which of it is trained on.

    Attributes:
        x: uint8 [N, 32, 32, 3], each pixel the mean of four of the data set.
        truth: of the rows.
        train: rows that are trained on, increasing.
        held: rows of cells that are not.
    """

    x: np.ndarray
    truth: factors.FactorTable
    train: np.ndarray
    held: np.ndarray

    def row(self, values: np.ndarray) -> np.ndarray:
        """Rows [N] of values [N, F]."""
        return np.ravel_multi_index(tuple(values.T), self.truth.counts)

    def asked(self, factor: str, step: int, num: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows that are edited, and of the true edits: `num` whose true edit was never seen."""
        k = self.truth.names.index(factor)
        values = self.truth.values[self.held].copy()
        values[:, k] -= step
        if k in self.truth.nominal:
            values[:, k] %= self.truth.counts[k]
        inside = np.flatnonzero(values[:, k] >= 0)
        chosen = np.random.RandomState(seed).permutation(inside)[:num]
        return self.row(values[chosen]), self.held[chosen]


def faces(seed: int = 0) -> Faces:
    """The faces at half their size; `seed` of the cells that are held out."""
    truth = factors.truth(NAME)
    x = factors.render(NAME).reshape(-1, SIDE, 2, SIDE, 2, 3)
    x = ((x.sum((2, 4), dtype=np.int32) + 2) // 4).astype(np.uint8)
    sizes = [truth.counts[truth.names.index(name)] for name in CELL]
    columns = [truth.values[:, truth.names.index(name)] for name in CELL]
    cell = np.ravel_multi_index(tuple(columns), tuple(sizes))
    count = int(np.prod(sizes))
    out = np.random.RandomState(seed).permutation(count)[: round(HELD * count)]
    held = np.isin(cell, out)
    return Faces(x, truth, np.flatnonzero(~held), np.flatnonzero(held))


def dataset(found: Faces) -> Dataset:
    """The faces to train on, and those of cells that were held out as the test."""
    parts = {"train": found.train, "test": found.held}
    splits = {name: ArraySplit({"x": found.x[rows]}) for name, rows in parts.items()}
    return Dataset(
        DataSpec.of("faces_32", found.x.shape[1:], 256), splits, "one cell in ten held out"
    )


def correlated(found: Faces) -> np.ndarray:
    """Rows that are trained on, among which a smile comes with open eyes.

    Of the training split a face is kept with a probability that falls with the distance of both:
    3,944 rows, whose correlation is 0.76; then those of cells that are held out are left away.

    Raises:
        ValueError: where it is another subset.
    """
    values = factors.truth(NAME, "train").values
    share = values / (np.array(found.truth.counts) - 1)
    keep = np.exp(-np.square((share[:, 0] - share[:, 1]) / WIDTH))
    chosen = values[np.random.RandomState(1).rand(len(values)) < keep]
    both = round(float(np.corrcoef(chosen[:, 0], chosen[:, 1])[0, 1]), 2), len(chosen)
    if both != CORRELATED:
        raise ValueError(f"correlation and rows {both}, expected {CORRELATED}")
    return np.intersect1d(found.row(chosen), found.train)
