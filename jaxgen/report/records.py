"""What the page reads of a run: measurements; arrays, curves and config where there are any."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError, flatten
from jaxgen.data.dataset import DataError
from jaxgen.data.limits import load_npz
from jaxgen.evaluate.measurement import Measurement
from jaxgen.names import checked
from jaxgen.progress import track
from jaxgen.rows import read as read_rows
from jaxgen.rundir import RunDir, read_json
from jaxgen.stored import check, check_contained

# array file of a run's evaluation/ -> the keys that it must hold
ARRAYS = {
    "images": ("x",),
    "points": ("generated", "real"),
    "neighbours": ("generated", "nearest", "distance"),
    "likelihood": (),
    "interpolation": ("x",),
    "reconstruction": ("data", "reconstruction"),
}
SCALARS = ("name", "unit", "split", "space", "seed", "levels")  # of those files; others are numbers
TEXT = (str, None)
SOURCE = {
    "name?": str,
    "command?": TEXT,
    "trained_by?": TEXT,
    "step?": (int, None),
    "config?": dict,
    "versions?": dict,
    "parameters?": dict,
    "data?": {"name?": str, "shape?": [int], "levels?": (int, None), "sha256?": str},
}
MEASURED = {
    "name": str,
    "value?": (float, str, None),
    "low?": (float, str, None),
    "high?": (float, str, None),
    "unit?": str,
    "group?": str,
    "better?": str,
    "notes?": [str],
    "settings?": (dict, None),
    "fingerprint?": (dict, None),
    "context?": (dict, None),
}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One column of the comparison.

    Attributes:
        name: unique on the page.
        path: of the directory.
        source: what was measured.
        measurements: in the order of the file.
        arrays: file name without suffix -> its arrays, of `ARRAYS`.
        curves: rows of `metrics.jsonl`.
        config: flat.
        manifest: {} for a folder of images.
    """

    name: str
    path: pathlib.Path
    source: Mapping[str, Any]
    measurements: Sequence[Measurement]
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    curves: Sequence[Mapping[str, Any]]
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]

    @property
    def data(self) -> Mapping[str, Any]:
        """Name, shape, levels and hash of the data that it was measured against."""
        return self.source.get("data") or {}


def entries(arguments: Sequence[str], allow: str | None = None) -> list[Entry]:
    """The directories of the command line, each RUN or NAME=RUN.

    Raises:
        ConfigError: for a directory without measurements, one named twice, or two of one name.
    """
    found: list[Entry] = []
    folders = checked(allow)[1]
    for argument in track(arguments, "reading", len(arguments), "runs"):
        name, path = _split(argument)
        entry = read(path, name, folders)
        for other in found:
            if other.path == entry.path:
                raise ConfigError(f"{path} is named twice")
            if other.name == entry.name:
                raise ConfigError(
                    f"{other.path} and {entry.path} are both called {entry.name}: "
                    f"name one of them, as other-name={path}"
                )
        found.append(entry)
    return found


def _split(argument: str) -> tuple[str | None, pathlib.Path]:
    name, equals, path = argument.partition("=")
    if equals and name and path and not pathlib.Path(argument).exists():
        return name, pathlib.Path(path).expanduser()
    return None, pathlib.Path(argument).expanduser()


def read(path: pathlib.Path, name: str | None = None, folders: Sequence[str] = ()) -> Entry:
    """A measured directory.

    Args:
        path: a run, or the working directory of a measured folder.
        name: on the page; by default the one that was measured.
        folders: into which links in it may lead.

    Raises:
        ConfigError: when it does not exist, has no measurements, or they are damaged.
    """
    if not path.is_dir():
        raise ConfigError(f"{path} is not a directory; give runs that jaxgen eval has measured")
    file = path / "evaluation" / "measurements.json"
    if not file.exists():
        raise ConfigError(f"{path} has no measurements: run jaxgen eval {path} --metrics=... first")
    check_contained(path, folders)
    written = read_json(file)
    try:
        source = dict(written["source"])
        check(source, SOURCE, "source")
        check(list((source.get("parameters") or {}).values()), [int], "parameters")
        found = tuple(_measurement(m) for m in written["measurements"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{file} is not a file of measurements: {error}") from None
    if not found:
        raise ConfigError(f"{path} has no measurements: run jaxgen eval {path} --metrics=... first")
    run = RunDir(path.absolute())
    config = read_json(run.config) if run.config.exists() else source.get("config") or {}

    return Entry(
        name=str(name or source.get("name") or path.name),
        path=path.resolve(),
        source=source,
        measurements=found,
        arrays={kind: a for kind in ARRAYS if (a := _arrays(file.with_name(f"{kind}.npz"), kind))},
        curves=read_rows(run.metrics),
        config=flatten(config),
        manifest=read_json(run.manifest) if run.manifest.exists() else {},
    )


def _measurement(written: Mapping[str, Any]) -> Measurement:
    """Unknown fields are ignored; NaN and infinity count as not measured."""
    check(written, MEASURED)
    known = {f.name for f in dataclasses.fields(Measurement)}
    values = {k: v for k, v in written.items() if k in known}
    notes = list(values.get("notes") or ())
    for key in ("value", "low", "high"):
        number = values.get(key)
        if number is not None and not math.isfinite(float(number)):
            notes.append(f"{key} is {float(number)}")
            number = None
        values[key] = None if number is None else float(number)
    if values.get("better", "none") not in ("lower", "higher", "none"):
        raise ValueError(f"better={values['better']!r} of {values['name']}")
    for key in ("settings", "fingerprint", "context"):
        values[key] = {k: _flat(v) for k, v in (values.get(key) or {}).items()}
    return Measurement(**values | {"name": str(values["name"]), "notes": tuple(notes)})


def _flat(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else value


def _arrays(file: pathlib.Path, kind: str) -> dict[str, np.ndarray]:
    if not file.exists():
        return {}
    try:
        found = load_npz(file)
    except DataError as error:
        raise ConfigError(str(error)) from None
    if lacking := [key for key in ARRAYS[kind] if key not in found]:
        raise ConfigError(f"{file} lacks {', '.join(lacking)}; measure again with jaxgen eval")
    for key, array in found.items():
        scalar, kinds = key in SCALARS, "biufU" if key in SCALARS else "biuf"
        if array.dtype.kind not in kinds or (array.ndim and scalar):
            raise ConfigError(f"{file}: {key} is {array.dtype} {list(array.shape)}, no data of it")
    if not _consistent(kind, found):
        shapes = {key: list(found[key].shape) for key in ARRAYS[kind]}
        raise ConfigError(f"{file}: its arrays do not belong together: {shapes}")
    return found


def _consistent(kind: str, found: Mapping[str, np.ndarray]) -> bool:
    """Whether arrays of a kind have as many rows as each other, and some."""
    if kind == "neighbours":
        generated, nearest, distance = (found[key].shape for key in ARRAYS[kind])
        return len(nearest) > 2 and distance == nearest[:2] and generated[:1] == nearest[:1]
    if kind == "reconstruction":
        return found["data"].shape == found["reconstruction"].shape
    return all(found[key].ndim and found[key].size for key in ARRAYS[kind])
