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
from collections.abc import Sequence

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.measurement import Interval, of_draws
from jaxgen.evaluate.moments import Moments

POINTS = 15  # set sizes from which a distance is extrapolated
LARGEST_START = 5000  # of the smallest of them


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
