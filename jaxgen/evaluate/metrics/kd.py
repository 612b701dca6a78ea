"""The kernel distance: the unbiased squared maximum mean discrepancy of two sets of features.

The kernel is (<x, y> / D + 1)^3. For sets of any size the expectation is the distance itself, and
so values around zero may be negative.

Source: Binkowski et al. 2018, Demystifying MMD GANs (KID); Gretton et al. 2012, A
kernel two-sample test, equation 3, for the estimator. float64 on the host.
"""

from __future__ import annotations

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.comparison import Comparison, few
from jaxgen.evaluate.measurement import (
    Interval,
    Measurement,
    Number,
    fingerprint,
    of_draws,
    of_stderr,
)

TILE = 1024  # rows and columns of the kernel matrix that exist at a time
IMAGES = 10_000  # of each side: time grows with their square
NUMBERS = {
    "kid": Number(
        "Kernel inception distance",
        "squared MMD of Inception features, unbiased",
        extractor="inception",
    ),
    "kcd": Number("Kernel classifier distance", "squared MMD of features, unbiased"),
    "kd": Number("Kernel distance", "squared MMD of features, unbiased: may be negative"),
}


def measure(c: Comparison) -> list[Measurement]:
    """The unbiased kernel distance; of one set its interval is the jackknife's."""
    real = few(c.real.features, IMAGES)
    sets = [kernel_distance(real, few(f.features, IMAGES)) for f in c.fake]
    found = sets[0] if len(sets) == 1 else of_draws(s.value for s in sets)
    most = dict(num_real=len(real), num_generated=min(c.subject.num, IMAGES))
    name = f"{c.prefix('kcd', 'kid', 'kd')}-{c.label}"
    print_of = fingerprint(c.print_of_features(), most, kernel="(<x, y> / D + 1)^3")
    return [c.measured(name, found, fingerprint=print_of)]


def kernel_distance(real: np.ndarray, fake: np.ndarray) -> Interval:
    """Of all pairs of both sets: the estimate of least variance, by tiles of the kernel matrix.

    The interval is 1.96 standard errors by the jackknife, one example left out at a time: it
    holds what another draw of both sets would change. Time grows with the square of the
    number of examples, memory does not.

    Args:
        real: [N, D].
        fake: [M, D].

    Raises:
        ConfigError: for fewer than three examples, or features of different kinds.
    """
    real, fake = _checked(real, fake, 3)
    xx, yy = _own_sums(real), _own_sums(fake)
    xy, yx = _cross_sums(real, fake)
    n, m = len(real), len(fake)
    total = xy.sum()
    value = xx.sum() / (n * (n - 1)) + yy.sum() / (m * (m - 1)) - 2 * total / (n * m)
    without_real = (xx.sum() - 2 * xx) / ((n - 1) * (n - 2)) - 2 * (total - xy) / ((n - 1) * m)
    without_fake = (yy.sum() - 2 * yy) / ((m - 1) * (m - 2)) - 2 * (total - yx) / (n * (m - 1))
    variance = (n - 1) * without_real.var() + (m - 1) * without_fake.var()
    return of_stderr(float(value), float(np.sqrt(variance)))


def kernel_distances(
    real: np.ndarray, fake: np.ndarray, subsets: int = 100, size: int = 1000, seed: int = 2020
) -> np.ndarray:
    """Distances of random subsets, [subsets]: what the paper and most tools report the mean of.

    Their deviation is that of subsets of one set, not the error of the mean: intervals come from
    `kernel_distance`, or from repeated draws.

    Args:
        real: [N, D].
        fake: [M, D].
        subsets: number of them; each draws from `real`, then from `fake`, without repetition.
        size: examples of each, at most the smaller set.
        seed: of `numpy.random.RandomState`; torch-fidelity's is 2020.

    Raises:
        ConfigError: as `kernel_distance`.
    """
    real, fake = _checked(real, fake, 2)
    size = min(size, len(real), len(fake))
    random = np.random.RandomState(seed)
    found = []
    for _ in range(subsets):
        x = real[random.choice(len(real), size, replace=False)]
        y = fake[random.choice(len(fake), size, replace=False)]
        own = _own_sums(x).sum() + _own_sums(y).sum()
        found.append(own / (size * (size - 1)) - 2 * _cross_sums(x, y)[0].sum() / size**2)
    return np.array(found)


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[N, M] of rows [N, D] and [M, D], in float64."""
    inner = x.astype(np.float64) @ y.astype(np.float64).T
    inner /= x.shape[1]
    inner += 1
    return inner * inner * inner


def _own_sums(x: np.ndarray) -> np.ndarray:
    """Sum of the kernel of each row with all other rows, [N]."""
    sums = np.zeros(len(x))
    for i in range(0, len(x), TILE):
        for j in range(i, len(x), TILE):
            block = _kernel(x[i : i + TILE], x[j : j + TILE])
            if i == j:
                np.fill_diagonal(block, 0.0)
            else:
                sums[j : j + TILE] += block.sum(0)
            sums[i : i + TILE] += block.sum(1)
    return sums


def _cross_sums(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the kernel of each row of one set with all of the other, [N] and [M]."""
    rows, columns = np.zeros(len(x)), np.zeros(len(y))
    for i in range(0, len(x), TILE):
        for j in range(0, len(y), TILE):
            block = _kernel(x[i : i + TILE], y[j : j + TILE])
            rows[i : i + TILE] += block.sum(1)
            columns[j : j + TILE] += block.sum(0)
    return rows, columns


def _checked(real: np.ndarray, fake: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
    real, fake = np.asarray(real), np.asarray(fake)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ConfigError(f"features: expected [N, D] and [M, D], got {real.shape}, {fake.shape}")
    if min(len(real), len(fake)) < least:
        sizes = f"{len(real)} and {len(fake)}"
        raise ConfigError(f"a kernel distance needs at least {least} examples a set, got {sizes}")
    return real, fake
