"""Mean and covariance of features, streamed over batches in float64.

Batches are centred before they are multiplied, and merged by the formula of Chan et al. 1979,
"Updating formulae and a pairwise algorithm for computing sample variances": sums of
squares lose all digits where the mean is large.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np

from jaxgen.config import ConfigError

ROWS = 8192  # of one product: bounds the memory of float64 copies


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Of a set of features.

    Attributes:
        count: of examples (the sum of their weights).
        mean: [D] float64.
        scatter: [D, D] float64, the sum of outer products of deviations from the mean.
    """

    count: float
    mean: np.ndarray
    scatter: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, weight: np.ndarray | None = None) -> Moments:
        """Moments of a batch.

        Args:
            x: [N, D], of any real type.
            weight: [N], 0 for padding; 1 everywhere by default.

        Raises:
            ConfigError: for features that are no rows, or not finite.
        """
        x = np.asarray(x)
        if x.ndim != 2:
            raise ConfigError(f"features: expected rows [N, D], got the shape {x.shape}")
        weight = np.ones(len(x)) if weight is None else np.asarray(weight, np.float64)
        parts = [_batch(x[i : i + ROWS], weight[i : i + ROWS]) for i in range(0, len(x), ROWS)]
        empty = cls(0.0, np.zeros(x.shape[1]), np.zeros((x.shape[1],) * 2))
        return functools.reduce(lambda a, b: a.merge(b), parts, empty)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets together."""
        count = self.count + other.count
        if not self.count or not other.count:
            return self if self.count else other
        delta = other.mean - self.mean
        between = np.outer(delta, delta) * (self.count * other.count / count)
        mean = self.mean + delta * (other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> np.ndarray:
        """[D, D], the scatter over count - 1.

        Raises:
            ConfigError: for fewer than two examples.
        """
        if self.count < 2:
            raise ConfigError(f"a covariance needs at least 2 examples, got {self.count:g}")
        return self.scatter / (self.count - 1)


def stream(batches: Iterable[np.ndarray | tuple[np.ndarray, np.ndarray]]) -> Moments:
    """Moments of all batches, each [B, D] or ([B, D], weight [B]); the last may be shorter.

    Raises:
        ConfigError: if there is no batch.
    """
    parts = (Moments.of(*b) if isinstance(b, tuple) else Moments.of(b) for b in batches)
    try:
        return functools.reduce(Moments.merge, parts)
    except TypeError as error:  # reduce() of nothing
        raise ConfigError("no batch of features: nothing to take moments of") from error


def _batch(x: np.ndarray, weight: np.ndarray) -> Moments:
    kept = weight > 0  # padding may hold anything
    x, weight = x[kept].astype(np.float64), weight[kept]
    if not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).any(1).sum())
        raise ConfigError(f"features: {bad} of {len(x)} rows are not finite (NaN images?)")
    count = weight.sum()
    mean = weight @ x / max(count, 1e-300)
    x -= mean
    return Moments(float(count), mean, x.T @ (x * weight[:, None]))
