"""What views are made of: test examples, pictures of one's own, and what both are given."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.abilities import given
from jaxgen.config import ConfigError, unknown
from jaxgen.data import images
from jaxgen.data.loader import evenly
from jaxgen.evaluate.sets import FolderSet, in_memory, open_set, single_file
from jaxgen.evaluate.validation import check_data
from jaxgen.progress import remark
from jaxgen.rundir import RunDir, read_json
from jaxgen.types import DataSpec

FITS = images.FITS[1:]  # all but "none"
MOST = 10_000  # pictures


@dataclasses.dataclass(frozen=True, eq=False)
class Own:
    """Pictures that were read, [N, ...] in the units of batches."""

    x: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


def read(directory: RunDir, pictures: Any, fit: str | None = None) -> Own:
    """Pictures of one's own, brought to the size, channels and levels of a run's data.

    Needs the run's directory alone, so that a mistake comes before the checkpoint is read.

    Args:
        directory: of the run.
        pictures: an array [N, ...] in the units of the data; or paths, one or several: image
            files, folders, `.zip`, `.npz`, `.npy`; or what this function gave.
        fit: how pictures of another size are brought to that of the data: of `FITS`; None takes
            that of the data, or "crop".

    Raises:
        ConfigError: for what is no picture, or cannot be brought to what the run's data are.
        DataError: for a damaged file.
    """
    if isinstance(pictures, Own):
        return pictures
    return read_as(directory.spec(), directory, pictures, fit)


def read_as(spec: DataSpec, directory: RunDir, pictures: Any, fit: str | None = None) -> Own:
    """As `read`, brought to what another spec has as x."""
    paths = [pictures] if isinstance(pictures, str | os.PathLike) else pictures
    if not (isinstance(paths, Sequence) and all(isinstance(p, str | os.PathLike) for p in paths)):
        return Own(check_data(pictures, spec, "pictures"))
    fit = _fit(directory, fit)
    sets = [_set(pathlib.Path(os.path.expanduser(p)), spec, fit) for p in paths]
    if not 1 <= (count := sum(map(len, sets))) <= MOST:
        raise ConfigError(f"{count:,} pictures, expected 1 to {MOST:,}: name others")
    for note in dict.fromkeys(note for one in sets for note in one.notes):
        remark(f"note: {note}")
    return Own(np.concatenate([x for one in sets for x in one]))


def read_bytes(directory: RunDir, content: bytes, fit: str | None = None) -> Own:
    """As `read`, of the content of one image file."""
    found = dataclasses.replace(in_memory(content, directory.spec()), fit=_fit(directory, fit))
    return Own(np.concatenate(list(found)))


def _fit(directory: RunDir, fit: str | None) -> str:
    """How pictures of another size are brought to that of the data; see `read`."""
    if fit is not None and fit not in FITS:
        raise ConfigError(unknown("fit", fit, FITS))
    own = read_json(directory.config).get("data", {}).get("fit")
    return fit or (own if own in FITS else "crop")


def _set(path: pathlib.Path, spec: Any, fit: str | None) -> Any:
    """The images of one argument; see `evaluate.sets`."""
    is_picture = path.is_file() and path.name.lower().endswith(images.SUFFIXES)
    found = single_file(path, spec) if is_picture else open_set(path, spec)
    if isinstance(found, FolderSet):
        return dataclasses.replace(found, fit=fit)
    return found


def examples(run: Any, num: int, **places: Any) -> np.ndarray:
    """`num` test examples, evenly spaced, in the units of batches.

    Args:
        run: whose data.
        num: how many, at most.
        **places: `data`, `manual_dir`, `data_dir` where the data have moved.
    """
    return batch_of(run, num, **places)["x"]


def batch_of(run: Any, num: int, **places: Any) -> dict[str, np.ndarray]:
    """All fields of `examples`."""
    split = run.dataset(**places).splits["test"]
    return split.take(evenly(len(split), num))


def own_batch(
    run: Any, pictures: Any, fit: str | None, label: int | None
) -> dict[str, np.ndarray] | None:
    """Pictures that `read` takes, all of one class; None without any."""
    if pictures is None:
        return None
    x = read(run.directory, pictures, fit).x
    return {"x": x} | ({} if label is None else {"label": np.full(len(x), label, np.int32)})


def own_given(
    run: Any, batch: Mapping[str, np.ndarray], but: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """What examples are given themselves, in their own units.

    Args:
        run: whose method is given something.
        batch: with it.
        but: fields that are given otherwise.

    Raises:
        ConfigError: for what a batch has not.
    """
    fields = {name: run.spec.fields[name] for name in given(run.method) if name not in but}
    if absent := [name for name in fields if name not in batch]:
        raise ConfigError(f"{run.directory.path} is given {absent[0]}, which pictures have none of")
    return {n: f.units.outward(batch[n]) if f.units else batch[n] for n, f in fields.items()}


def chosen_class(run: Any, label: int | None) -> int | None:
    """The class that all images are of: the first by default, None where there are none.

    Raises:
        ConfigError: as `check_class` does.
    """
    check_class(run, label)
    return (label or 0) if "label" in given(run.method) else None


def check_class(run: Any, label: int | Sequence[int] | None) -> None:
    """Refuses a class, or one of several, that a run cannot be asked for.

    Raises:
        ConfigError: for a run that is not conditional, or a class that there is not.
    """
    known = run.spec.num_classes
    if label is None:
        return
    if "label" not in given(run.method):
        raise ConfigError(f"--class={label}: {run.directory.path} is not conditional: omit it")
    if not all(0 <= k < known for k in (label if isinstance(label, Sequence) else [label])):
        raise ConfigError(f"--class={label}, expected 0 to {known - 1}, the classes of the data")
