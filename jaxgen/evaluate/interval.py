"""A number and its 95 % interval."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

import numpy as np

NORMAL = 1.959963984540054  # the quantile 0.975 of N(0, 1)


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate.

    Attributes:
        value: itself.
        low: lower end of its 95 % interval; None where nothing is known of its spread.
        high: upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


def of_draws(values: Iterable[float]) -> Interval:
    """The mean of a metric over independent sets of samples, with Student's interval.

    It holds what another seed of the sampler would change, and not what another reference set
    would. Resampling one set (a bootstrap) is no substitute for a distance: samples that occur
    twice add to its bias.

    Args:
        values: of the metric, one from each set; of a single one there is no interval.
    """
    from scipy.stats import t

    found = np.asarray(list(values), np.float64)
    mean = float(found.mean())
    if len(found) < 2:
        return Interval(mean)
    half = float(t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found)))
    return Interval(mean, mean - half, mean + half)


def of_stderr(value: float, stderr: float) -> Interval:
    """Value and 1.96 standard errors."""
    return Interval(value, value - NORMAL * stderr, value + NORMAL * stderr)


def of_share(share: float, count: int) -> Interval:
    """A share of independent examples, with the interval of Wilson 1927.

    For precision, recall and coverage it is too narrow: their examples share balls.
    """
    centre = (share + NORMAL**2 / (2 * count)) / (1 + NORMAL**2 / count)
    spread = share * (1 - share) / count + NORMAL**2 / (4 * count**2)
    half = NORMAL * math.sqrt(spread) / (1 + NORMAL**2 / count)
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))
