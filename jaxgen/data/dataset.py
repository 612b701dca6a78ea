"""What every source gives: a `Dataset` of `Split`s, its fingerprint and its scan report."""

from __future__ import annotations

import abc
import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.fields import KINDS, NUMBERS, DataSpec, Field

SAMPLED = 256  # decoded examples that enter the fingerprint of a split that stays on disk
FEW_CLASSES = 12  # up to that many are listed with their counts in the report
USUAL = ("x", "label", "context")  # fields that the report has lines of their own for
_HASHED = {"x": 0, "label": 1}  # fields whose names are not part of an array's hash
SMALL = 1000  # fewer train examples than this earn a warning


class DataError(ValueError):
    """Data that cannot be used: one message with what, where and what to do."""


class Split(abc.ABC):
    """Examples in a fixed order, with random access by whole batches."""

    place: str  # for the report: "in memory" or "from disk"
    decodes: bool = False  # files, when examples are asked for: it pays to do so in processes
    redraws: bool = False  # x too: that of `draw` is not that of `take`

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of examples."""

    @abc.abstractmethod
    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """The examples with these indices, in this order; repeats are allowed.

        Args:
            indices: int64 [B] in 0 .. len - 1.

        Returns:
            Field -> [B, ...] of the dtype that the spec says: "x", and what else it has.
        """

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """Rows of a train batch: `take`, but for splits whose examples are random themselves.

        Args:
            indices: int64 [B] of the global batch, see `take`.
            rows: of the global batch, those to return.
            seed: of the order of examples, 0 <= seed < 2**32.
            index: number of the global batch.

        Returns:
            What `take` returns, a function of the arguments: the same rows for any division of
            the global batch.
        """
        return self.take(indices[rows])

    @abc.abstractmethod
    def sha256(self) -> str:
        """Hash of the content: see `ArraySplit` and `sampled_sha256`."""

    @property
    def labels(self) -> np.ndarray | None:
        """int32 [N], where all labels are known without decoding; None otherwise."""
        return None

    def stated_in(self, spec: DataSpec) -> Split:
        """The same examples in the units of another spec; itself, where there are none."""
        return self

    def describe(self, spec: DataSpec) -> list[str]:
        """Lines of the report on what the examples hold."""
        return []


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySplit(Split):
    """Examples held in memory as decoded arrays.

    Attributes:
        arrays: field -> [N, ...]; a field that is None is left out.
    """

    arrays: Mapping[str, np.ndarray | None]
    place = "in memory"

    def __post_init__(self):
        there = {name: a for name, a in self.arrays.items() if a is not None}
        counts = {name: len(a) for name, a in there.items()}
        if "x" not in there or len(set(counts.values())) > 1:
            raise DataError(f"expected x, and as many of each field, got {counts}")
        object.__setattr__(self, "arrays", there)

    def __len__(self) -> int:
        return len(self.x)

    @property
    def x(self) -> np.ndarray:
        """[N, ...], what is modelled."""
        return self.arrays["x"]

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        return {name: array[indices] for name, array in self.arrays.items()}

    def sha256(self) -> str:
        """Hash of dtype, shape and every byte of x, then of the labels, then of other fields."""
        digest = hashlib.sha256()
        for name in sorted(self.arrays, key=lambda n: (_HASHED.get(n, len(_HASHED)), n)):
            array = self.arrays[name]
            if name not in _HASHED:
                digest.update(f"{name} ".encode())
            digest.update(f"{array.dtype.str} {array.shape};".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def labels(self) -> np.ndarray | None:
        """int32 [N] or None."""
        return self.arrays.get("label")


@dataclasses.dataclass(frozen=True, eq=False)
class JoinedSplit(Split):
    """Several splits, one after the other."""

    parts: tuple[Split, ...]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @property
    def place(self) -> str:
        """Of the first."""
        return self.parts[0].place

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        ends = np.cumsum([len(part) for part in self.parts])
        of = np.searchsorted(ends, indices, side="right")
        taken, order = [], []
        for k, part in enumerate(self.parts):
            here = np.flatnonzero(of == k)
            if len(here):
                taken.append(part.take(indices[here] - (ends[k] - len(part))))
                order.append(here)
        back = np.argsort(np.concatenate(order))
        return {key: np.concatenate([batch[key] for batch in taken])[back] for key in taken[0]}

    def sha256(self) -> str:
        """Hash of the hashes."""
        return hashlib.sha256(" ".join(p.sha256() for p in self.parts).encode()).hexdigest()


def sampled_sha256(split: Split, identity: bytes) -> str:
    """Hash of a split too big to be read whole.

    It covers `identity` (names and sizes of files, say) and `SAMPLED` decoded examples, evenly
    spaced from the first to the last: a byte changed elsewhere goes unseen.
    """
    count = len(split)
    batch = split.take(np.unique(np.linspace(0, count - 1, SAMPLED).astype(np.int64)))
    digest = hashlib.sha256(identity)
    digest.update(f"{count};".encode())
    for key in sorted(batch):
        digest.update(np.ascontiguousarray(batch[key]).data)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A named data set with a train and a test split.

    Attributes:
        spec: what a model may know.
        splits: "train" and "test".
        source: where it came from, for the report.
        classes: names of the labels, () where they have none.
        notes: remarks of the source that the report repeats as warnings.
        binarized: how grey levels became two, "" if they did not; see `binarize.binarized`.
        resampled: how pixels were replaced, "" if none were; see `resample.resampled`.
        ranged: the range of images of floats and how it was found, "" of others.
        held_out: the test split was drawn here: the data came without one.
        flip: training images are mirrored at random; see `augment.AugmentedSplit`.
        shift: pixels by which they are moved at random.
        threads: that read batches ahead.
    """

    spec: DataSpec
    splits: dict[str, Split]
    source: str
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    binarized: str = ""
    resampled: str = ""
    ranged: str = ""
    held_out: bool = False
    flip: bool = False
    shift: int = 0
    threads: int = 2

    def augmented(self, flip: bool, shift: int) -> Dataset:
        """The data set whose training images are flipped, and shifted by up to `shift` pixels.

        Raises:
            DataError: on data that are no images, or a shift as long as their side.
        """
        if not flip and not shift:
            return self
        if self.spec.x.kind != "image":
            raise DataError(f"data.flip and data.shift are of images; {self.spec.name} has none")
        side = min(self.spec.shape[:2])
        if not 0 <= shift < side:
            raise DataError(f"data.shift={shift}, expected 0 .. {side - 1} for images of this size")
        return dataclasses.replace(self, flip=flip, shift=shift)

    def fingerprint(self) -> dict[str, Any]:
        """What tells two data sets apart, as JSON: name, shape, levels, count and hash by split.

        "binarized", "resampled", "standardized", "columns" and "context" are there where they
        apply, and so is what these leave unsaid of other fields, "fields".
        """
        spec = self.spec
        unsaid = {k: f.as_json() for k, f in spec.fields.items() if not _usual(k, f)}
        more = {
            "fields": unsaid,
            "binarized": self.binarized,
            "resampled": self.resampled,
            "standardized": spec.x.units is not None,
            "columns": list(spec.x.names),
            "context": list(spec.context),
        }
        return {k: v for k, v in more.items() if v} | {
            "name": self.spec.name,
            "shape": list(self.spec.shape),
            "levels": self.spec.levels,
            "splits": {
                name: {"count": len(split), "sha256": split.sha256()}
                for name, split in self.splits.items()
            },
        }

    def stated_in(self, spec: DataSpec) -> Dataset:
        """The same data under the name, and in the units, in which a run knows them."""
        splits = {name: split.stated_in(spec) for name, split in self.splits.items()}
        mine = dataclasses.replace(self.spec, name=spec.name)
        for name in mine.fields.keys() & spec.fields.keys():
            mine = mine.with_field(name, units=spec.fields[name].units)
        return dataclasses.replace(self, spec=mine, splits=splits)

    def with_all(self) -> Dataset:
        """The data set with one more split, "all" of it."""
        every = JoinedSplit((self.splits["train"], self.splits["test"]))
        return dataclasses.replace(self, splits={**self.splits, "all": every})

    def report(self) -> str:
        """The scan report, several lines, to be printed before the first step."""
        spec = self.spec
        counts = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        lines = [
            f"data {spec.name}: {counts} examples",
            f"  size: {described(spec.x)}",
            *([f"  binarised: {self.binarized}"] if self.binarized else []),
            *([f"  resampled: {self.resampled}"] if self.resampled else []),
            *self._range(),
            *([f"  range: {self.ranged}"] if self.ranged else []),
            *self._augmentation(),
            *self.splits["train"].describe(spec),
            f"  classes: {self._classes()}",
            *(f"  {k}: {described(f)}" for k, f in spec.fields.items() if k not in USUAL),
            f"  source: {self.source}, {self.splits['train'].place}",
        ]
        if spec.entropy is not None:
            lines.append(f"  entropy: {spec.entropy:.4f} nats, below which no likelihood can stay")
        return "\n".join(lines + [f"  warning: {text}" for text in self.warnings()])

    def warnings(self) -> list[str]:
        """What the user should know before training, one sentence each."""
        found = list(self.notes)
        count = len(self.splits["train"])
        if count < SMALL:
            found.append(
                f"only {count:,} train examples: expect overfitting; compare train and test"
            )
        words = {word for field in self.spec.fields.values() for word in field.words}
        if self.flip and words & {"left", "right"}:
            found.append("texts that say left or right are wrong of mirrored pictures: data.flip")
        labels = self.splits["train"].labels
        if labels is not None and self.spec.num_classes:
            absent = np.flatnonzero(np.bincount(labels, minlength=self.spec.num_classes) == 0)
            if len(absent):
                found.append(f"no train example of class {', '.join(map(str, absent[:10]))}")
        x = self._array()
        if x is not None and self.spec.levels is not None and x.max() < self.spec.levels // 2:
            found.append(
                f"the largest value is {x.max()} of 0..{self.spec.levels - 1}: samples will look "
                f"dark; rescale the data if it has fewer levels than its dtype"
            )
        return found

    def _array(self) -> np.ndarray | None:
        """The train examples, if they are in memory."""
        split = self.splits["train"]
        return split.x if isinstance(split, ArraySplit) else None

    def _range(self) -> list[str]:
        """Smallest, largest and mean value per channel, of the train examples in memory."""
        x = self._array()
        if x is None or self.spec.x.kind in ("label", "tokens", "layout"):
            return []
        axes = tuple(range(x.ndim - 1))
        low, high, mean = x.min(axes), x.max(axes), x.mean(axes, dtype=np.float64)
        parts = [f"{a:.5g}..{b:.5g} mean {m:.4g}" for a, b, m in zip(low, high, mean, strict=True)]
        more = ", ..." if len(parts) > 4 else ""
        return [f"  values: {', '.join(parts[:4])}{more}"]

    def _augmentation(self) -> list[str]:
        said = ["mirrored at random"] * self.flip
        said += [f"shifted by up to {self.shift} pixels"] * bool(self.shift)
        return [f"  training images: {', '.join(said)}"] if said else []

    def _classes(self) -> str:
        if not self.spec.num_classes:
            return "none"
        labels = self.splits["train"].labels
        if labels is None or self.spec.num_classes > FEW_CLASSES:
            return str(self.spec.num_classes)
        counts = np.bincount(labels, minlength=self.spec.num_classes)
        names = self.classes or tuple(str(k) for k in range(self.spec.num_classes))
        listed = ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True))
        return f"{self.spec.num_classes} ({listed})"


def described(field: Field) -> str:
    """Size and values of a field, for people: "8x8x1 (H x W x C), 17 grey levels"."""
    size = "x".join(map(str, field.shape)) or "one"
    axes = KINDS[field.kind].strip("[]").replace(", ", " x ")
    unit = {"vector": "dimensions", "label": "class"}.get(field.kind, axes)
    if field.values is None:
        return f"{size} ({unit}), continuous"
    what = {"levels": "grey levels", "vocabulary": "tokens"}
    (name,) = (n for n in NUMBERS if getattr(field, n) is not None)
    return f"{size} ({unit}), {field.values} {what.get(name, name)}"


def _usual(name: str, field: Field) -> bool:
    """Whether a fingerprint tells all of a field by shape, levels, columns and context."""
    return name in USUAL if name != "x" else field.kind in ("image", "vector", "volume")


def differences(known: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What tells two fingerprints apart, one line each; [] where they are of the same data.

    The name is not looked at: a folder that was moved or renamed holds the same data.

    Args:
        known: of `Dataset.fingerprint`.
        now: of another time or place.
    """
    found = [
        f"{key} {known.get(key)!r:.300} then, {now.get(key)!r:.300} now"
        for key in sorted((known.keys() | now.keys()) - {"name", "splits"})
        if known.get(key) != now.get(key)
    ]
    before, after = dict(known.get("splits") or {}), dict(now.get("splits") or {})
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None or new is None:
            found.append(f"a {name} split {'then' if new is None else 'now'} alone")
        elif old.get("count") != new["count"]:
            found.append(f"{old.get('count')} {name} examples then, {new['count']} now")
        else:
            found.append(f"other content of the {name} split")
    return found


def holdout(count: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a seeded (train, test) division of `count` examples, int64, increasing.

    Raises:
        DataError: on fewer than two examples.
    """
    if count < 2:
        raise DataError(f"expected at least 2 examples to divide into train and test, got {count}")
    order = np.random.RandomState(seed).permutation(count)
    tests = min(max(round(count * fraction), 1), count - 1)
    return np.sort(order[tests:]), np.sort(order[:tests])
