"""The conditional mean shift: how the mean code of examples changes with one of their factors.

A code z of factors f becomes z + g(f') - g(f), where g(f) is the mean code given all factors, by
ridge regression on a basis with the products of every two of them. A direction is the case where
g is linear: here the way that a smile takes may depend on where the head looks.

All is float64: codes [N, D], factors [N, F].
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

MOST_KNOTS, MOST_COLUMNS = 16, 4096
RIDGE = 1.0
SHRINKS = (1e-3, 1e-2, 1e-1)  # of the reader: shares of the mean variance


@dataclasses.dataclass(frozen=True, eq=False)
class Basis:
    """Linear splines of every factor and the products of every two: a factor's sum to one.

    Attributes:
        knots: of each factor, increasing: all its values, or quantiles where there are many.
        nominal: factors whose values have no order, 0 to the number of knots: the first follows
            the last.
    """

    knots: tuple[np.ndarray, ...]
    nominal: tuple[int, ...] = ()

    @classmethod
    def of(cls, factors: np.ndarray, nominal: tuple[int, ...] = ()) -> Basis:
        """Fits knots.

        Raises:
            ValueError: where the products are too many.
        """
        knots = []
        for column in factors.T:
            values = np.unique(column)
            if len(values) > MOST_KNOTS:
                values = np.unique(np.quantile(column, np.linspace(0, 1, 9)))
            knots.append(values)
        found = cls(tuple(knots), nominal)
        if found.size > MOST_COLUMNS:
            raise ValueError(
                f"{len(knots)} factors have {found.size:,} products of two values, more than "
                f"{MOST_COLUMNS:,}: keep fewer of them"
            )
        return found

    @property
    def size(self) -> int:
        """Columns M."""
        sizes = [len(knots) for knots in self.knots]
        return sum(sizes) + sum(a * b for a, b in itertools.combinations(sizes, 2))

    def splines(self, factors: np.ndarray) -> list[np.ndarray]:
        """[N, knots] of each factor: shares of the two knots that a value is between."""
        found = []
        for k, (knots, column) in enumerate(zip(self.knots, factors.T, strict=True)):
            rows, width = np.eye(len(knots)), len(knots)
            if k in self.nominal:
                column, knots = np.mod(column, width), np.append(knots, width)
                rows = np.concatenate([rows, rows[:1]])
            found.append(np.stack([np.interp(column, knots, row) for row in rows.T], axis=1))
        return found

    def nearest(self, factors: np.ndarray) -> np.ndarray:
        """Numbers [N, F] of the nearest knots."""
        return np.stack([np.argmax(part, axis=1) for part in self.splines(factors)], axis=1)

    def columns(self, factors: np.ndarray) -> np.ndarray:
        """[N, M]."""
        single = self.splines(factors)
        pairs = itertools.combinations(single, 2)
        return np.concatenate(
            single + [(a[:, :, None] * b[:, None]).reshape(len(a), -1) for a, b in pairs], axis=1
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Shift:
    """The mean code given factors, and factors read from codes.

    Attributes:
        basis: of the factors.
        weights: [M, D] of the mean.
        reader: [D + 1, knots of all factors], whose largest value of a factor is the nearest.
    """

    basis: Basis
    weights: np.ndarray
    reader: np.ndarray

    def mean(self, factors: np.ndarray) -> np.ndarray:
        """g(f), [N, D], but for a constant."""
        return self.basis.columns(factors) @ self.weights

    def nearest(self, codes: np.ndarray) -> np.ndarray:
        """Numbers [N, F] of the knots that codes are read as."""
        scores = codes @ self.reader[:-1] + self.reader[-1]
        ends = np.cumsum([len(knots) for knots in self.basis.knots])[:-1]
        return np.stack([np.argmax(p, axis=1) for p in np.split(scores, ends, axis=1)], axis=1)

    def read(self, codes: np.ndarray) -> np.ndarray:
        """Factors [N, F] of codes."""
        numbers = self.nearest(codes)
        return np.stack([k[n] for k, n in zip(self.basis.knots, numbers.T, strict=True)], axis=1)

    def agreement(self, codes: np.ndarray, factors: np.ndarray) -> np.ndarray:
        """[F]: share of codes that are read as the knot which is nearest to their factor."""
        return np.mean(self.nearest(codes) == self.basis.nearest(factors), axis=0)

    def moved(
        self, codes: np.ndarray, number: int, step: float, factors: np.ndarray | None = None
    ) -> np.ndarray:
        """Codes of the same examples with more of a factor.

        Args:
            codes: [N, D].
            number: of the factor.
            step: in its units; what would leave its range stops at the end.
            factors: of the examples, [N, F]; None reads them from the codes.
        """
        before = self.read(codes) if factors is None else np.asarray(factors, np.float64)
        after = before.copy()
        after[:, number] += step
        return codes + self.mean(after) - self.mean(before)


def fitted(
    codes: np.ndarray,
    factors: np.ndarray,
    nominal: tuple[int, ...] = (),
    held: tuple[np.ndarray, np.ndarray] | None = None,
) -> Shift:
    """Fits mean and reader.

    Args:
        codes: [N, D].
        factors: [N, F].
        nominal: columns whose values have no order.
        held: codes and factors of other examples, by which the reader is chosen of `SHRINKS`.

    Raises:
        ValueError: see `Basis.of`.
    """
    basis = Basis.of(factors, nominal)
    weights = ridge(basis.columns(factors), codes - codes.mean(0), RIDGE)
    near, products = basis.nearest(factors), codes.T @ codes
    found = []
    for shrink in SHRINKS if held else SHRINKS[1:2]:
        readers = [
            discriminant(codes, classes, len(knots), shrink, products)
            for classes, knots in zip(near.T, basis.knots, strict=True)
        ]
        found.append(Shift(basis, weights, np.concatenate(readers, axis=1)))
    if held is None:
        return found[0]
    return max(found, key=lambda one: float(one.agreement(*held).mean()))


def discriminant(
    codes: np.ndarray, classes: np.ndarray, num: int, shrink: float, products: np.ndarray
) -> np.ndarray:
    """[D + 1, num]: linear discriminant analysis; the largest of z . w + b is the class of z.

    Unlike the regression of indicators, it is not blind to classes between two others.

    Source: Hastie, Tibshirani & Friedman 2009, The elements of statistical learning, section 4.3,
    with classes that are equally likely.

    Args:
        codes: [N, D].
        classes: [N], 0 to num - 1; one without examples is never chosen.
        num: of the classes.
        shrink: of the mean variance within classes, that is added to each.
        products: of the codes, their transpose with themselves: one for many classes.
    """
    chosen = np.eye(num)[classes]
    counts = chosen.sum(0)
    means = chosen.T @ codes / np.maximum(counts, 1)[:, None]
    within = (products - (counts[:, None] * means).T @ means) / len(codes)
    within[np.diag_indices_from(within)] += shrink * max(np.trace(within) / len(within), 1e-12)
    weights = np.linalg.solve(within, means.T)
    offsets = np.where(counts > 0, -0.5 * np.sum(means.T * weights, axis=0), -1e30)
    return np.concatenate([weights, offsets[None]])


def ridge(x: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """[P, D] that minimises |y - x w|^2 + penalty |w|^2, by the smaller of the two systems.

    Args:
        x: [N, P].
        y: [N, D].
        penalty: above 0.
    """
    if len(x) < x.shape[1]:
        return x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(len(x)), y)
    return np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ y)
