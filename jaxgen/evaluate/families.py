"""Metrics of any set of images: what is computed from features, pixels and known modes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.embedded import stacked, toys
from jaxgen.data.loader import evenly
from jaxgen.evaluate.classifier_score import classifier_score
from jaxgen.evaluate.comparison import Comparison, Features, ImageSet
from jaxgen.evaluate.copying import authentic_share, copying, nearest_quantiles
from jaxgen.evaluate.frechet import expected_bias, extrapolated, frechet
from jaxgen.evaluate.kernel_distance import kernel_distance
from jaxgen.evaluate.measurement import Measurement, NotAvailable, fingerprint, of_draws
from jaxgen.evaluate.modes import Coverage, digit_coverage, gaussian_coverage
from jaxgen.evaluate.moments import Moments
from jaxgen.evaluate.neighbours import density_coverage, expected_coverage, precision_recall
from jaxgen.evaluate.sliced import SMALLEST, mean_distance, sliced_wasserstein

PR_NEIGHBOURS, DC_NEIGHBOURS = 3, 5
KERNEL_IMAGES = 10_000  # of a kernel distance: time grows with their square
SLICED_IMAGES = 1024
SCORE_SPLITS, SUBSET_SEED = 10, 2020


def frechet_family(c: Comparison) -> list[Measurement]:
    """The distance, its ratio to the trace of the real covariance, and without bias in num."""
    real = Moments.of(c.real.features)
    trace, dims = float(np.trace(real.covariance)), c.real.features.shape[1]
    if not trace:
        raise ConfigError(f"all real examples of {c.split} have the same features")

    def distances(fake: Features) -> list[float]:
        distance = frechet(real, Moments.of(fake.features))
        return [distance, distance / trace]

    (distance, ratio), notes = c.over_sets(distances)
    name, print_of = c.prefix("fcd", "fid", "fd"), c.print_of_features()
    context = c.context(
        trace=trace,
        expected_bias=expected_bias(real.covariance, len(c.real), c.subject.num),
        **_floor(c, real, trace),
    )
    fields: dict[str, Any] = dict(better="lower", fingerprint=print_of, context=context)
    fields["notes"] = (*c.biased(), *notes)
    found = [
        c.measured(f"{name}-{c.label}", "fidelity", distance, **fields),
        c.measured(f"{name}_ratio-{c.label}", "fidelity", ratio, **fields),
    ]
    if c.subject.num >= 4 * dims + 2:
        sizes = [extrapolated(real, f.features, c.seed) for f in c.fake]
        notes = ("extrapolated in the number of generated examples; not in that of real ones",)
        fields |= dict(fingerprint=c.print_of_features(subset_seed=c.seed), notes=notes)
        values = of_draws(e.value for e in sizes)
        found.append(c.measured(f"{name}_inf-{c.label}", "fidelity", values, **fields))
    return found


def _floor(c: Comparison, real: Moments, trace: float) -> dict[str, Any]:
    """What the other split, real as well, is away from the reference."""
    floor = frechet(real, Moments.of(c.other.features))
    floored = {"floor": floor, "floor_ratio": floor / trace, "floor_split": c.other_split}
    return floored | {"floor_num": len(c.other)}


def kernel_family(c: Comparison) -> list[Measurement]:
    """The unbiased kernel distance; of one set its interval is the jackknife's."""
    real = _few(c.real.features, KERNEL_IMAGES)
    sets = [kernel_distance(real, _few(f.features, KERNEL_IMAGES)) for f in c.fake]
    found = sets[0] if len(sets) == 1 else of_draws(s.value for s in sets)
    most = dict(num_real=len(real), num_generated=min(c.subject.num, KERNEL_IMAGES))
    name = f"{c.prefix('kcd', 'kid', 'kd')}-{c.label}"
    print_of = fingerprint(c.print_of_features(), most, kernel="(<x, y> / D + 1)^3")
    return [c.measured(name, "fidelity", found, better="lower", fingerprint=print_of)]


def score_family(c: Comparison) -> list[Measurement]:
    """The classifier score: of Inception's own weights it is the Inception score."""
    if c.real.logits is None:
        raise NotAvailable(f"the extractor {c.extractor.name} classifies nothing")

    def scores(fake: Features) -> list[float]:
        splits = min(SCORE_SPLITS, len(fake))
        assert fake.logits is not None
        return [classifier_score(fake.logits, splits, SUBSET_SEED).value]

    (score,), notes = c.over_sets(scores)
    splits = min(SCORE_SPLITS, c.subject.num)
    of_real = classifier_score(c.real.logits, min(SCORE_SPLITS, len(c.real)), SUBSET_SEED).value
    name = f"{c.prefix('score', 'inception_score', 'score')}-{c.label}"
    print_of = c.print_of_features(splits=splits, subset_seed=SUBSET_SEED)
    fields: dict[str, Any] = dict(better="higher", context=c.context(of_real=of_real))
    notes = (*c.biased(per_feature=False), *notes)
    return [c.measured(name, "fidelity", score, fingerprint=print_of, notes=notes, **fields)]


def precision_family(c: Comparison) -> list[Measurement]:
    """Improved precision and recall."""

    def both(fake: Features) -> list[float]:
        found = precision_recall(c.real.features, fake.features, PR_NEIGHBOURS)
        return [found.precision, found.recall]

    (precision, recall), notes = c.over_sets(both)
    print_of = c.print_of_features(k=PR_NEIGHBOURS, ball="closed")
    fields: dict[str, Any] = dict(better="higher", fingerprint=print_of)
    fields["notes"] = (*c.biased(per_feature=False), *notes)
    return [
        c.measured(f"precision-{c.label}", "fidelity", precision, 1.0, **fields),
        c.measured(f"recall-{c.label}", "diversity", recall, 1.0, **fields),
    ]


def density_family(c: Comparison) -> list[Measurement]:
    """Density and coverage."""

    def both(fake: Features) -> list[float]:
        found = density_coverage(c.real.features, fake.features, DC_NEIGHBOURS)
        return [found.density, found.coverage]

    (density, coverage), notes = c.over_sets(both)
    fields: dict[str, Any] = dict(
        better="higher",
        fingerprint=c.print_of_features(k=DC_NEIGHBOURS, ball="open"),
        notes=(*c.biased(per_feature=False), *notes),
    )
    of_same = expected_coverage(len(c.real), c.subject.num, DC_NEIGHBOURS)
    context = c.context(expected_of_same_distribution=of_same)
    return [
        c.measured(f"density-{c.label}", "fidelity", density, np.inf, **fields),
        c.measured(f"coverage-{c.label}", "diversity", coverage, 1.0, context=context, **fields),
    ]


def sliced_family(c: Comparison) -> list[Measurement]:
    """Sliced Wasserstein distances of patches, of every level of the pyramid and their mean."""
    spec = c.subject.spec
    if spec.x.kind != "image" or min(spec.shape[:2]) < SMALLEST:
        raise NotAvailable(f"{spec.name} has no images of {SMALLEST} pixels a side")
    num = min(SLICED_IMAGES, c.subject.num, *(len(s) for s in c.dataset.splits.values()))
    real, other = (np.concatenate(list(c.real_images(s, num))) for s in (c.split, c.other_split))
    sets = [sliced_wasserstein(real, spaced(s, num), c.seed) for s in c.subject.sets]
    floor = sliced_wasserstein(real, other, c.seed)
    parts = {"num_real": num, "num_generated": num, "subset_seed": c.seed, "scale": 1000}
    fields: dict[str, Any] = dict(better="lower")
    fields["fingerprint"] = fingerprint(c.print_of_data(c.split), parts, space="patches")
    found = []
    for side in sets[0]:
        context, values = c.context(floor=floor[side]), of_draws(s[side] for s in sets)
        found.append(c.measured(f"swd_{side}", "fidelity", values, context=context, **fields))
    context, values = c.context(floor=mean_distance(floor)), of_draws(map(mean_distance, sets))
    return [*found, c.measured("swd", "fidelity", values, context=context, **fields)]


def copying_family(c: Comparison) -> list[Measurement]:
    """Whether images are nearer to the train split than test examples are."""
    train, test = c.train.features, c.test.features
    num = min(len(test), c.subject.num)
    test = _few(test, num)

    def all_three(fake: Features) -> list[float]:
        drawn = _few(fake.features, num)
        statistic = copying(train, test, drawn, seed=c.seed).value
        ratio = nearest_quantiles(train, test, drawn).ratio
        return [statistic, authentic_share(train, drawn), ratio]

    sets = np.array([all_three(f) for f in c.fake])
    parts = {"num_train": len(train), "num_real": num, "num_generated": num}
    print_of = fingerprint(c.print_of_data("train"), c.extractor.fingerprint, parts)
    print_of["subset_seed"] = c.seed
    sense = (
        ("copying_ct", "about 0 for new data, far below for copies"),
        ("authentic", "about a half for new data, 0 for copies"),
        ("nn_ratio", "about 1 for new data, far below for copies"),
    )
    return [
        c.measured(f"{name}-{c.label}", "copying", of_draws(v), fingerprint=print_of, notes=(n,))
        for (name, n), v in zip(sense, sets.T, strict=True)
    ]


def modes_family(c: Comparison) -> list[Measurement]:
    """Known modes, or classes as the extractor reads them, that the images cover."""
    name, spec = c.subject.spec.name, c.subject.spec
    if name in toys.MIXTURES:
        cover = functools.partial(_gaussian, name)
    elif name in stacked.NAMES:
        cover = digit_coverage
    elif spec.num_classes and c.real.logits is not None:
        return _classes_covered(c)
    else:
        raise NotAvailable(f"{name} has no known modes, and {c.extractor.name} reads no classes")
    found = [cover(np.concatenate(list(images))) for images in c.subject.sets]
    parts = {"num_generated": c.subject.num, "of": found[0].of}
    fields: dict[str, Any] = {"fingerprint": fingerprint(c.print_of_data(c.split), parts)}
    modes, kl = of_draws(f.modes for f in found), of_draws(f.reverse_kl for f in found)
    out = [
        c.measured("modes", "diversity", modes, better="higher", **fields),
        c.measured("mode_kl", "diversity", kl, better="lower", unit="nats", **fields),
    ]
    if found[0].high_quality is not None:
        share = of_draws(f.high_quality for f in found if f.high_quality is not None)
        out.append(c.measured("high_quality", "fidelity", share, better="higher", **fields))
    return out


def _gaussian(name: str, x: np.ndarray) -> Coverage:
    return gaussian_coverage(x, *toys.modes(name))


def _classes_covered(c: Comparison) -> list[Measurement]:
    classes = c.subject.spec.num_classes

    def shares(of: Features) -> np.ndarray:
        assert of.logits is not None
        return np.bincount(of.logits.argmax(1), minlength=classes) / len(of)

    real = shares(c.real)

    def both(fake: Features) -> list[float]:
        share = shares(fake)
        kept = share > 0
        floor = np.maximum(real[kept], 0.5 / len(c.real))
        return [float(kept.sum()), float((share[kept] * np.log(share[kept] / floor)).sum())]

    (modes, kl), notes = c.over_sets(both)
    fields: dict[str, Any] = dict(fingerprint=c.print_of_features(of=classes), notes=notes)
    return [
        c.measured(f"modes-{c.label}", "diversity", modes, better="higher", **fields),
        c.measured(f"mode_kl-{c.label}", "diversity", kl, better="lower", unit="nats", **fields),
    ]


def spaced(images: ImageSet, num: int) -> np.ndarray:
    """`num` images of a set, evenly spaced, [num, ...]."""
    rows, first, found = evenly(len(images), num), 0, []
    for x in images:
        here = rows[(rows >= first) & (rows < first + len(x))] - first
        found.append(x[here])
        first += len(x)
    return np.concatenate(found)


def _few(x: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, evenly spaced."""
    return x[evenly(len(x), most)]


FAMILIES: dict[str, Callable[[Comparison], list[Measurement]]] = {
    "fd": frechet_family,
    "kd": kernel_family,
    "score": score_family,
    "pr": precision_family,
    "dc": density_family,
    "swd": sliced_family,
    "copying": copying_family,
    "modes": modes_family,
}
