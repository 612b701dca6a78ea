"""How near showers are to simulated ones in what physicists read off them.

Of each of the 18 observables (`ops.calorimeter.OBSERVABLES`) the distance is the Wasserstein-1
distance of its distributions over the deviation of the real one, so that all have one scale. What
real showers of another split have is the floor; real showers of the other particle, where there are
two, are the control, which a model of showers has to be well below.

Source: Paganini et al. 2018, CaloGAN (arXiv:1712.10321), section 4.2, for the observables, which
are compared by eye there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.data.loader import evenly
from jaxgen.evaluate.comparison import Comparison
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_draws
from jaxgen.ops.calorimeter import CELLS, OBSERVABLES, observables

ENOUGH = 200  # showers: of fewer a deviation says little
NUMBERS = {
    "showers": Number(
        "Shower observables", "mean Wasserstein-1 distance of 18, in deviations of real ones"
    ),
    "showers_worst": Number("Worst shower observable", "the largest of those distances"),
}


def measure(c: Comparison) -> list[Measurement]:
    """Of samples that are given energies, and particles, of the reference split."""
    if c.subject.spec.shape != (CELLS,) or c.subject.spec.context != ("energy",):
        raise NotAvailable(f"{c.subject.spec.name} are no showers in three layers")
    real = _of_split(c, c.split)
    if min(len(real), c.subject.num) < ENOUGH:
        raise NotAvailable(f"fewer than {ENOUGH} showers")
    found = observables(real)
    sets = [distances(found, observables(np.concatenate(list(x)))) for x in c.subject.sets]
    values = {"showers": [mean(d) for d in sets], "showers_worst": [max(d.values()) for d in sets]}
    about = {"floor": mean(distances(found, observables(_of_split(c, c.other_split))))}
    labels = c.dataset.splits[c.split].labels
    if labels is not None and len(set(labels)) == 2:
        kind = labels[evenly(len(labels), c.max_examples)]
        first, second = (observables(real[kind == k]) for k in (0, 1))
        about["control"] = mean(distances(first, second))
    counts = {"num_real": len(real), "num_generated": c.subject.num}
    more = {
        "fingerprint": fingerprint(c.print_of_data(c.split), counts),
        "context": c.context(**about),
    }
    return [c.measured(name, of_draws(of_sets), **more) for name, of_sets in values.items()]


def distances(real: Mapping[str, np.ndarray], fake: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Observable -> the distance of its values [M] from the real ones [N], in their deviations.

    Infinite where the real values are all one and others are not.
    """
    from scipy.stats import wasserstein_distance

    found = {}
    for name in OBSERVABLES:
        far = float(wasserstein_distance(real[name], fake[name]))
        spread = float(np.std(real[name]))
        found[name] = far / spread if spread > 0 else (np.inf if far > 0 else 0.0)
    return found


def told_apart(real: Mapping[str, np.ndarray], fake: Mapping[str, np.ndarray]) -> float:
    """How well boosted trees tell observables [M] from real ones [N]: the area under their curve.

    1/2 where they cannot. Each half is judged by trees that were fitted to the other; further
    columns, as the energy that came in, may stand in both mappings.

    Source: Krause & Shih 2021, CaloFlow (arXiv:2106.05285), use a network on all cells instead.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    sets = [np.column_stack([found[name] for name in real]) for found in (real, fake)]
    label = np.repeat([0, 1], [len(x) for x in sets])
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    said = cross_val_predict(
        _trees(), np.concatenate(sets), label, cv=folds, method="predict_proba"
    )
    return float(roc_auc_score(label, np.asarray(said)[:, 1]))


def read_apart(
    train: Mapping[str, np.ndarray],
    train_labels: np.ndarray,
    others: Sequence[tuple[Mapping[str, np.ndarray], np.ndarray]],
) -> list[float]:
    """How well trees that were fitted to two particles' train showers tell others' particles.

    Args:
        train: observables [N], and maybe further columns.
        train_labels: [N] of two classes.
        others: the same columns [M], and labels [M], of each set that is read.

    Returns:
        The area under the curve, of each.
    """
    from sklearn.metrics import roc_auc_score

    trees = _trees().fit(np.column_stack(list(train.values())), train_labels)
    found = []
    for read, labels in others:
        said = trees.predict_proba(np.column_stack([read[name] for name in train]))
        found.append(float(roc_auc_score(labels, said[:, 1])))
    return found


def _trees() -> Any:
    from sklearn.ensemble import GradientBoostingClassifier

    # those of histograms wait busily with every thread: minutes where cores are shared
    return GradientBoostingClassifier(subsample=0.5, max_features="sqrt", random_state=0)


def mean(found: Mapping[str, float]) -> float:
    """Of the distances."""
    return float(np.mean(list(found.values())))


def _of_split(c: Comparison, split: str) -> np.ndarray:
    return np.concatenate(list(c.real_images(split, c.max_examples)))
