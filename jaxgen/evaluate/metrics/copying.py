"""Whether samples copy the examples that a model was trained on.

All compare distances to the nearest training example, in any space of features (or pixels):
samples that lie nearer to the training set than new data do are copies, or nearly. Train, test
and generated features must come from one map.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.comparison import Comparison, Features, few
from jaxgen.evaluate.measurement import Measurement, Number, fingerprint, of_draws
from jaxgen.evaluate.neighbours import nearest, nearest_others

CELLS = 3
COMPONENTS = 64  # principal ones, of features that have more
LEAST = 20  # generated examples of a cell that counts
LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
NUMBERS = {
    "copying_ct": Number(
        "Data-copying test C_T",
        "about 0 for new data, far below: samples sit on training data",
        "copying",
        "none",
    ),
    "authentic": Number(
        "Authentic share",
        "samples that are no near copies of training data: about a half for new data, 0 for copies",
        "copying",
        "none",
    ),
    "nn_ratio": Number(
        "Nearest-neighbour ratio",
        "distance to training data, of samples over test: about 1 for new data, far below copies",
        "copying",
        "none",
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """Whether images are nearer to the train split than test examples are."""
    train, test = c.train.features, c.test.features
    num = min(len(test), c.subject.num)
    test = few(test, num)

    def all_three(fake: Features) -> list[float]:
        drawn = few(fake.features, num)
        statistic = copying(train, test, drawn, seed=c.seed).value
        ratio = nearest_quantiles(train, test, drawn).ratio
        return [statistic, authentic_share(train, drawn), ratio]

    sets = np.array([all_three(f) for f in c.fake])
    parts = {"num_train": len(train), "num_real": num, "num_generated": num}
    print_of = fingerprint(c.print_of_data("train"), c.extractor.fingerprint, parts)
    print_of["subset_seed"] = c.seed
    return [
        c.measured(f"{name}-{c.label}", of_draws(values), fingerprint=print_of)
        for name, values in zip(NUMBERS, sets.T, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class Copying:
    """The statistic of copying.

    Attributes:
        value: C_T, in standard deviations of what a model that generates new data would give:
            far below 0 samples are copies, far above 0 they are too far from the data. It grows
            with the root of the number of examples: compare it at equal numbers.
        scores: of each cell, NaN of those that have too few samples.
        shares: of the test examples, in each cell.
    """

    value: float
    scores: tuple[float, ...]
    shares: tuple[float, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Quantiles:
    """Of distances to the nearest training example.

    Attributes:
        levels: [L] in (0, 1).
        generated: [L], of samples.
        test: [L], of examples held out.
        ratio: of the medians, generated over test: far below 1 samples are copies.
    """

    levels: np.ndarray
    generated: np.ndarray
    test: np.ndarray
    ratio: float


def copying(
    train: np.ndarray, test: np.ndarray, fake: np.ndarray, cells: int = CELLS, seed: int = 0
) -> Copying:
    """C_T: per cell of the space, the rank test of samples against test examples.

    What is ranked is the distance to the nearest training example of the cell. Cells are those
    of k-means of the training examples; their scores are weighted by their share of test
    examples; those with 20 samples or fewer do not count.

    Source: Meehan et al. 2020, A non-parametric test to detect data-copying; cells,
    components and the least number of samples as Stein et al. 2023, Exposing flaws of generative
    model evaluation metrics (their code). The score is (U - nm / 2) / sqrt(nm (n + m + 1) / 12),
    without the half by which the official code moves U.

    Args:
        train: [T, D].
        test: [N, D], which the model has not seen.
        fake: [M, D].
        cells: number of them.
        seed: of k-means.

    Raises:
        ConfigError: where a cell has no test example, or none has enough samples.
    """
    train, test, fake = _components(train, test, fake, seed)
    of_train, of_test, of_fake = _cells(train, test, fake, cells, seed)
    scores, shares = np.full(cells, np.nan), np.bincount(of_test, minlength=cells) / len(test)
    for cell in range(cells):
        here, new, drawn = train[of_train == cell], test[of_test == cell], fake[of_fake == cell]
        if len(drawn) <= LEAST:
            continue
        if not len(new):
            raise ConfigError(f"no test example in one of {cells} cells: ask for fewer of them")
        lengths = (nearest(x, here).distances[:, 0] for x in (drawn, new))
        scores[cell] = rank_score(*lengths)
    counts = ~np.isnan(scores)
    if not counts.any():
        raise ConfigError(f"copying needs more than {LEAST} samples a cell, got {len(fake)} in all")
    value = np.average(scores[counts], weights=shares[counts])
    return Copying(float(value), tuple(scores.tolist()), tuple(shares.tolist()))


def rank_score(a: np.ndarray, b: np.ndarray) -> float:
    """Mann & Whitney's U of a over b, in standard deviations around its mean for equal ones.

    Args:
        a: [n].
        b: [m].
    """
    n, m = len(a), len(b)
    return float((rank_sum(a, b) - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))


def rank_sum(a: np.ndarray, b: np.ndarray) -> float:
    """Mann & Whitney's U: pairs in which the one of a is larger, ties half."""
    ordered = np.sort(b)
    below = np.searchsorted(ordered, a, "left") + np.searchsorted(ordered, a, "right")
    return float(below.sum() / 2)


def authentic_share(train: np.ndarray, fake: np.ndarray) -> float:
    """Share of samples that no training example would take for its nearest neighbour.

    A sample is authentic if it is farther from its nearest training example than that one is
    from its own. New data give about a half, copies 0. Around duplicates in the training set
    all samples are authentic.

    Source: Alaa et al. 2022, How faithful is your synthetic data?; as in the code of
    Jiralerspong et al. 2023, Feature likelihood divergence, and not as in that of the former,
    which takes the distance of another training example.

    Args:
        train: [T, D].
        fake: [M, D].
    """
    found = nearest(fake, train)
    own = nearest_others(train).distances[:, 0]
    return float((own[found.indices[:, 0]] < found.distances[:, 0]).mean())


def nearest_quantiles(train: np.ndarray, test: np.ndarray, fake: np.ndarray) -> Quantiles:
    """Distances to the nearest training example, of samples and of test examples.

    Args:
        train: [T, D].
        test: [N, D].
        fake: [M, D].
    """
    generated, new = (nearest(x, train).distances[:, 0] for x in (fake, test))
    middle = np.median(new)
    ratio = float(np.median(generated) / middle) if middle else float("nan")
    levels = np.array(LEVELS)
    return Quantiles(levels, np.quantile(generated, levels), np.quantile(new, levels), ratio)


def _components(
    train: np.ndarray, test: np.ndarray, fake: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Principal components of the training examples, of all three."""
    from sklearn.decomposition import PCA

    sets = [np.asarray(x, np.float64) for x in (train, test, fake)]
    if sets[0].shape[1] > COMPONENTS:
        found = PCA(min(COMPONENTS, len(train)), random_state=seed).fit(sets[0])
        sets = [found.transform(x) for x in sets]
    return sets[0], sets[1], sets[2]


def _cells(
    train: np.ndarray, test: np.ndarray, fake: np.ndarray, cells: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cell of every example; by one thread, so that sums do not depend on their number."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits  # scikit-learn's own dependency

    with threadpool_limits(1):
        starts: Any = 10  # its stubs know "auto" alone
        found: Any = KMeans(cells, n_init=starts, random_state=seed).fit(train)
        return found.labels_, found.predict(test), found.predict(fake)
