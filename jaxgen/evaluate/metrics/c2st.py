"""The classifier two-sample test: how often a network tells samples from data.

Half of what it is shown is of either, so that 0.5 is what nobody can tell apart and 1 what
everybody can. It is the figure by which posteriors are compared, see `benchmarks/inference.py`.

Source: Lopez-Paz & Oquab 2017, "Revisiting classifier two-sample tests" (ICLR); the network and the
five folds are those of the benchmark of Lueckmann et al. 2021 (sbi-benchmark/sbibm, metrics/c2st).
"""

from __future__ import annotations

import numpy as np

from jaxgen.abilities import Infers
from jaxgen.config import ConfigError
from jaxgen.evaluate.comparison import Comparison
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_draws
from jaxgen.evaluate.metrics.swd import spaced

FOLDS, WIDTH, ITERATIONS = 5, 10, 10_000  # width of both hidden layers for each dimension
MOST = 2000  # examples of each side
DIMS = 64  # at most: the network would be wider than 640
NUMBERS = {
    "c2st": Number(
        "Classifier two-sample test",
        "accuracy of a network that tells samples from data",
        most=1,
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """Accuracy on samples and examples of points; the floor is that on two splits of the data."""
    spec = c.subject.spec
    if spec.x.kind != "vector" or spec.dims > DIMS:
        raise NotAvailable(f"{spec.name} has no points of at most {DIMS} dimensions")
    if isinstance(c.subject.method, Infers):
        raise NotAvailable("samples are parameters, and examples are pairs")
    num = min(MOST, c.subject.num, *(len(s) for s in c.dataset.splits.values()))
    real, other = (np.concatenate(list(c.real_images(s, num))) for s in (c.split, c.other_split))
    sets = [c2st(real, spaced(s, num), c.seed) for s in c.subject.sets]
    parts = {"num_real": num, "num_generated": num, "subset_seed": c.seed}
    context = c.context(floor=c2st(real, other, c.seed))
    print_of = fingerprint(c.print_of_data(c.split), parts, space="points")
    return [c.measured("c2st", of_draws(sets), context=context, fingerprint=print_of)]


def c2st(real: np.ndarray, fake: np.ndarray, seed: int = 1) -> float:
    """Accuracy over five folds of a network of two hidden layers, 10 units a dimension each.

    Both are brought to mean zero and unit deviation of the real ones. Below 0.5 there is nothing
    but chance.

    Args:
        real: points [N, D].
        fake: as many.
        seed: of folds and network.

    Raises:
        ConfigError: for other shapes, fewer than 50 points, or values that are not finite.
    """
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    if real.ndim != 2 or real.shape != fake.shape or len(real) < 50:
        raise ConfigError(
            f"points: expected [N, D] twice, N at least 50, got {real.shape}, {fake.shape}"
        )
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ConfigError("points are not finite")
    mean, std = real.mean(0), real.std(0)
    std = np.where(std > 0, std, 1.0)
    x = np.concatenate([(real - mean) / std, (fake - mean) / std])
    label = np.repeat([0, 1], len(real))
    width = WIDTH * real.shape[1]
    network = MLPClassifier((width, width), max_iter=ITERATIONS, random_state=seed)
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    return float(cross_val_score(network, x, label, cv=folds, scoring="accuracy").mean())
