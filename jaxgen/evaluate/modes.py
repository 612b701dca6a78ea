"""How many modes of a known distribution samples cover, and how many samples belong to one.

Source: Srivastava et al. 2017, VEEGAN, section 4.1, and Lin et al. 2018, PacGAN, section 4: a
sample is of high quality within three standard deviations of the nearest mode, a mode is covered
by one such sample. Of stacked digits a mode is what a classifier reads (Metz et al. 2017).
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

WITHIN = 3  # standard deviations


@dataclasses.dataclass(frozen=True)
class Coverage:
    """Of a set of samples.

    Attributes:
        modes: covered.
        of: modes that there are.
        high_quality: share of samples near a mode; None where every sample is read as one.
        reverse_kl: KL(samples' modes || uniform), in nats, over the samples that have one.
        num: samples.
    """

    modes: int
    of: int
    high_quality: float | None
    reverse_kl: float
    num: int


def gaussian_coverage(x: np.ndarray, means: np.ndarray, std: float) -> Coverage:
    """Of samples [N, D] of equally likely round Gaussians.

    Args:
        x: samples.
        means: [K, D].
        std: standard deviation of each.
    """
    distance = np.sqrt(((np.asarray(x, np.float64)[:, None] - means) ** 2).sum(-1))
    near = distance.min(1) <= WITHIN * std
    counts = np.bincount(distance.argmin(1)[near], minlength=len(means))
    return Coverage(int((counts > 0).sum()), len(means), float(near.mean()), _kl(counts), len(x))


def digit_coverage(x: np.ndarray) -> Coverage:
    """Of stacked digits [N, 8, 8, 3], 17 grey levels, as `digit_reader` reads them."""
    reader: Any = digit_reader()[0]
    pixels = np.asarray(x, np.float64).transpose(0, 3, 1, 2).reshape(-1, 64)
    spelt = reader.predict(pixels).reshape(-1, 3) @ np.array([100, 10, 1])
    counts = np.bincount(spelt, minlength=1000)
    return Coverage(int((counts > 0).sum()), 1000, None, _kl(counts), len(x))


@functools.cache
def digit_reader() -> tuple[object, float]:
    """A support vector classifier of the scans [N, 64], and its accuracy on scans held out.

    Every fifth scan is held out to measure it; it is then fitted to all.
    """
    import sklearn.datasets
    import sklearn.svm

    x, label = sklearn.datasets.load_digits(return_X_y=True)
    test = np.arange(len(x)) % 5 == 0
    gamma: Any = 0.001  # its stubs know "scale" and "auto" alone
    reader: Any = sklearn.svm.SVC(gamma=gamma)
    accuracy = reader.fit(x[~test], label[~test]).score(x[test], label[test])
    return reader.fit(x, label), float(accuracy)


def _kl(counts: np.ndarray) -> float:
    """Of the shares of modes from the uniform distribution, in nats; infinite without samples."""
    total = counts.sum()
    if not total:
        return math.inf
    share = counts[counts > 0] / total
    return float((share * np.log(share * len(counts))).sum())
