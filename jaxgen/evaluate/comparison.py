"""What is measured, and what it is compared with: sets of images beside a split of real ones."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jax.sharding import Mesh

from jaxgen.abilities import Coded
from jaxgen.config import ConfigError
from jaxgen.data import Dataset
from jaxgen.data.embedded import factors
from jaxgen.data.loader import evenly
from jaxgen.evaluate.extractors import Extractor
from jaxgen.evaluate.measurement import (
    Fingerprint,
    Interval,
    Measurement,
    fingerprint,
    of_draws,
)
from jaxgen.progress import track
from jaxgen.rundir import RunDir
from jaxgen.types import DataSpec, Method, State

CHUNK = 1024  # real images at a time
DRAWS = 99  # from each posterior that is calibrated
PARTS = 4  # of a single set, for the interval of its numbers
FEW, FEW_PER_FEATURE = 2048, 10  # fewer examples than either make many numbers biased
Cost = tuple[float, Mapping[str, Any]]


class ImageSet(Protocol):
    """Images of one draw of a model, in the units of the data."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __iter__(self) -> Iterator[np.ndarray]:
        """[B, H, W, C] or [B, D], in order."""
        ...


class Trained(Protocol):
    """A run as it is measured; see `jaxgen.run.Run`."""

    directory: RunDir
    config: dict[str, Any]
    spec: DataSpec
    mesh: Mesh
    method: Method
    state: State
    step: int
    averages: dict[str, str]
    guide: Mapping[str, str]

    def dataset(self, **places: Any) -> Dataset: ...  # noqa: D102
    def observer(self, **options: Any) -> Any: ...  # noqa: D102
    def per_example(self, split: str, **options: Any) -> dict[str, np.ndarray]: ...  # noqa: D102
    def encode(self, x: Any, seed: int = 0, **options: Any) -> Any: ...  # noqa: D102
    def decode(self, z: Any, **options: Any) -> Any: ...  # noqa: D102
    def reconstruct(self, x: Any, seed: int = 0, **options: Any) -> Any: ...  # noqa: D102


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A model, or images of one, as the metrics see it.

    Attributes:
        spec: of the data.
        levels: grey levels that are modelled: fewer than those of the data for 5-bit models.
        sets: independent draws, each with the same number of images.
        settings: knobs of the sampling.
        context: of every number: seed, step, versions, device.
        notes: to every number.
        method: None for mere images, as all below.
        state: of averaged params.
        sample: (number of the call) -> images on the device, for timing; of `sample_size` images.
        sample_size: see there.
        per_example: split -> columns [N] of `Method.evaluate`.
        labelled: a set whose image i is of class i modulo the number of classes.
        costs: gives numbers that training left behind, name -> (value, fingerprint).
    """

    spec: DataSpec
    levels: int | None
    sets: Sequence[ImageSet]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    context: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    method: Method | None = None
    state: State | None = None
    sample: Callable[[int], Any] | None = None
    sample_size: int = 0
    per_example: Callable[[str], Mapping[str, np.ndarray]] | None = None
    labelled: ImageSet | None = None
    costs: Callable[[], Mapping[str, Cost]] | None = None

    @property
    def num(self) -> int:
        """Images of each set."""
        return len(self.sets[0])


@dataclasses.dataclass(frozen=True, eq=False)
class Features:
    """Of N examples.

    Attributes:
        features: [N, D] float32.
        logits: [N, K] float32, None where the extractor has none.
    """

    features: np.ndarray
    logits: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """A subject beside real data; features are computed once, when a metric first asks.

    Attributes:
        subject: what is measured.
        dataset: the real data.
        source: the extractor of features, or a partial that makes it when it is first needed.
        split: the reference.
        max_examples: of the reference, evenly spaced; None takes all.
        seed: of subsets and paths.
        pairs: of latents, for path lengths.
        observations: of the test split, for calibration; None takes at most 500.
        draws: from each posterior.
        arrays: what metrics leave for pictures, name of the file -> arrays.
    """

    subject: Subject
    dataset: Dataset
    source: Extractor | functools.partial[Extractor]
    split: str = "train"
    max_examples: int | None = None
    seed: int = 0
    pairs: int = 2000
    observations: int | None = None
    draws: int = DRAWS
    arrays: dict[str, dict[str, np.ndarray]] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks the split."""
        if self.split not in self.dataset.splits:
            raise ConfigError(f"--split={self.split}, expected one of {list(self.dataset.splits)}")

    def adopt(self, known: Comparison) -> None:
        """Takes over the features of real data of a comparison with the same data."""
        shared = ("real", "other", "train", "test", "data")
        vars(self).update({k: v for k, v in vars(known).items() if k in shared})

    @functools.cached_property
    def extractor(self) -> Extractor:
        """Of features."""
        return self.source() if isinstance(self.source, functools.partial) else self.source

    @property
    def other_split(self) -> str:
        """What the reference is compared with, for the floor of a distance."""
        return "test" if self.split != "test" else "train"

    @functools.cached_property
    def real(self) -> Features:
        """Of the reference."""
        return self.features_of(self.split, self.max_examples)

    @functools.cached_property
    def other(self) -> Features:
        """Of the other split."""
        return self.features_of(self.other_split, self.max_examples)

    @functools.cached_property
    def train(self) -> Features:
        """Of the whole train split, for copies of it."""
        if self.split == "train" and len(self.real) == len(self.dataset.splits["train"]):
            return self.real
        return self.features_of("train", None)

    @property
    def train_rows(self) -> np.ndarray:
        """Indices in the train split of the rows of `train`."""
        return np.arange(len(self.dataset.splits["train"]), dtype=np.int64)

    @functools.cached_property
    def test(self) -> Features:
        """Of the test split."""
        return self.real if self.split == "test" else self.features_of("test", self.max_examples)

    @functools.cached_property
    def fake(self) -> list[Features]:
        """Of every set of the subject."""
        return [self._features(number, of) for number, of in enumerate(self.subject.sets, 1)]

    def _features(self, number: int, images: ImageSet) -> Features:
        what = f"features of set {number}"
        read = track(images, what, len(images), self.dataset.spec.unit, len)
        return _joined([self.extractor(x) for x in read])

    def features_of(self, split: str, most: int | None) -> Features:
        """Of examples of a split, evenly spaced."""
        return _joined([self.extractor(x) for x in self.real_images(split, most)])

    def real_images(self, split: str, most: int | None) -> Iterator[np.ndarray]:
        """Batches of examples of a split, evenly spaced."""
        source = self.dataset.splits[split]
        rows = evenly(len(source), most)
        starts = range(0, len(rows), CHUNK)
        unit = self.dataset.spec.unit
        for first in track(starts, f"reading {split}", len(rows), unit, lambda _: CHUNK):
            yield source.take(rows[first : first + CHUNK])["x"]

    @functools.cached_property
    def data(self) -> dict[str, Any]:
        """The fingerprint of the data."""
        return self.dataset.fingerprint()

    @property
    def label(self) -> str:
        """Of the extractor."""
        return self.extractor.label

    def prefix(self, of_classifier: str, of_inception: str, of_others: str) -> str:
        """The name of a metric by the extractor; that of Inception for its own weights only."""
        kind = self.extractor.name.partition(":")[0]
        if kind == "classifier":
            return of_classifier
        weights = str(self.extractor.fingerprint.get("weights_sha256", ""))
        return of_inception if weights.startswith("6726825d") else of_others

    def print_of_data(self, split: str) -> Fingerprint:
        """What any number depends on."""
        found = {"data": self.data["name"], "levels": self.subject.levels, "split": split}
        found["data_sha256"] = self.data["splits"][split]["sha256"]
        return found | {k: self.data[k] for k in ("binarized", "resampled") if k in self.data}

    def print_of_features(self, **more: Any) -> Fingerprint:
        """What a number on features depends on."""
        counts = {"num_real": len(self.real), "num_generated": self.subject.num}
        return fingerprint(self.print_of_data(self.split), self.extractor.fingerprint, counts, more)

    def context(self, **more: Any) -> dict[str, Any]:
        """Of the subject, with the number of sets."""
        return {**self.subject.context, "sets": len(self.subject.sets), **more}

    def over_sets(
        self, function: Callable[[Features], Sequence[float]]
    ) -> tuple[list[Interval], tuple[str, ...]]:
        """Numbers of every set as means with intervals, and a note where the interval needs one.

        Of a single set the value is that of all its images; the interval has the spread of the
        numbers of its disjoint parts, over the root of their number, as its half width's scale.
        """
        values = np.array([function(f) for f in self.fake], np.float64)
        return intervals(values, self.fake[0], function)

    def measured(self, name: str, found: Interval, **fields: Any) -> Measurement:
        """A measurement with the settings, context and notes of the subject.

        Args:
            name: see `Measurement`; what it is the metric's `NUMBERS` say.
            found: value and interval.
            **fields: of the measurement.
        """
        fields["notes"] = (*self.subject.notes, *fields.get("notes", ()))
        fields.setdefault("context", self.context())
        fields.setdefault("settings", dict(self.subject.settings))
        return Measurement(name, found.value, found.low, found.high, **fields)

    @functools.cached_property
    def labelled(self) -> tuple[np.ndarray, np.ndarray]:
        """Samples of every class in turn [N, ...], and their classes, int32 [N]."""
        assert self.subject.labelled is not None
        images = np.concatenate(list(self.subject.labelled))
        return images, (np.arange(len(images)) % self.subject.spec.num_classes).astype(np.int32)

    def biased(self, *, per_feature: bool = True) -> tuple[str, ...]:
        """The note on too few examples, () where there are enough."""
        least, dims = FEW, self.real.features.shape[1]
        if per_feature:
            least = max(FEW, FEW_PER_FEATURE * dims)
        if min(len(self.real), self.subject.num) >= least:
            return ()
        return (
            f"biased: {len(self.real):,} real and {self.subject.num:,} generated "
            f"{self.subject.spec.unit}, below {least:,}",
        )


def intervals(
    values: np.ndarray, whole: Features, function: Callable[[Features], Sequence[float]]
) -> tuple[list[Interval], tuple[str, ...]]:
    """See `Comparison.over_sets`.

    Args:
        values: [sets, numbers].
        whole: the first set.
        function: that gave its values.
    """
    from scipy.stats import t

    if len(values) > 1:
        return [of_draws(column) for column in values.T], ()
    if len(whole) < PARTS * 8:
        return [Interval(float(v)) for v in values[0]], ("no interval: one small set",)
    rows = [np.arange(i, len(whole), PARTS) for i in range(PARTS)]
    parts = np.array([function(_taken(whole, r)) for r in rows], np.float64)
    half = t.ppf(0.975, PARTS - 1) * parts.std(0, ddof=1) / math.sqrt(PARTS)
    ends = zip(values[0], values[0] - half, values[0] + half, strict=True)
    found = [Interval(float(v), float(low), float(high)) for v, low, high in ends]
    return found, (f"interval from the spread of {PARTS} disjoint parts of one set",)


def _taken(whole: Features, rows: np.ndarray) -> Features:
    logits = None if whole.logits is None else whole.logits[rows]
    return Features(whole.features[rows], logits)


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> Features:
    if not parts:
        raise ConfigError("no images to take features of")
    features = np.concatenate([part["features"] for part in parts])
    if not np.isfinite(features).all():
        bad = int((~np.isfinite(features)).any(1).sum())
        raise ConfigError(f"features of {bad} of {len(features)} images are not finite")
    if "logits" not in parts[0]:
        return Features(features)
    return Features(features, np.concatenate([part["logits"] for part in parts]))


def few(x: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, evenly spaced."""
    return x[evenly(len(x), most)]


Need = Callable[[Comparison], str | None]  # why a metric cannot be given; None where it can


def model(c: Comparison) -> str | None:
    """A model, and not images alone."""
    return None if c.subject.method else "images alone have no model: it is of runs"


def able(ability: type, what: str) -> Need:
    """A model that a protocol of `jaxgen.abilities` is satisfied by.

    Args:
        ability: the protocol.
        what: a model without it has not, for the message.
    """

    def need(c: Comparison) -> str | None:
        method = c.subject.method
        return None if isinstance(method, ability) else f"{type(method).__name__} has no {what}"

    return need


def conditional(c: Comparison) -> str | None:
    """A model that can be asked for a class."""
    asked = c.subject.labelled is not None
    return None if asked else "classes are of conditional models, this one takes no class"


def paths(c: Comparison) -> str | None:
    """A model whose latents are real numbers."""
    coded = isinstance(c.subject.method, Coded)
    return (
        "latents are ids of codes, which are no numbers: between them are no paths"
        if coded
        else None
    )


def known_factors(c: Comparison) -> str | None:
    """Data whose factors are known."""
    name, known = c.dataset.spec.name, factors.NAMES
    return None if name in known else f"the factors of {name} are not known; of {', '.join(known)}"
