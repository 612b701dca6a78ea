"""How well scores tell examples of other data from those of a test split.

A score is larger for what is less like the data. Likelihoods alone fail at this: they are higher
where pictures are simple, whatever the model was trained on.

Source: Nalisnick et al. 2019, Do deep generative models know what they don't know? (ICLR), for the
failure.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import PIL.Image

from jaxgen.config import ConfigError, unknown
from jaxgen.evaluate.measurement import Interval

DRAWS = 500  # of the bootstrap
FOUND = 0.95  # share of the outliers that is found where the false alarms are counted
FEWEST = 20  # held-out examples that p-values take


def invert(x: np.ndarray, levels: int, seed: int) -> np.ndarray:
    """Dark for light."""
    return (levels - 1 - x).astype(x.dtype)


def turn(x: np.ndarray, levels: int, seed: int) -> np.ndarray:
    """By 90 degrees, [N, H, W, C] of H = W."""
    if x.ndim != 4 or x.shape[1] != x.shape[2]:
        raise ConfigError(f"transform:turn is of square images, not of {list(x.shape[1:])}")
    return np.ascontiguousarray(np.rot90(x, axes=(1, 2)))


def shuffle(x: np.ndarray, levels: int, seed: int) -> np.ndarray:
    """Positions in another order, one for all: channels stay together."""
    flat = x.reshape(len(x), -1, x.shape[-1]) if x.ndim > 2 else x[..., None]
    order = np.random.default_rng(seed).permutation(flat.shape[1])
    return np.ascontiguousarray(flat[:, order]).reshape(x.shape)


def constant(x: np.ndarray, levels: int, seed: int) -> np.ndarray:
    """All of an example one grey level, any of them."""
    value = np.random.default_rng(seed).integers(0, levels, len(x))
    return np.broadcast_to(value.reshape(-1, *(1,) * (x.ndim - 1)), x.shape).astype(x.dtype)


def black(x: np.ndarray, levels: int, seed: int) -> np.ndarray:
    """Nothing: where pictures are dark around, most likelihoods prefer it to the data."""
    return np.zeros_like(x)


TRANSFORMS: dict[str, Callable[[np.ndarray, int, int], np.ndarray]] = {
    f.__name__: f for f in (invert, turn, shuffle, constant, black)
}


def transformed(name: str, x: np.ndarray, levels: int, seed: int) -> np.ndarray:
    """x [N, ...] of integers, made unlike the data.

    Raises:
        ConfigError: for an unknown transform, or one that does not fit.
    """
    if name not in TRANSFORMS:
        raise ConfigError(unknown("transform", name, TRANSFORMS))
    return TRANSFORMS[name](x, levels, seed)


def complexity(x: np.ndarray) -> np.ndarray:
    """Bits [N] of images as files without loss, the smaller of PNG and WebP.

    Source: Serra et al. 2020, Input complexity and out-of-distribution detection with
    likelihood-based generative models, section 3.

    Raises:
        ConfigError: for what these formats do not hold.
    """
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[-1] not in (1, 3):
        raise ConfigError("the complexity is of images of 1 or 3 channels of 8 bits")
    sizes = np.zeros(len(x))
    for i, image in enumerate(x):
        picture = PIL.Image.fromarray(image[..., 0] if x.shape[-1] == 1 else image)
        found = []
        for name, options in (("PNG", {"optimize": True}), ("WEBP", {"lossless": True})):
            out = io.BytesIO()
            picture.save(out, name, **options)
            found.append(8 * len(out.getvalue()))
        sizes[i] = min(found)
    return sizes


class Told(NamedTuple):
    """How well outliers are told, with bootstrap intervals.

    Attributes:
        auroc: probability that an outlier has the larger score, a tie counting half.
        aupr: mean precision over the outliers, in the order of their scores.
        fpr95: share of the data above the score that 95 % of the outliers reach.
    """

    auroc: Interval
    aupr: Interval
    fpr95: Interval


def auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    """Of scores [N] of the data and [M] of outliers."""
    order = np.sort(inside)
    below = np.searchsorted(order, outside, "left") + np.searchsorted(order, outside, "right")
    return float(below.mean() / (2 * len(inside)))


def aupr(inside: np.ndarray, outside: np.ndarray) -> float:
    """Average precision: the sum over thresholds of precision times the gain in recall."""
    scores = np.concatenate([inside, outside])
    positive = np.arange(len(scores)) >= len(inside)
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of those that share a score
    hits = np.cumsum(positive[order])[last]
    precision = hits / (np.flatnonzero(last) + 1)
    return float(np.sum(precision * np.diff(hits, prepend=0)) / len(outside))


def fpr95(inside: np.ndarray, outside: np.ndarray) -> float:
    """At the largest score that at least `FOUND` of the outliers reach."""
    missed = len(outside) - int(np.ceil(FOUND * len(outside) - 1e-9))
    return float(np.mean(inside >= np.sort(outside)[missed]))


def told(inside: np.ndarray, outside: np.ndarray, seed: int = 0) -> Told:
    """All three, with the 2.5 and 97.5 percent points of `DRAWS` resamplings of both sets.

    Raises:
        ConfigError: for a set without examples, or scores that are no numbers.
    """
    if not (len(inside) and len(outside)):
        raise ConfigError("scores of no examples tell nothing apart")
    if not (np.isfinite(inside).all() and np.isfinite(outside).all()):
        raise ConfigError("a score is no finite number: does the model know its parameters?")
    random = np.random.default_rng(seed)
    pairs = [
        (random.choice(inside, len(inside)), random.choice(outside, len(outside)))
        for _ in range(DRAWS)
    ]

    def estimate(metric: Callable[[np.ndarray, np.ndarray], float]) -> Interval:
        low, high = np.percentile([metric(*pair) for pair in pairs], [2.5, 97.5])
        return Interval(metric(inside, outside), float(low), float(high))

    return Told(*(estimate(metric) for metric in (auroc, aupr, fpr95)))


def p_values(held_out: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """[M]: share of scores of the data that are at least as large, the example counted in.

    Of an example of the data it is uniform on 1/(N + 1) ... 1, whatever the scores are of.

    Raises:
        ConfigError: for fewer held-out scores than `FEWEST`.
    """
    if len(held_out) < FEWEST:
        raise ConfigError(
            f"{len(held_out)} held-out examples say nothing of how rare a score is: {FEWEST} do"
        )
    above = len(held_out) - np.searchsorted(np.sort(held_out), scores, "left")
    return (above + 1) / (len(held_out) + 1)


def threshold(held_out: np.ndarray, alarms: float) -> float:
    """The score above which at most a share `alarms` of the data lies.

    Raises:
        ConfigError: where there are too few held-out examples to know.
    """
    if not 0 < alarms < 1 or alarms * (len(held_out) + 1) < 1 or len(held_out) < FEWEST:
        raise ConfigError(
            f"alarms={alarms:g}: {len(held_out)} held-out examples give no threshold for that; it "
            f"takes {FEWEST}, and one more than 1 / alarms"
        )
    rank = int(np.floor(alarms * (len(held_out) + 1)))  # p <= alarms above it
    return float(np.sort(held_out)[len(held_out) - rank])
