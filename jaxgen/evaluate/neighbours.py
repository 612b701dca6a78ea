"""Nearest neighbours of rows of features, and balls up to them.

Distances are Euclidean. They are found tile by tile, as |a|^2 + |b|^2 - 2 <a, b> of centred rows
by the host's BLAS, so that memory does not grow with the number of pairs. An example's own row is
left out by its index; it does not hide a duplicate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgen.config import ConfigError

TILE = 2048  # rows and columns of the matrix of distances that exist at a time
ROUNDING = 64  # times the machine's epsilon and the squared norm: no larger than rounding


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """Of N examples among others.

    Attributes:
        indices: [N, k] int, rows of the others, nearest first.
        distances: [N, k] float64, Euclidean.
    """

    indices: np.ndarray
    distances: np.ndarray


def nearest(x: np.ndarray, train: np.ndarray, k: int = 1, dtype: Any = np.float64) -> Nearest:
    """The k nearest of `train` to every row of `x`.

    Args:
        x: [N, D].
        train: [M, D], M >= k.
        k: number of neighbours.
        dtype: of the tiles; distances of those that are found are always float64.

    Raises:
        ConfigError: for too few rows, rows of different length, or that are not finite.
    """
    x, train, centre = checked(x, train, 1, k)
    best = _Best(len(x), k)
    for rows, columns, squared in tiles(x, train, centre, dtype):
        best.update(rows, columns, squared)
    return best.found(x, train)


def nearest_others(x: np.ndarray, k: int = 1, dtype: Any = np.float64) -> Nearest:
    """The k nearest rows to every row of a set, itself left out.

    Args:
        x: [N, D], N > k.
        k: number of neighbours.
        dtype: of the tiles.

    Raises:
        ConfigError: as `nearest`.
    """
    x, _, centre = checked(x, x, k + 1, k + 1)
    best = _Best(len(x), k)
    for rows, columns, squared in tiles(x, x, centre, dtype, upper=True):
        if rows == columns:
            np.fill_diagonal(squared, np.inf)
        else:
            best.update(columns, rows, squared.T)
        best.update(rows, columns, squared)
    return best.found(x, x)


class _Best:
    """The k nearest so far of each of `num` rows, in order."""

    def __init__(self, num: int, k: int):
        self.k = k
        self.squared = np.full((num, k), np.inf)
        self.index = np.zeros((num, k), np.int64)

    def update(self, rows: slice, columns: slice, squared: np.ndarray) -> None:
        """Takes in the distances of a tile [rows, columns]."""
        closer = np.flatnonzero(squared.min(1) < self.squared[rows, -1])
        if not len(closer):
            return
        block, k = squared[closer], min(self.k, squared.shape[1])
        new = np.argpartition(block, k - 1, axis=1)[:, :k]
        at = closer + rows.start
        values = np.concatenate([self.squared[at], np.take_along_axis(block, new, 1)], 1)
        index = np.concatenate([self.index[at], new + columns.start], 1)
        order = np.argsort(values, axis=1, kind="stable")[:, : self.k]
        self.squared[at] = np.take_along_axis(values, order, 1)
        self.index[at] = np.take_along_axis(index, order, 1)

    def found(self, x: np.ndarray, others: np.ndarray) -> Nearest:
        """With distances from differences: those of tiles cancel where rows nearly coincide."""
        distances = np.empty_like(self.squared)
        for rows in _slices(len(x), max(1, TILE // self.k)):
            difference = others[self.index[rows]].astype(np.float64) - x[rows, None]
            distances[rows] = np.sqrt(np.einsum("nkd,nkd->nk", difference, difference))
        order = np.argsort(distances, axis=1, kind="stable")
        return Nearest(*(np.take_along_axis(a, order, 1) for a in (self.index, distances)))


def balls(x: np.ndarray, centre: np.ndarray, k: int, strict: bool, dtype: Any) -> np.ndarray:
    """Squared radii for `<=`, [N]: up to the k-th neighbour and, unless `strict`, with it.

    Rounding of a tile's distance is allowed for: copies of an example whose radius is zero are
    in its closed ball, and not in its open one.
    """
    radius = nearest_others(x, k, dtype).distances[:, -1] ** 2
    norms = np.concatenate([_norms(x[rows] - centre) for rows in _slices(len(x), TILE)])
    slack = ROUNDING * np.finfo(dtype).eps * norms
    return np.nextafter(radius - slack, -np.inf) if strict else radius + slack


def tiles(
    x: np.ndarray, y: np.ndarray, centre: np.ndarray, dtype: Any, upper: bool = False
) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Squared distances [rows, columns], tile by tile; of the upper triangle only, if so told."""
    for rows in _slices(len(x), TILE):
        a = (x[rows] - centre).astype(dtype)
        a_norms = _norms(a)[:, None]
        for columns in _slices(len(y), TILE):
            if upper and columns.start < rows.start:
                continue
            b = (y[columns] - centre).astype(dtype)
            squared = a @ b.T
            squared *= -2
            squared += a_norms
            squared += _norms(b)
            yield rows, columns, squared


def _norms(x: np.ndarray) -> np.ndarray:
    """Squared, [N]."""
    return np.einsum("nd,nd->n", x, x)


def _slices(count: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, count)) for i in range(0, count, size)]


def checked(
    x: np.ndarray, y: np.ndarray, least_x: int, least_y: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both sets, and the mean of the second."""
    x, y = np.asarray(x), np.asarray(y)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ConfigError(f"features: expected [N, D] and [M, D], got {x.shape} and {y.shape}")
    if len(x) < least_x or len(y) < least_y:
        raise ConfigError(
            f"that many neighbours need at least {least_x} and {least_y} examples,"
            f" got {len(x)} and {len(y)}"
        )
    if not all(np.isfinite(a[rows]).all() for a in (x, y) for rows in _slices(len(a), TILE)):
        raise ConfigError("features are not finite (NaN images?)")
    return x, y, y.mean(0, dtype=np.float64)
