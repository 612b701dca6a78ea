"""Data that were given in memory, kept as one `.npz` from which `load` has the same again.

Arrays are kept as they are. A `Dataset` is kept as its batches have it: `train/x`, `test/label`
and so on, and what else it says of itself as JSON under `ABOUT`.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split
from jaxgen.data.limits import load_npz
from jaxgen.files import write_arrays
from jaxgen.stored import SPEC, check, parse
from jaxgen.types import DataSpec

FILE = "arrays.npz"  # in a run directory
ABOUT = "jaxgen"
SAID = {
    "spec": SPEC,
    "classes": [str],
    "notes": [str],
    "binarized": str,
    "ranged": str,
    "held_out": bool,
    "flip": bool,
    "shift": int,
}


def as_arrays(data: Any) -> dict[str, np.ndarray]:
    """What a `.npz` of the data holds.

    Args:
        data: an array, the examples; a mapping as a `.npz` would have it, whose labels may be
            called "label" too; or a `Dataset` in memory.

    Raises:
        DataError: for what is none of these, and for arrays of other than numbers.
    """
    if isinstance(data, Dataset):
        return _of_dataset(data)
    named = data if isinstance(data, Mapping) else {"x": data}
    arrays = {}
    for name, value in named.items():
        if not isinstance(name, str):
            raise DataError(f"data: a field is called {name!r}, expected a name as 'x'")
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(f"data: {name} is no array: {str(error).splitlines()[0]}") from error
        if array.dtype.kind not in "biuf":
            raise DataError(
                f"data: {name} is {type(value).__name__} ({array.dtype}), expected an array of "
                "numbers [N, ...], one row an example"
            )
        spelt = f"y{name.removeprefix('label')}" if name.startswith("label_") else name
        arrays["y" if name == "label" and "x" in named else spelt] = array
    return arrays


def _of_dataset(dataset: Dataset) -> dict[str, np.ndarray]:
    checked(dataset)
    spec, arrays = dataset.spec, {}
    for name, split in dataset.splits.items():
        drawn = type(split).draw is not Split.draw
        if drawn or split.place != "in memory":
            how = "is drawn anew at every visit" if drawn else "stays on disk"
            raise DataError(
                f"data: the {name} split of {spec.name} {how}; give its name, as "
                'jaxgen.fit("vae", "digits"), and its options under data='
            )
        for field, array in split.take(np.arange(len(split))).items():
            _check_values(array, spec.fields[field].values, f"data: {name}, {field}")
            arrays[f"{name}/{field}"] = array
    about = {k: getattr(dataset, k) for k in SAID if k != "spec"} | {"spec": spec.as_json()}
    return arrays | {ABOUT: np.array(json.dumps(about))}


def _check_values(array: np.ndarray, values: int | None, where: str) -> None:
    """Refuses what is not finite, and integers that a field does not have."""
    if values is None:
        bad, wanted = ~np.isfinite(array), "a finite number"
    else:
        bad, wanted = (array < 0) | (array >= values), f"0 .. {values - 1}"
    if bad.any():
        index = tuple(np.argwhere(bad)[0])
        place = ", ".join(map(str, index))
        raise DataError(f"{where}[{place}] is {array[index]}, expected {wanted}")


def checked(dataset: Any, place: str = "data") -> Dataset:
    """A data set of somebody's own, which has what it says.

    Args:
        dataset: whatever was given.
        place: where it comes from, for messages.

    Raises:
        DataError: for another type, a split that is missing or empty, and arrays that are not as
            its spec has them.
    """
    missing = {"train", "test"} - set(getattr(dataset, "splits", ()))
    if not isinstance(dataset, Dataset) or missing:
        raise DataError(
            f"{place}: expected a jaxgen.data.Dataset with the splits train and test, got "
            f"{type(dataset).__name__}"
        )
    for name, split in dataset.splits.items():
        if not len(split):
            raise DataError(f"{dataset.spec.name}: no {name} example")
        got = {k: (v.shape[1:], v.dtype.name) for k, v in split.take(np.arange(1)).items()}
        wanted = {k: (f.shape, f.dtype) for k, f in dataset.spec.fields.items()}
        if got != wanted:
            raise DataError(f"{dataset.spec.name}: {name} has {got}, and its spec {wanted}")
    return dataset


def opened(path: pathlib.Path, archive: Any) -> Dataset:
    """The data set in a file of `as_arrays`.

    Args:
        path: of the file.
        archive: its `files`, and each array under its name.

    Raises:
        DataError: for a file that is damaged.
    """
    try:
        about = parse(str(archive[ABOUT]))
        check(about, SAID)
        spec = DataSpec.from_json(about.pop("spec"))
        more = {k: tuple(v) if isinstance(v, list) else v for k, v in about.items()}
        found: dict[str, dict[str, np.ndarray]] = {}
        for key in archive.files:
            split, slash, field = key.partition("/")
            if slash:
                found.setdefault(split, {})[field] = archive[key]
        splits: dict[str, Split] = {k: ArraySplit(arrays) for k, arrays in found.items()}
        moves = more.pop("flip"), more.pop("shift")
        dataset = Dataset(spec, splits, f"file {path}", **more).augmented(*moves)
        if dataset.classes and len(dataset.classes) != spec.num_classes:
            raise ValueError(f"{len(dataset.classes)} names of {spec.num_classes} classes")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no data set of jaxgen: {error}") from error
    checked(dataset, str(path))
    for name, arrays in found.items():
        for field, array in arrays.items():
            _check_values(array, spec.fields[field].values, f"{path}: {name}, {field}")
    return dataset


def keep(folder: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> bool:
    """Writes arrays into a run directory, once.

    Args:
        folder: of the run.
        arrays: see `as_arrays`.

    Returns:
        Whether they were written; False where the same are there.

    Raises:
        DataError: where others are there.
        WriteError: when they cannot be written.
    """
    path = folder / FILE
    if not path.exists():
        write_arrays(path, **arrays)
        return True
    there = load_npz(path)
    for name in sorted(there.keys() | arrays.keys()):
        old, new = there.get(name), arrays.get(name)
        if old is None or new is None or old.dtype != new.dtype or not np.array_equal(old, new):
            raise DataError(
                f"{path} holds the data of the run, and those given are others: "
                f"{name} is {_shown(old)} there and {_shown(new)} now; give those, or another "
                "workdir="
            )
    return False


def _shown(array: np.ndarray | None) -> str:
    return "absent" if array is None else f"{array.dtype} {list(array.shape)}"


def place(folder: pathlib.Path, section: Mapping[str, Any]) -> dict[str, str]:
    """Where the data of a run are that were given in memory, also when its folder was moved.

    Args:
        folder: of the run.
        section: `config.data`.

    Returns:
        Their `name` for `load`; {} of a run whose data are elsewhere.
    """
    path, name = folder / FILE, section.get("name")
    own = isinstance(name, str) and pathlib.PurePath(name).name == FILE and path.is_file()
    return {"name": str(path)} if own else {}


class Archive(dict[str, Any]):
    """Arrays in memory, read as those of a `.npz` are."""

    @property
    def files(self) -> list[str]:
        """Names of the arrays."""
        return list(self)
