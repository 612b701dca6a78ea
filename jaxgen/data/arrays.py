"""Arrays in .npz and .npy files: images [N, H, W, C] or [N, H, W], points [N, D]."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.data import kept, pairs, points
from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split, holdout, sampled_sha256
from jaxgen.data.labels import checked_labels
from jaxgen.data.limits import load_npy, open_npz
from jaxgen.types import DataSpec

CHUNK_BYTES = 2**26  # of an array, looked at in one go
_X = ("x", "X", "images", "image", "arr_0")  # the last is what numpy.savez calls it
_LABEL = {"x": "y", "X": "y", "images": "labels", "image": "label", "arr_0": "y"}
_SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation"),
}
_LEVELS = {"bool": 2, "uint8": 256, "uint16": 65536}
KEYS = (
    "x, images or image (labels: y, labels or label), or x_train and x_test (labels: y_train and "
    "y_test), or train_images and test_images (labels: train_labels and test_labels)"
)


@dataclasses.dataclass(frozen=True, eq=False)
class MappedSplit(Split):
    """Rows of an array that stays on disk.

    Attributes:
        array: memory map, [N, ...].
        rows: int64 [M], those that belong to this split.
    """

    array: np.ndarray
    rows: np.ndarray
    place = "mapped from disk"

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        return {"x": _converted(self.array[self.rows[indices]])}

    def sha256(self) -> str:
        """See `sampled_sha256`; the identity is dtype and shape of the file."""
        return sampled_sha256(self, f"{self.array.dtype.str} {self.array.shape};".encode())


def load(
    path: pathlib.Path,
    choice: points.Choice,
    test_fraction: float,
    seed: int,
    in_memory_mb: float,
    earlier: bool = False,
) -> Dataset:
    """The data set in one file.

    A .npy file holds the examples; a .npz file holds `x`, `images` or `image`, with labels `y`,
    `labels` or `label` if any, or the two splits as `x_train`, `x_test`, `y_train`, `y_test` or
    `train_images`, `test_images` and so on; `x_val` and its like stand in for a test split that
    is not there. Without one, a seeded draw of `test_fraction` of the examples is held out. bool,
    uint8 and uint16 are grey levels, floats are continuous. Rows [N, D] of floats are a table,
    whose `context` [N, C] a .npz may hold; beside `theta` [N, D] they are what a simulator made of
    these parameters, and rows of both. A .npy file above `in_memory_mb` is mapped, not read.
    A .npz may also be a whole data set, see `kept`. The `earlier` rules are those of version 0.1,
    which knew train and test in fewer spellings.

    Raises:
        DataError: on contents that are ambiguous or cannot be used.
    """
    kind = path.suffix.lower()
    large = kind == ".npy" and path.stat().st_size > in_memory_mb * 1e6
    notes: list[str] = []
    if kind == ".npy":
        parts = {"": Part(load_npy(path, mapped=large))}
    else:
        with open_npz(path) as archive:
            if kept.ABOUT in archive.files:
                return kept.opened(path, archive)
            parts, notes = (_pick_earlier if earlier else picked)(str(path), archive)
    return joined(parts, notes, choice, test_fraction, seed, path.stem, str(path), f"file {path}")


def joined(
    parts: dict[str, Part],
    notes: list[str],
    choice: points.Choice,
    test_fraction: float,
    seed: int,
    name: str,
    place: str,
    source: str,
) -> Dataset:
    """The data set of arrays, checked.

    Args:
        parts: by split, or all examples under "".
        notes: see `Dataset`.
        choice: of columns.
        test_fraction: held out where there is one part.
        seed: of that division.
        name: of the data set.
        place: where the arrays are, for messages.
        source: for the report.

    Raises:
        DataError: on arrays that are ambiguous or cannot be used.
    """
    for split, part in parts.items():
        where = f"{place}{split and ', '}{split}"
        if part.theta is not None:
            part, more = _paired(part, where)
            parts[split] = part
            notes = [*notes, *more]
        if part.x.ndim == 1 and part.x.dtype.kind == "f":
            part = parts[split] = dataclasses.replace(part, x=part.x[:, None])
        _check(part.x, where)
        if part.label is not None:
            label = checked_labels(part.label, len(part.x), where)
            parts[split] = dataclasses.replace(part, label=label)
    whole = next(iter(parts.values())).x
    _check_alike(place, parts)
    if whole.ndim == 2 and choice.standardize is not False:
        table = _table(parts, choice, place, notes)
        return table(test_fraction=test_fraction, seed=seed, name=name, source=source)
    if choice.given or any(part.context is not None for part in parts.values()):
        raise DataError(
            f"{place}: columns and context are of rows [N, D] of floats that are standardised; "
            f"got {whole.dtype} {list(whole.shape)}, data.standardize={choice.standardize}"
        )
    named = next(iter(parts.values())).names
    spec = DataSpec.of(name, _shape(whole), _LEVELS.get(whole.dtype.name), columns=named or ())
    if isinstance(whole, np.memmap):
        trains, tests = holdout(len(whole), test_fraction, seed)
        splits: dict[str, Split] = {
            "train": MappedSplit(whole, trains),
            "test": MappedSplit(whole, tests),
        }
    else:
        splits = _in_memory(parts, test_fraction, seed)
        known = [split.labels for split in splits.values() if split.labels is not None]
        classes = 1 + max((int(labels.max()) for labels in known), default=-1)
        if classes:
            spec = spec.with_field("label", kind="label", dtype="int32", classes=classes)
    return Dataset(spec, splits, source, notes=tuple(notes), held_out="" in parts)


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
    """The arrays of one split, as they were saved."""

    x: np.ndarray
    label: np.ndarray | None = None
    context: np.ndarray | None = None
    theta: np.ndarray | None = None
    names: tuple[str, ...] | None = None


def _paired(part: Part, where: str) -> tuple[Part, list[str]]:
    """Rows of a simulator's parameters and observations, and notes."""
    assert part.theta is not None
    if part.label is not None or part.context is not None:
        raise DataError(f"{where}: labels and context have no place beside theta and x")
    x, notes = pairs.joined(part.theta, part.x, where)
    return Part(x, names=pairs.columns(part.theta, part.x)), notes


def picked(place: str, archive: Any) -> tuple[dict[str, Part], list[str]]:
    """The arrays to use, by split, or those under "" where there is no test; and notes.

    Args:
        place: where they are, for messages.
        archive: `files`, their names, and each under its name.

    Raises:
        DataError: where there are no examples among them.
    """
    keys = list(archive.files)
    for x_key in _X:
        found = {}
        for split, words in _SPLITS.items():
            for word in words:
                for form in (f"{{}}_{word}", f"{word}_{{}}", f"{{}}{word}"):
                    if form.format(x_key) in keys:
                        found.setdefault(split, form)
        if x_key in keys and "train" not in found:
            found["train"] = "{}"
        if "train" in found:
            break
        if found:
            raise DataError(f"{place} has a test split and no train split: {', '.join(keys)}")
    else:
        raise DataError(f"no examples in {place}: expected {KEYS}; got {', '.join(sorted(keys))}")
    notes = []
    if "test" not in found and "validation" in found:
        found["test"] = found["validation"]
        notes.append(f"no test split: {found['test'].format(x_key)} stands in")
    found.pop("validation", None)
    used: dict[str, dict[str, str]] = {}
    for split in sorted(found, reverse=True):  # train before test
        form = found[split]
        names = {"x": x_key, "label": _LABEL[x_key], "context": "context"}
        names |= {pairs.THETA: pairs.THETA} if x_key == "x" else {}
        used[split] = {k: form.format(n) for k, n in names.items() if form.format(n) in keys}
    spare = set(keys).difference(*(names.values() for names in used.values()))
    notes += [f"not used: {_described(archive, key)}" for key in keys if key in spare][:20]
    parts = {k: Part(**{a: archive[n] for a, n in names.items()}) for k, names in used.items()}
    return (parts if "test" in parts else {"": parts["train"]}), notes


def _pick_earlier(place: str, archive: Any) -> tuple[dict[str, Part], list[str]]:
    """As `picked`, by the rules of version 0.1."""
    notes = ["divided by the rules of version 0.1, as the run was"]
    for x_key in ("x", "images", "image"):
        if x_key in archive.files:
            forms = {"": "{}"}
        else:
            spelt = [(k, form) for k in ("train", "test") for form in (f"{{}}_{k}", f"{k}_{{}}")]
            forms = {k: form for k, form in spelt if form.format(x_key) in archive.files}
        if "test" in forms and "train" not in forms:
            break
        if forms:
            names = {
                k: {"x": f.format(x_key), "label": f.format(_LABEL[x_key])}
                for k, f in forms.items()
            }
            parts = {
                k: Part(**{a: archive[n] for a, n in of.items() if n in archive.files})
                for k, of in names.items()
            }
            return (parts if "test" in parts else {"": next(iter(parts.values()))}), notes
    raise DataError(f"no train split in {place} by the rules of version 0.1")


def _described(archive: Any, key: str) -> str:
    """An array that is not used."""
    try:
        found = archive[key]
    except ValueError:  # of objects, which are not read
        return f"array {key}"
    return f"array {key}, {found.dtype} {list(found.shape)}"


def _check_alike(place: str, parts: dict[str, Part]) -> None:
    """Refuses splits that are not of one kind."""
    if "test" not in parts:
        return
    train, test = parts["train"], parts["test"]
    one, other = ((_converted(part.x[:1]).dtype, _shape(part.x)) for part in (train, test))
    if one != other or train.names != test.names:
        raise DataError(
            f"{place}: train is {train.x.dtype} {train.x.shape[1:]} and test is "
            f"{test.x.dtype} {test.x.shape[1:]}: expected the same of both"
        )
    for what, key in (("labels", "label"), ("context", "context"), ("theta", "names")):
        if (getattr(train, key) is None) != (getattr(test, key) is None):
            raise DataError(f"{place}: expected {what} of both splits or of none, got one")


def _table(
    parts: dict[str, Part], choice: points.Choice, place: str, notes: list[str]
) -> Callable[..., Dataset]:
    """Rows [N, D] as a table, with context of its own or of the columns."""
    first = next(iter(parts.values()))
    names = list(first.names or ()) or [str(i) for i in range(first.x.shape[1])]
    if choice.label is not None:
        raise DataError(f"data.label={choice.label} is of tables; {place} has arrays: save y")
    if choice.context and first.context is not None:
        raise DataError(f"{place} holds an array context: leave out data.context")
    columns = points.selected(names, choice.columns, choice.context, None, place)
    rows, given = {}, [names.index(n) for n in choice.context]
    for split, part in parts.items():
        context = part.x[:, given] if given else part.context
        if context is not None and not given:
            context = _context(context, len(part.x), f"{place}{split and ', '}{split}")
        x = part.x if len(columns) == len(names) else part.x[:, [names.index(n) for n in columns]]
        rows[split] = points.Rows(x, context, part.label)
    context = next(iter(rows.values())).context
    left = [n for n in names if n not in (*columns, *choice.context)]
    if left:
        notes.append(f"not used: columns {', '.join(left[:10])}{', ...' * (len(left) > 10)}")
    named = choice.context
    if context is not None and not named:
        named = tuple(f"context {i}" for i in range(context.shape[1]))
    return functools.partial(
        points.dataset,
        parts=rows,
        columns=columns,
        context=named,
        chosen=bool(choice.columns),
        standardize=True,
        notes=notes,
    )


def _context(context: np.ndarray, count: int, where: str) -> np.ndarray:
    """[N, C] of finite numbers, from [N] or [N, C]."""
    got = f"{where}: context is {context.dtype} {list(context.shape)}"
    context = context[:, None] if context.ndim == 1 else context
    if context.ndim != 2 or len(context) != count or context.dtype.kind not in "fiub":
        raise DataError(f"{got}; expected numbers [{count}, C], a row for each of x")
    bad = np.argwhere(~np.isfinite(context.astype(np.float64)))
    if len(bad):
        raise DataError(f"{where}: context[{bad[0][0]}, {bad[0][1]}] is not finite")
    return context


def _in_memory(parts: dict[str, Part], test_fraction: float, seed: int) -> dict[str, Split]:
    """The splits as converted arrays."""
    splits: dict[str, Split] = {
        k: ArraySplit({"x": _converted(part.x), "label": part.label}) for k, part in parts.items()
    }
    if "" not in splits:
        return splits
    x, label = splits[""].x, splits[""].labels
    halves = zip(("train", "test"), holdout(len(x), test_fraction, seed), strict=True)
    return {
        name: ArraySplit({"x": x[rows], "label": None if label is None else label[rows]})
        for name, rows in halves
    }


def _check(x: np.ndarray, where: str) -> None:
    """Refuses what is no data set of images or points, saying how to make it one."""
    got = f"{where}: got {x.dtype} {list(x.shape)}"
    if x.dtype.name not in _LEVELS and x.dtype.kind != "f":
        raise DataError(
            f"{got}; expected bool, uint8, uint16 or floats: for grey levels 0 .. 255 save "
            f"x.astype(numpy.uint8), for continuous values x.astype(numpy.float32)"
        )
    if 0 in x.shape:
        raise DataError(f"{got}; expected at least one example")
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{got}; expected images [N, H, W, C] or [N, H, W], or points [N, D] (one-dimensional "
            f"points as x[:, None])"
        )
    if x.ndim == 2 and x.dtype.kind != "f":
        raise DataError(
            f"{got}; points [N, D] must be floats; flattened images must be reshaped to "
            f"[N, H, W, C]"
        )
    if x.ndim == 4 and x.shape[1] <= 4 < x.shape[3]:
        raise DataError(
            f"{got}, which looks like [N, C, H, W]; expected [N, H, W, C]: save "
            f"x.transpose(0, 2, 3, 1)"
        )
    if x.dtype.kind == "f":
        rows = max(1, CHUNK_BYTES // max(x[:1].nbytes, 1))
        for first in range(0, len(x), rows):
            bad = ~np.isfinite(_converted(x[first : first + rows]).reshape(-1, *x.shape[1:]))
            if bad.any():
                index = np.argwhere(bad)[0] + np.array([first] + [0] * (x.ndim - 1))
                place = ", ".join(map(str, index))
                raise DataError(
                    f"{where}: x[{place}] is {x[tuple(index)]}, not a finite float32; remove or "
                    f"fill such values"
                )


def _shape(x: np.ndarray) -> tuple[int, ...]:
    """Of one example."""
    return (*x.shape[1:], 1) if x.ndim == 3 else x.shape[1:]


def _converted(x: np.ndarray) -> np.ndarray:
    """In the dtype and shape that `Split.take` promises."""
    dtype = {"f": np.float32, "b": np.uint8}.get(x.dtype.kind, x.dtype.newbyteorder("="))
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported by `_check`
        return x.astype(dtype).reshape(len(x), *_shape(x))
