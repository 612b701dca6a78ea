"""The classifier score: whether samples look like single classes, and like all of them.

    exp E_x KL(p(y | x) || p(y))

With the logits of the Inception network, without its biases, it is the Inception score of
Salimans et al. 2016, Improved techniques for training GANs, section 4. Of no other classifier may
it be called so. At most it is the number of classes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.comparison import Comparison, Features
from jaxgen.evaluate.measurement import Interval, Measurement, NotAvailable, Number, of_draws

SPLITS, SUBSET_SEED = 10, 2020
NUMBERS = {
    "inception_score": Number(
        "Inception score",
        "confident and varied predictions of Inception",
        better="higher",
        extractor="inception",
    ),
    "score": Number(
        "Classifier score",
        "confident and varied predictions; not the Inception score",
        better="higher",
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """The classifier score: of Inception's own weights it is the Inception score."""
    if c.real.logits is None:
        raise NotAvailable(f"the extractor {c.extractor.name} classifies nothing")

    def scores(fake: Features) -> list[float]:
        splits = min(SPLITS, len(fake))
        assert fake.logits is not None
        return [classifier_score(fake.logits, splits, SUBSET_SEED).value]

    (score,), notes = c.over_sets(scores)
    splits = min(SPLITS, c.subject.num)
    of_real = classifier_score(c.real.logits, min(SPLITS, len(c.real)), SUBSET_SEED).value
    name = f"{c.prefix('score', 'inception_score', 'score')}-{c.label}"
    print_of = c.print_of_features(splits=splits, subset_seed=SUBSET_SEED)
    fields: dict[str, Any] = dict(fingerprint=print_of, context=c.context(of_real=of_real))
    return [c.measured(name, score, notes=(*c.biased(per_feature=False), *notes), **fields)]


@dataclasses.dataclass(frozen=True)
class ClassifierScore:
    """Mean over splits.

    Attributes:
        value: of the mean.
        std: over the splits, as it is reported; it is no standard error.
        scores: of each split.
    """

    value: float
    std: float
    scores: tuple[float, ...]

    @property
    def interval(self) -> Interval:
        """Of the mean score of sets as large as a split, which are independent of each other."""
        return of_draws(self.scores)


def classifier_score(
    logits: np.ndarray, splits: int = 10, seed: int | None = 2020
) -> ClassifierScore:
    """Scores splits of the samples, in float64 and from log-probabilities.

    Args:
        logits: [N, K].
        splits: number of them; a score grows with the number of samples of a split.
        seed: of the order of samples before they are split (`numpy.random.RandomState`;
            torch-fidelity's is 2020); None keeps their order.

    Raises:
        ConfigError: for fewer samples than splits, or logits that are not finite.
    """
    logits = np.asarray(logits)
    num = len(logits)
    if num < splits or splits < 1:
        raise ConfigError(f"a classifier score of {splits} splits needs as many samples, got {num}")
    if not np.isfinite(logits).all():
        raise ConfigError("logits are not finite (NaN images?)")
    order = np.arange(num) if seed is None else np.random.RandomState(seed).permutation(num)
    ends = [i * num // splits for i in range(splits + 1)]
    parts = [order[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    scores = tuple(_score(logits[rows].astype(np.float64)) for rows in parts)
    return ClassifierScore(float(np.mean(scores)), float(np.std(scores)), scores)


def _score(logits: np.ndarray) -> float:
    from scipy.special import log_softmax, logsumexp

    log_p = log_softmax(logits, axis=1)
    log_q = logsumexp(log_p, axis=0) - np.log(len(log_p))
    return float(np.exp((np.exp(log_p) * (log_p - log_q)).sum(1).mean()))
