"""The Frechet distance of two sets of features, each taken as a normal distribution.

    d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

Source: Dowson & Landau 1982, "The Frechet distance between multivariate normal distributions";
Heusel et al. 2017 (TTUR), equation 6, for features of images. All in float64 on the host.

With S = R R^T the trace is the sum of the singular values of R1^T R2. So no root is taken of an
eigenvalue of S1 S2, of which those below 1e-16 of the largest are noise, with roots of 1e-8; in R,
eigenvalues of S that are rounding noise count as zero.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.comparison import Comparison, Features
from jaxgen.evaluate.measurement import Interval, Measurement, Number, of_draws

POINTS = 15  # set sizes from which a distance is extrapolated
LARGEST_START = 5000  # of the smallest of them
_GAUSSIANS = "distance of Gaussians fitted to "
NUMBERS = {
    "fid": Number(
        "Fréchet inception distance", f"{_GAUSSIANS}Inception features", extractor="inception"
    ),
    "fcd": Number(
        "Fréchet classifier distance",
        f"{_GAUSSIANS}features of a classifier of these data; not the FID",
    ),
    "fd": Number("Fréchet distance", f"{_GAUSSIANS}features; not the FID"),
    "fid_inf": Number("FID, extrapolated", "to infinitely many samples", extractor="inception"),
    "fcd_inf": Number("Fréchet distance, extrapolated", "to infinitely many samples"),
    "fd_inf": Number("Fréchet distance, extrapolated", "to infinitely many samples"),
    "fid_ratio": Number(
        "FID / variance of the data", "moves less with the features", extractor="inception"
    ),
    "fcd_ratio": Number(
        "Fréchet distance / variance of the data", "moves less with the classifier"
    ),
    "fd_ratio": Number("Fréchet distance / variance of the data", "of the features named"),
}


def measure(c: Comparison) -> list[Measurement]:
    """The distance, its ratio to the trace of the real covariance, and without bias in num."""
    real = Moments.of(c.real.features)
    trace, dims = float(np.trace(real.covariance)), c.real.features.shape[1]
    if not trace:
        raise ConfigError(f"all real examples of {c.split} have the same features")

    def distances(fake: Features) -> list[float]:
        distance = frechet(real, Moments.of(fake.features))
        return [distance, distance / trace]

    (distance, ratio), notes = c.over_sets(distances)
    name, print_of = c.prefix("fcd", "fid", "fd"), c.print_of_features()
    context = c.context(
        trace=trace,
        expected_bias=expected_bias(real.covariance, len(c.real), c.subject.num),
        **_floor(c, real, trace),
    )
    fields: dict[str, Any] = dict(fingerprint=print_of, context=context)
    fields["notes"] = (*c.biased(), *notes)
    found = [
        c.measured(f"{name}-{c.label}", distance, **fields),
        c.measured(f"{name}_ratio-{c.label}", ratio, **fields),
    ]
    if c.subject.num >= 4 * dims + 2:
        sizes = [extrapolated(real, f.features, c.seed) for f in c.fake]
        notes = ("extrapolated in the number of generated examples; not in that of real ones",)
        fields |= dict(fingerprint=c.print_of_features(subset_seed=c.seed), notes=notes)
        values = of_draws(e.value for e in sizes)
        found.append(c.measured(f"{name}_inf-{c.label}", values, **fields))
    return found


def _floor(c: Comparison, real: Moments, trace: float) -> dict[str, Any]:
    """What the other split, real as well, is away from the reference."""
    floor = frechet(real, Moments.of(c.other.features))
    floored = {"floor": floor, "floor_ratio": floor / trace, "floor_split": c.other_split}
    return floored | {"floor_num": len(c.other)}


def frechet(real: Moments, fake: Moments) -> float:
    """Distance of two sets given by their moments; in squared units of the features.

    Args:
        real: [D].
        fake: [D].

    Raises:
        ConfigError: for features of different kinds, or fewer than two examples.
    """
    return _distance(real, _root(real.covariance), fake)


def frechet_of(real: np.ndarray, fake: np.ndarray) -> float:
    """Distance of features [N, D] and [M, D].

    If a set has no more than D examples, its covariance is singular, and the data themselves are
    its root: R^T is the centred rows over sqrt(N - 1).

    Raises:
        ConfigError: as `frechet`.

    Example:
        >>> real = np.random.RandomState(0).randn(1000, 4)
        >>> abs(frechet_of(real, real)) < 1e-9, round(frechet_of(real, real + 3), 6)  # 4 * 3^2
        (True, 36.0)
    """
    first, second = Moments.of(real), Moments.of(fake)
    _check(first, second)
    if min(len(real), len(fake)) > real.shape[1]:
        return frechet(first, second)
    return _sum(first, second, _triangle(real, first) @ _triangle(fake, second).T)


def frechet_draws(real: Moments, draws: Sequence[Moments]) -> Interval:
    """Mean distance of independent sets of samples, with its interval.

    Args:
        real: of the reference.
        draws: of sets drawn with different seeds; at least 3 for an interval worth its name.
    """
    root = _root(real.covariance)
    return of_draws(_distance(real, root, fake) for fake in draws)


@dataclasses.dataclass(frozen=True, eq=False)
class Extrapolation:
    """A distance at infinitely many samples.

    Attributes:
        value: intercept of the line through distances over 1 / size.
        slope: of the line.
        sizes: [P] numbers of samples.
        distances: [P] of subsets of these sizes.
    """

    value: float
    slope: float
    sizes: np.ndarray
    distances: np.ndarray


def extrapolated(
    real: Moments, fake: np.ndarray, seed: int = 0, points: int = POINTS
) -> Extrapolation:
    """The distance without the bias of a finite number of generated samples.

    Distances of random subsets of `points` sizes are fitted by a line in 1 / size. Only the
    generated side is extrapolated: the bias of a finite reference stays. The smallest subset is
    a tenth of the samples, at most 5,000 and more than 2 D: below that the bias is no line.

    Source: Chong & Forsyth 2020, Effectively unbiased FID and Inception score.

    Args:
        real: of the reference.
        fake: [M, D].
        seed: of the subsets.
        points: number of sizes.

    Raises:
        ConfigError: for fewer than 4 D + 2 samples.
    """
    num, dims = fake.shape
    smallest = max(min(LARGEST_START, num // 10), 2 * dims + 1)
    if num < 2 * smallest:
        raise ConfigError(
            f"an extrapolated distance of {dims} features needs at least {4 * dims + 2} samples,"
            f" got {num}"
        )
    random, root = np.random.RandomState(seed), _root(real.covariance)
    sizes = np.linspace(smallest, num, points).astype(int)
    subsets = (fake[random.permutation(num)[:size]] for size in sizes)
    distances = np.array([_distance(real, root, Moments.of(subset)) for subset in subsets])
    slope, value = np.polyfit(1 / sizes, distances, 1)
    return Extrapolation(float(value), float(slope), sizes, distances)


def expected_bias(covariance: np.ndarray, num_real: float, num_fake: float) -> float:
    """By how much sets of these sizes exceed the true distance, to second order in 1 / size.

    For two normals of this covariance, of eigenvalues l:
    (1/N + 1/M) (sum_i l_i + (sum_ij l_i l_j / (l_i + l_j) + sum_i l_i / 2) / 2). It is derived
    by the delta method from the variances of sample means and covariances.

    Args:
        covariance: [D, D]; that of the real data, where models are compared with them.
        num_real: N; infinite for a reference that is the distribution itself.
        num_fake: M.
    """
    values = np.maximum(np.linalg.eigvalsh(covariance), 0.0)
    values = values[values > 0]
    pairs = values[:, None] * values / (values[:, None] + values)
    roots = (pairs.sum() + values.sum() / 2) / 2
    return float((1 / num_real + 1 / num_fake) * (values.sum() + roots))


def _root(covariance: np.ndarray) -> np.ndarray:
    """[D, R] with root @ root.T the covariance, R its rank."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > values.max(initial=0.0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])


def _distance(real: Moments, root: np.ndarray, fake: Moments) -> float:
    """The distance, given the root of the real covariance."""
    _check(real, fake)
    return _sum(real, fake, root.T @ _root(fake.covariance))


def _sum(real: Moments, fake: Moments, roots: np.ndarray) -> float:
    """The distance, given the product of both roots, whose nuclear norm is the trace."""
    shift = np.sum((real.mean - fake.mean) ** 2)
    spread = np.trace(real.covariance) + np.trace(fake.covariance)
    return float(shift + spread - 2 * np.linalg.svd(roots, compute_uv=False).sum())


def _triangle(x: np.ndarray, moments: Moments) -> np.ndarray:
    """[min(N, D), D] whose Gram matrix is the covariance: of few rows the centred rows."""
    rows = (np.asarray(x, np.float64) - moments.mean) / np.sqrt(len(x) - 1)
    return rows if len(x) <= x.shape[1] else np.asarray(np.linalg.qr(rows, mode="r"))


def _check(real: Moments, fake: Moments) -> None:
    if min(real.count, fake.count) < 2:
        counts = f"{real.count:g} and {fake.count:g}"
        raise ConfigError(f"a Frechet distance needs at least 2 examples a set, got {counts}")
    if real.mean.shape != fake.mean.shape:
        sizes = f"{len(real.mean)} and {len(fake.mean)}"
        raise ConfigError(f"features of different kinds: {sizes} dimensions")


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
