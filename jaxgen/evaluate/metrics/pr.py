"""Precision and recall: shares of generated examples among real ones, and of real ones among them.

Source: Kynkaanniemi et al. 2019, Improved precision and recall metric.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxgen.evaluate.comparison import Comparison, Features
from jaxgen.evaluate.measurement import Measurement, Number
from jaxgen.evaluate.neighbours import balls, checked, tiles

NEIGHBOURS = 3
NUMBERS = {
    "precision": Number(
        "Precision", "share of samples that lie among the real ones", "fidelity", "higher", most=1
    ),
    "recall": Number(
        "Recall", "share of real examples that lie among the samples", "diversity", "higher", most=1
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """Improved precision and recall."""

    def both(fake: Features) -> list[float]:
        found = precision_recall(c.real.features, fake.features, NEIGHBOURS)
        return [found.precision, found.recall]

    (precision, recall), notes = c.over_sets(both)
    fields: dict[str, Any] = dict(fingerprint=c.print_of_features(k=NEIGHBOURS, ball="closed"))
    fields["notes"] = (*c.biased(per_feature=False), *notes)
    return [
        c.measured(f"precision-{c.label}", precision, **fields),
        c.measured(f"recall-{c.label}", recall, **fields),
    ]


@dataclasses.dataclass(frozen=True)
class PrecisionRecall:
    """Shares of examples, in [0, 1].

    Attributes:
        precision: of generated ones that lie where real ones do.
        recall: of real ones that lie where generated ones do.
    """

    precision: float
    recall: float


def precision_recall(
    real: np.ndarray, fake: np.ndarray, k: int = 3, strict: bool = False, dtype: Any = np.float64
) -> PrecisionRecall:
    """Improved precision and recall.

    A set's manifold is the union of balls around its examples up to their k-th neighbour.

    Source: Kynkaanniemi et al. 2019, Improved precision and recall metric, section 2; a ball
    holds its surface, as there (`<=`).

    Args:
        real: [N, D].
        fake: [M, D].
        k: the paper's is 3.
        strict: balls are open (`<`), as in prdc.
        dtype: of the tiles: float32 takes half the time, and may decide otherwise on the few
            pairs that lie on a surface to 7 digits.

    Raises:
        ConfigError: as `nearest`.

    Example:
        >>> random = np.random.RandomState(0)
        >>> precision_recall(random.randn(1000, 4), 0.5 * random.randn(1000, 4))  # too narrow
        PrecisionRecall(precision=0.972, recall=0.523)
    """
    real, fake, centre = checked(real, fake, k + 1, k + 1)
    real_ball = balls(real, centre, k, strict, dtype)
    fake_ball = balls(fake, centre, k, strict, dtype)
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, columns, squared in tiles(fake, real, centre, dtype):
        precise[rows] |= (squared <= real_ball[columns]).any(1)
        recalled[columns] |= (squared <= fake_ball[rows, None]).any(0)
    return PrecisionRecall(float(precise.mean()), float(recalled.mean()))
