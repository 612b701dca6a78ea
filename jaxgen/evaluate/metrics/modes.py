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

from jaxgen.data.embedded import stacked, toys
from jaxgen.evaluate.comparison import Comparison, Features
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number, fingerprint, of_draws

KNOWN = (*toys.MIXTURES, *stacked.NAMES)  # data whose modes are known
WITHIN = 3  # standard deviations
NUMBERS = {
    "modes": Number("Modes", "of the data that samples cover", "diversity", "higher"),
    "mode_kl": Number(
        "Modes, reverse KL",
        "of the modes of samples from those of the data",
        "diversity",
        unit="nats",
    ),
    "high_quality": Number(
        "High-quality samples",
        "share within three standard deviations of a mode",
        better="higher",
        most=1,
    ),
}


def measure(c: Comparison) -> list[Measurement]:
    """Known modes, or classes as the extractor reads them, that the images cover."""
    name, spec = c.subject.spec.name, c.subject.spec
    if name not in KNOWN:
        if not spec.num_classes or c.real.logits is None:
            raise NotAvailable(
                f"{name} has no known modes, and {c.extractor.name} reads no classes"
            )
        return _classes_covered(c)
    found = [coverage(name, np.concatenate(list(images))) for images in c.subject.sets]
    parts = {"num_generated": c.subject.num, "of": found[0].of}
    print_of = fingerprint(c.print_of_data(c.split), parts)
    modes, kl = of_draws(f.modes for f in found), of_draws(f.reverse_kl for f in found)
    out = [
        c.measured("modes", modes, fingerprint=print_of),
        c.measured("mode_kl", kl, fingerprint=print_of),
    ]
    if found[0].high_quality is not None:
        share = of_draws(f.high_quality for f in found if f.high_quality is not None)
        out.append(c.measured("high_quality", share, fingerprint=print_of))
    return out


def coverage(name: str, x: np.ndarray) -> Coverage:
    """What samples cover of the modes of a data set of `KNOWN`.

    Args:
        name: of the data.
        x: samples [N, ...].
    """
    return digit_coverage(x) if name in stacked.NAMES else gaussian_coverage(x, *toys.modes(name))


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
    print_of = c.print_of_features(of=classes)
    return [
        c.measured(f"modes-{c.label}", modes, fingerprint=print_of, notes=notes),
        c.measured(f"mode_kl-{c.label}", kl, fingerprint=print_of, notes=notes),
    ]


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
