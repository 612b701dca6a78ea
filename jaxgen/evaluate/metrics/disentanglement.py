"""How well codes tell known factors apart: MIG, SAP, DCI, the scores of beta-VAE and FactorVAE.

All take codes, float [N, D] (posterior means), and factors, int [N, F], of the same examples, with
factors that vary independently of each other. Where a score needs a classifier or a number of
bins, it is that of Locatello et al. 2019, "Challenging common assumptions in the unsupervised
learning of disentangled representations", appendix C, but for DCI: random forests, as one of the
two choices of its authors, where Locatello et al. take boosted trees.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Encodes, given
from jaxgen.data.dataset import Split
from jaxgen.data.embedded import factors
from jaxgen.data.loader import evenly
from jaxgen.evaluate.comparison import Comparison, able, known_factors, model, paths
from jaxgen.evaluate.measurement import Interval, Measurement, Number, fingerprint
from jaxgen.evaluate.sampling import filled
from jaxgen.progress import track

BINS = 20  # of codes, for mutual information
TRIALS = {"train": 1000, "test": 500}  # of the scores that fix a factor
PAIRS = 64  # examples of a trial
LEAST_VARIANCE = 0.01  # of an active unit
FOREST: dict[str, Any] = dict(
    n_estimators=30, min_samples_leaf=2, max_features=None
)  # trees see all codes
IMAGES, BATCH = 5000, 500  # of the test split, at most; of them at a time
_HIGHER = {
    "mig": ("Mutual information gap", "of the two codes that know most of a factor"),
    "sap": ("Separated attribute predictability", "gap of the two best codes of a factor"),
    "dci_disentanglement": ("DCI, disentanglement", "each code knows one factor"),
    "dci_completeness": ("DCI, completeness", "each factor is known by one code"),
    "dci_informativeness": ("DCI, informativeness", "accuracy of forests on all codes"),
    "beta_vae_score": ("Score of beta-VAE", "accuracy: which factor two examples share"),
    "factor_vae_score": ("Score of FactorVAE", "accuracy: which factor is fixed"),
}
NUMBERS = {name: Number(*said, "latents", "higher") for name, said in _HIGHER.items()} | {
    "total_correlation": Number(
        "Total correlation", "of the codes, as of a Gaussian", "latents", unit="nats"
    ),
    "active_units": Number("Active units", "codes that vary with the data", "latents", "none"),
}
NEEDS = (model, able(Encodes, "encode"), paths, known_factors)


def measure(c: Comparison) -> list[Measurement]:
    """Scores of the codes of test images; of random variables their posterior means."""
    name, split = c.dataset.spec.name, c.dataset.splits["test"]
    index = evenly(len(split), IMAGES)
    values = factors.truth(name, "test").values[index]
    found = scores(_codes(c, split, index), values, c.seed)
    parts = {"num_real": len(index), "subset_seed": c.seed}
    print_of = fingerprint(c.print_of_data("test"), parts)
    return [
        c.measured(name, Interval(value), fingerprint=print_of, settings={})
        for name, value in found.items()
    ]


def _codes(c: Comparison, split: Split, index: np.ndarray) -> np.ndarray:
    """Of rows of a split, [N, D]."""
    method: Any = c.subject.method
    encode, names = jax.jit(method.encode), given(method)
    rows = []
    starts = range(0, len(index), BATCH)
    for start in track(starts, "encoding", len(index), c.dataset.spec.unit, lambda _: BATCH):
        batch = split.take(filled(index, start, BATCH))
        own = {"given": {k: batch[k] for k in names}} if names else {}
        z = encode(c.subject.state, batch["x"], jax.random.key(c.seed), **own)
        rows.append(np.concatenate([np.reshape(z, (BATCH, -1)) for z in jax.tree.leaves(z)], 1))
    return np.concatenate(rows)[: len(index)]


def scores(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> dict[str, float]:
    """All of them, the total correlation of the codes and the number of active units.

    Args:
        codes: [N, D].
        factors: [N, F].
        seed: of the samplers and classifiers.
    """
    dci = dci_scores(codes, factors, seed)
    return {
        "mig": mig(codes, factors),
        "sap": sap(codes, factors, seed),
        **{f"dci_{name}": value for name, value in dci.items()},
        "beta_vae_score": beta_vae_score(codes, factors, seed),
        "factor_vae_score": factor_vae_score(codes, factors, seed),
        "total_correlation": total_correlation(codes),
        "active_units": float(len(active_units(codes))),
    }


def mig(codes: np.ndarray, factors: np.ndarray) -> float:
    """Mutual information gap: between the two codes that know most of a factor, over its entropy.

    Source: Chen et al. 2018, Isolating sources of disentanglement in VAEs, equation 6.
    """
    information = mutual_information(codes, factors)
    entropy = np.array([_entropy(column) for column in factors.T])
    return _gap(information / np.maximum(entropy, 1e-12)[None])


def mutual_information(codes: np.ndarray, factors: np.ndarray, bins: int = BINS) -> np.ndarray:
    """[D, F] nats, codes in bins of equal width."""
    from sklearn.metrics import mutual_info_score

    binned = [np.digitize(c, np.histogram_bin_edges(c, bins)[:-1]) for c in codes.T]
    return np.array([[mutual_info_score(b, f) for f in factors.T] for b in binned])


def sap(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> float:
    """Separated attribute predictability: the gap of the two codes that predict a factor best.

    Each code predicts each factor alone, by a linear classifier; half of the examples test it.

    Source: Kumar et al. 2018, Variational inference of disentangled latent concepts, section 3.
    """
    from sklearn.svm import LinearSVC

    train, test = _halves(len(codes), seed)
    accuracy = np.zeros((codes.shape[1], factors.shape[1]))
    scaled = (codes - codes.mean(0)) / np.maximum(codes.std(0), 1e-12)
    for i, code in enumerate(track(scaled.T, "predicting factors", len(scaled.T), "codes")):
        for j, factor in enumerate(factors.T):
            classifier = LinearSVC(C=0.01, class_weight="balanced", random_state=seed)
            classifier.fit(code[train, None], factor[train])
            accuracy[i, j] = classifier.score(code[test, None], factor[test])
    accuracy[codes.std(0) < 1e-6] = 0  # a constant predicts nothing, but is right by chance
    return _gap(accuracy)


def dci_scores(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> dict[str, float]:
    """`disentanglement`, `completeness` and `informativeness` (accuracy on half of the examples).

    Source: Eastwood & Williams 2018, A framework for the quantitative evaluation of disentangled
    representations, section 2.
    """
    from sklearn.ensemble import RandomForestClassifier

    train, test = _halves(len(codes), seed)
    importance, accuracy = [], []
    for factor in track(factors.T, "growing forests", factors.shape[1], "factors"):
        forest: Any = RandomForestClassifier(random_state=seed, **FOREST)
        forest.fit(codes[train], factor[train])
        importance.append(forest.feature_importances_)
        accuracy.append(forest.score(codes[test], factor[test]))
    relative = np.array(importance).T  # [D, F]
    return {
        "disentanglement": _certainty(relative),
        "completeness": _certainty(relative.T),
        "informativeness": float(np.mean(accuracy)),
    }


def beta_vae_score(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> float:
    """Accuracy of a linear classifier that says which factor two examples share.

    It sees the mean distance of the codes of `PAIRS` pairs that share that factor.

    Source: Higgins et al. 2017, beta-VAE, section 3 and appendix A.3.
    """
    from sklearn.linear_model import LogisticRegression

    random, groups = np.random.RandomState(seed), _groups(factors)
    distances, labels = [], []
    for _ in range(sum(TRIALS.values())):
        k = random.randint(factors.shape[1])
        first = random.randint(len(codes), size=PAIRS)
        second = [groups[k][value][_any(random, groups[k][value])] for value in factors[first, k]]
        distances.append(np.abs(codes[first] - codes[np.asarray(second)]).mean(0))
        labels.append(k)
    x, y, cut = np.array(distances), np.array(labels), TRIALS["train"]
    x = (x - x[:cut].mean(0)) / np.maximum(x[:cut].std(0), 1e-12)
    classifier = LogisticRegression(max_iter=1000, random_state=seed).fit(x[:cut], y[:cut])
    return float(classifier.score(x[cut:], y[cut:]))


def factor_vae_score(codes: np.ndarray, factors: np.ndarray, seed: int = 0) -> float:
    """Accuracy of the majority vote from the code that varies least to the factor that is fixed.

    Variances are relative to those of all examples; codes that are not active do not vote.

    Source: Kim & Mnih 2018, Disentangling by factorising, section 4.
    """
    active = active_units(codes)
    if not len(active):
        return 0.0
    random, groups = np.random.RandomState(seed), _groups(factors)
    scale = codes[:, active].var(0)
    votes = []
    for _ in range(sum(TRIALS.values())):
        k = random.randint(factors.shape[1])
        values = sorted(groups[k])
        rows = groups[k][values[random.randint(len(values))]]
        chosen = rows[random.randint(len(rows), size=PAIRS)]
        least = np.argmin(codes[np.ix_(chosen, active)].var(0) / scale)
        votes.append((least, k))
    cut = TRIALS["train"]
    table = np.zeros((len(active), factors.shape[1]))
    for code, factor in votes[:cut]:
        table[code, factor] += 1
    said = table.argmax(1)
    return float(np.mean([said[code] == factor for code, factor in votes[cut:]]))


def total_correlation(codes: np.ndarray) -> float:
    """Of a normal with the codes' covariance, in nats; of the active codes.

    Source: Locatello et al. 2019, section 5.2 (their "Gaussian total correlation").
    """
    active = active_units(codes)
    if len(active) < 2:
        return 0.0
    correlation = np.corrcoef(codes[:, active].T)
    return float(-0.5 * np.linalg.slogdet(correlation)[1])


def active_units(codes: np.ndarray, least: float = LEAST_VARIANCE) -> np.ndarray:
    """Codes whose variance over the data is above `least`.

    Source: Burda et al. 2016, Importance weighted autoencoders, section 5.2.
    """
    return np.flatnonzero(codes.var(0) > least)


def _gap(table: np.ndarray) -> float:
    """Mean over factors of the difference of the two largest entries of [D, F]."""
    ordered = np.sort(np.vstack([np.zeros((1, table.shape[1])), table]), axis=0)
    return float(np.mean(ordered[-1] - ordered[-2]))


def _certainty(table: np.ndarray) -> float:
    """Mean over rows, by their sums, of one minus the entropy of a row over its greatest."""
    weight = table.sum(1)
    share = table / np.maximum(weight, 1e-12)[:, None]
    entropy = -np.sum(share * np.log(np.maximum(share, 1e-12)), 1) / np.log(table.shape[1])
    return float(np.sum(weight * (1 - entropy)) / np.maximum(weight.sum(), 1e-12))


def _entropy(values: np.ndarray) -> float:
    """Of integers, in nats."""
    share = np.bincount(values) / len(values)
    return float(-np.sum(share[share > 0] * np.log(share[share > 0])))


def _halves(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.RandomState(seed).permutation(count)
    return order[: count // 2], order[count // 2 :]


def _groups(factors: np.ndarray) -> list[dict[int, np.ndarray]]:
    """For each factor, value -> rows that have it."""
    return [{int(v): np.flatnonzero(f == v) for v in np.unique(f)} for f in factors.T]


def _any(random: np.random.RandomState, rows: np.ndarray) -> int:
    return random.randint(len(rows))
