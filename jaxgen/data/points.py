"""Rows of numbers as data: named columns, what is given to each row, units, and their hazards.

Columns are brought to mean zero and unit deviation, by the statistics of the train split alone;
densities and samples are in the columns' own units all the same, see `types.Units`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split, holdout, sampled_sha256
from jaxgen.types import DataSpec, Units

CHUNK = 2**16  # rows whose statistics are taken at a time
NUMBERS = 2**22  # that are looked at for hazards
FEW_VALUES = 0.1  # of the rows: a column with fewer different values is not continuous
ENOUGH = 50  # rows from which on that can be said
ALIKE = 1 - 1e-9  # correlation from which on two columns are one
LISTED = 8  # columns that the report shows
Columns = Sequence[int]


@dataclasses.dataclass(frozen=True)
class Choice:
    """What the columns of a table are to be.

    Attributes:
        columns: that are modelled; () takes all that are neither context nor label.
        context: that every row is given.
        label: the column of the classes.
        standardize: bring each to mean zero and unit deviation; None does.
    """

    columns: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    label: str | None = None
    standardize: bool | None = None

    @property
    def given(self) -> list[str]:
        """Names of what was chosen."""
        names = ("columns", "context", "label", "standardize")
        return [name for name in names if getattr(self, name)]


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Examples of one split, in their own units.

    Attributes:
        x: [N, D], in memory or mapped.
        context: [N, C], None where there is none.
        label: int32 [N], None where there is none.
    """

    x: np.ndarray
    context: np.ndarray | None = None
    label: np.ndarray | None = None

    def chosen(self, rows: np.ndarray) -> Rows:
        """Some of them, in memory."""
        parts = (self.x, self.context, self.label)
        return Rows(*(None if part is None else part[rows] for part in parts))


@dataclasses.dataclass(frozen=True, eq=False)
class PointSplit(Split):
    """Rows in the units of a spec.

    Attributes:
        rows: in their own units.
        index: int64 [M], those of this split.
        columns: of `rows.x` that are used.
        units: of them, None leaves them.
        context_units: of the context.
    """

    rows: Rows
    index: np.ndarray
    columns: Columns
    units: Units | None = None
    context_units: Units | None = None

    def __len__(self) -> int:
        return len(self.index)

    @property
    def place(self) -> str:
        """See `Split`."""
        return "mapped from disk" if isinstance(self.rows.x, np.memmap) else "in memory"

    @property
    def labels(self) -> np.ndarray | None:
        """int32 [M] or None."""
        return None if self.rows.label is None else self.rows.label[self.index]

    def own(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """As `take`, in the columns' own units, float64."""
        rows = self.rows.chosen(self.index[indices])
        batch = {"x": rows.x[:, list(self.columns)].astype(np.float64)}
        if rows.context is not None:
            batch["context"] = rows.context.astype(np.float64)
        return batch if rows.label is None else batch | {"label": rows.label}

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        batch = self.own(indices)
        for key, units in (("x", self.units), ("context", self.context_units)):
            if key in batch:
                batch[key] = units.inward(batch[key]) if units else batch[key].astype(np.float32)
        return batch

    def sha256(self) -> str:
        """Of the rows in their own units, whatever the units of batches are."""
        if isinstance(self.rows.x, np.memmap):
            identity = f"{self.rows.x.dtype.str} {self.rows.x.shape};".encode()
            return sampled_sha256(_Own(self), identity)
        batch = self.own(np.arange(len(self)))
        whole = batch["x"]
        if "context" in batch:
            whole = np.concatenate([whole, batch["context"]], 1)
        return ArraySplit({"x": whole, "label": batch.get("label")}).sha256()

    def stated_in(self, spec: DataSpec) -> PointSplit:
        """See `Split.stated_in`."""
        given = spec.fields["context"].units if spec.context else None
        return dataclasses.replace(self, units=spec.x.units, context_units=given)

    def describe(self, spec: DataSpec) -> list[str]:
        """See `Split.describe`: every column in its own units."""
        lines = []
        for key, names in (("x", spec.x.names), ("context", spec.context)):
            parts = (
                [
                    f"{n} {a:.5g}..{b:.5g} mean {m:.4g} deviation {s:.4g}"
                    for n, m, s, a, b in zip(names, *_statistics(self, key), strict=True)
                ]
                if names
                else []
            )
            if parts:
                more = f", ... ({len(names)} in all)" if len(names) > LISTED else ""
                what = "given" if key == "context" else "columns"
                lines.append(f"  {what}: {', '.join(parts[:LISTED])}{more}")
        return [*lines, "  standardised, each column"] if spec.x.units else lines


@dataclasses.dataclass(frozen=True, eq=False)
class _Own(Split):
    """A split in the columns' own units."""

    inner: PointSplit
    place = ""

    def __len__(self) -> int:
        return len(self.inner)

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        return self.inner.own(indices)

    def sha256(self) -> str:
        return self.inner.sha256()


def selected(
    names: Sequence[str],
    columns: Sequence[str],
    context: Sequence[str],
    label: str | None,
    where: str,
) -> tuple[str, ...]:
    """The columns that are modelled.

    Raises:
        DataError: for a column that there is not, or one that is to be two things.
    """
    asked = [*columns, *context, *([label] if label is not None else [])]
    for name in asked:
        if name not in names:
            shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise DataError(f"{where} has no column {name!r}; it has {shown}")
        if asked.count(name) > 1:
            raise DataError(
                f"{where}: column {name!r} is asked for twice in data.columns, "
                f"data.context and data.label"
            )
    found = tuple(columns) or tuple(n for n in names if n not in asked)
    if not found:
        raise DataError(f"{where}: no column is left to be modelled")
    return found


def dataset(
    name: str,
    parts: Mapping[str, Rows],
    columns: Sequence[str],
    context: Sequence[str],
    *,
    chosen: bool,
    standardize: bool,
    test_fraction: float,
    seed: int,
    source: str,
    classes: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Dataset:
    """A data set of rows, each column of mean zero and unit deviation.

    Args:
        name: of the data set.
        parts: "train" and "test", or all rows under "", of which a share is held out.
        columns: names of those of x.
        context: names of those of the context.
        chosen: whether the columns were asked for: one that is constant is then refused, else it
            is left out, with a note.
        standardize: bring columns and context to mean zero and unit deviation; else they stay as
            they are, those that are constant too.
        test_fraction: held out.
        seed: of that division.
        source: for the report.
        classes: names of the labels.
        notes: see `Dataset`.

    Raises:
        DataError: where nothing varies, or a column that was asked for does not.
    """
    if "" in parts:
        whole = parts[""]
        halves = zip(("train", "test"), holdout(len(whole.x), test_fraction, seed), strict=True)
        index = {split: (whole, rows) for split, rows in halves}
    else:
        index = {split: (rows, np.arange(len(rows.x))) for split, rows in parts.items()}
    every = range(len(columns))
    splits = {k: PointSplit(rows, at, every) for k, (rows, at) in index.items()}
    kept, units, more = _units(source, splits["train"], columns, chosen, standardize)
    given = None
    if context and standardize:
        mean, std, *_ = _statistics(splits["train"], "context")
        given = Units(tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))
    labels = [rows.label for rows, _ in index.values() if rows.label is not None]
    count = max((1 + int(label.max()) for label in labels if len(label)), default=0)
    spec = DataSpec.of(
        name,
        (len(kept),),
        None,
        num_classes=len(classes) or count,
        columns=tuple(columns[i] for i in kept),
        context=tuple(context),
        units=units,
        context_units=given,
    )
    stated: dict[str, Split] = {
        k: dataclasses.replace(split, columns=kept).stated_in(spec) for k, split in splits.items()
    }
    said = (*notes, *more, *hazards(stated["train"], spec.x.names))
    drawn = "" in parts
    return Dataset(spec, stated, source, tuple(classes), notes=said, held_out=drawn)


def _units(
    source: str, train: PointSplit, columns: Sequence[str], chosen: bool, standardize: bool
) -> tuple[list[int], Units | None, list[str]]:
    """The columns that are used, their units, and notes."""
    mean, std, low, high = _statistics(train, "x")
    every = range(len(columns))
    varies = [i for i in every if high[i] > low[i] and std[i] > 0]
    constant = ", ".join(f"{columns[i]} ({low[i]:.6g})" for i in every if i not in varies)
    if constant and not standardize:
        return list(every), None, [f"constant columns, of infinite density: {constant}"]
    if not standardize:
        return list(every), None, []
    if constant and (chosen or not varies):
        raise DataError(
            f"{source}: constant in the train split: {constant}; the density of what does not vary "
            f"is infinite: leave it out, as by --config.data.columns=..."
        )
    units = Units(*(tuple(v[varies].tolist()) for v in (mean, std)))
    return varies, units, [f"not used: constant columns: {constant}"] if constant else []


def _statistics(split: PointSplit, key: str) -> tuple[np.ndarray, ...]:
    """Mean, deviation, lowest and highest value of each column, float64, in two passes."""
    parts = [np.arange(s, min(s + CHUNK, len(split))) for s in range(0, len(split), CHUNK)]
    total, low, high = 0.0, np.inf, -np.inf
    for rows in parts:
        x = split.own(rows)[key]
        total = total + x.sum(0)
        low, high = np.minimum(low, x.min(0)), np.maximum(high, x.max(0))
    mean = total / len(split)
    with np.errstate(over="ignore"):
        squares = sum(((split.own(rows)[key] - mean) ** 2).sum(0) for rows in parts)
    if not np.isfinite(squares).all():
        raise DataError(f"values beyond 1e150 in column {np.argmin(np.isfinite(squares)) + 1}")
    return mean, np.sqrt(squares / len(split)), low, high


def hazards(split: PointSplit, names: Sequence[str]) -> list[str]:
    """Notes on columns whose density can grow without bound, in the first rows of a split."""
    most = min(CHUNK, max(ENOUGH, NUMBERS // len(names)))
    x = split.take(np.arange(min(len(split), most)))["x"]
    if len(x) < ENOUGH:
        return []
    found = []
    few = {n: len(np.unique(c)) for n, c in zip(names, x.T, strict=True)}
    few = {n: count for n, count in few.items() if count <= FEW_VALUES * len(x)}
    if few:
        listed = ", ".join(f"{n} ({count})" for n, count in list(few.items())[:10])
        found.append(
            f"columns of few different values: {listed}: their density can grow without bound; "
            f"make them context or label, or add noise"
        )
    if 1 < len(names) <= 512:
        same = np.argwhere(np.triu(np.abs(np.corrcoef(x.T.astype(np.float64))) > ALIKE, 1))
        if len(same):
            listed = ", ".join(f"{names[i]} and {names[j]}" for i, j in same[:5])
            found.append(
                f"columns that say the same: {listed}: the density of both is infinite; leave one "
                f"out of --config.data.columns=..."
            )
    return found
