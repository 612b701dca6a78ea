"""Density and coverage: how densely, and how widely, samples fill balls around real examples.

Source: Naeem et al. 2020, Reliable fidelity and diversity metrics.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxgen.evaluate.comparison import Comparison, Features
from jaxgen.evaluate.measurement import Measurement, Number
from jaxgen.evaluate.neighbours import balls, checked, tiles

NEIGHBOURS = 5
NUMBERS = {
    "density": Number(
        "Density", "how many real neighbourhoods hold a sample", "fidelity", "higher", most=np.inf
    ),
    "coverage": Number(
        "Coverage", "share of real neighbourhoods that hold a sample", "diversity", "higher", most=1
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """Density and coverage."""

    def both(fake: Features) -> list[float]:
        found = density_coverage(c.real.features, fake.features, NEIGHBOURS)
        return [found.density, found.coverage]

    (density, coverage), notes = c.over_sets(both)
    fields: dict[str, Any] = dict(
        fingerprint=c.print_of_features(k=NEIGHBOURS, ball="open"),
        notes=(*c.biased(per_feature=False), *notes),
    )
    of_same = expected_coverage(len(c.real), c.subject.num, NEIGHBOURS)
    context = c.context(expected_of_same_distribution=of_same)
    return [
        c.measured(f"density-{c.label}", density, **fields),
        c.measured(f"coverage-{c.label}", coverage, context=context, **fields),
    ]


@dataclasses.dataclass(frozen=True)
class DensityCoverage:
    """Of generated examples around real ones.

    Attributes:
        density: mean number of real balls that hold a generated example, over k; not bounded
            by 1, and without meaning in many dimensions, where balls hold each other.
        coverage: share of real balls that hold at least one.
    """

    density: float
    coverage: float


def density_coverage(
    real: np.ndarray, fake: np.ndarray, k: int = 5, strict: bool = True, dtype: Any = np.float64
) -> DensityCoverage:
    """Density and coverage: generated examples in balls around real ones up to their k-th other.

    Source: Naeem et al. 2020, Reliable fidelity and diversity metrics, section 3; balls are
    open, as in its code (`<`).

    Args:
        real: [N, D].
        fake: [M, D].
        k: the paper's is 5.
        strict: balls are open.
        dtype: of the tiles.

    Raises:
        ConfigError: as `nearest`.
    """
    real, fake, centre = checked(real, fake, k + 1, 1)
    ball = balls(real, centre, k, strict, dtype)
    inside, covered = 0, np.zeros(len(real), bool)
    for _, columns, squared in tiles(fake, real, centre, dtype):
        held = squared <= ball[columns]
        inside += int(np.count_nonzero(held))
        covered[columns] |= held.any(0)
    return DensityCoverage(inside / (k * len(fake)), float(covered.mean()))


def expected_coverage(num_real: int, num_fake: int, k: int = 5) -> float:
    """Of samples of the same distribution: 1 - prod_{i=1..k} (N - i) / (M + N - i).

    Source: Naeem et al. 2020, section 3.
    """
    i = np.arange(1, k + 1)
    return float(1 - np.prod((num_real - i) / (num_fake + num_real - i)))
