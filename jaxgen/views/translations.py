"""Pictures of what a run translates."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxgen.abilities import Translates
from jaxgen.config import ConfigError
from jaxgen.data import images
from jaxgen.data.trees import FolderTree, Tree, ZipTree
from jaxgen.evaluate.sets import FolderSet
from jaxgen.evaluate.translation import direction, fields_of
from jaxgen.evaluate.validation import check_count
from jaxgen.pictures import grid, painted
from jaxgen.types import DataSpec, Field
from jaxgen.views.examples import batch_of
from jaxgen.views.picture import Picture


def translations(
    run: Any, to: str | None = None, num: int = 8, seed: int = 0, **options: Any
) -> Picture:
    """Test examples a row each: what is translated, what becomes of it, and what is there.

    Where there is a way back, what comes back stands before what is there: the partner of a pair,
    or in domains without pairs the example of the same number.

    Arrays: the fields that are translated by their names, "translated", "truth", and "cycled".

    Args:
        run: whose method translates.
        to: name of the direction; where there is one alone, it is that.
        num: of test examples.
        seed: of what is drawn.
        **options: knobs of the method, and `data`, `manual_dir`, `data_dir` where the data have
            moved.

    Raises:
        ConfigError: for what the run cannot do.
    """
    method = translating(run)
    places = {k: options.pop(k) for k in ("data", "manual_dir", "data_dir") if k in options}
    to = direction(method, to)
    source, target = method.translations[to]
    batch = batch_of(run, check_count(num, "num"), **places)
    given = {name: batch[name] for name in fields_of(method, to)}
    made = run.translate(given, to, seed, **options)
    arrays = {**given, "translated": made, "truth": batch[target]}
    fields = {source: run.spec.fields[source], "translated": run.spec.fields[target]}
    back = next((k for k, way in method.translations.items() if way == (target, source)), None)
    if back is not None:
        arrays["cycled"] = run.translate({target: made}, back, seed, **options)
        fields["cycled"] = run.spec.fields[source]
    fields["truth"] = run.spec.fields[target]
    columns = [painted(field, arrays[name]) for name, field in fields.items()]
    rows = np.stack(columns, axis=1)
    return Picture(arrays, lambda: grid(rows.reshape(-1, *rows.shape[2:]), len(columns)))


def translating(run: Any) -> Translates:
    """The run's method.

    Raises:
        ConfigError: where it does not translate.
    """
    if not isinstance(run.method, Translates):
        raise ConfigError(f"{run.directory.path}: {type(run.method).__name__} has no translate")
    return run.method


def own(spec: DataSpec, name: str, paths: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Pictures of one's own of a field, each [1, H, W, ...] of its own size, with its file's stem.

    Args:
        spec: of the data.
        name: of the field: of a layout or of instances a file holds numbers.
        paths: image files, folders or `.zip` of them.

    Raises:
        ConfigError: for what is no picture, or two of one name.
        DataError: for a damaged file.
    """
    field, seen = spec.fields[name], set()
    for path in paths:
        place = pathlib.Path(os.path.expanduser(path))
        if place.is_file() and place.name.lower().endswith(images.SUFFIXES):
            tree, files = FolderTree(place.parent), [place.name]
        else:
            tree, files = _listed(place)
        for file in files:
            stem = pathlib.PurePosixPath(file).stem
            if stem in seen:
                raise ConfigError(f"two pictures are called {stem}: translate them one by one")
            seen.add(stem)
            yield stem, _read(tree, file, field)


def _listed(place: pathlib.Path) -> tuple[Tree, list[str]]:
    """The images of a folder or .zip."""
    if not place.is_dir() and not (place.is_file() and place.suffix.lower() == ".zip"):
        raise ConfigError(f"{place}: expected an image file, a folder or a .zip of images")
    tree: Tree = FolderTree(place) if place.is_dir() else ZipTree(place)
    files = [file for file in tree.files if file.lower().endswith(images.SUFFIXES)]
    if not files:
        raise ConfigError(f"{place} holds no images")
    return tree, files


def _read(tree: Tree, file: str, field: Field) -> np.ndarray:
    if field.kind != "image":
        return images.numbers(tree.open(file), tree.where(file))[None]
    kind = images.kind(tree.open(file), tree.where(file))
    shape = (kind.height, kind.width, field.shape[-1])
    x = Field("image", shape, field.dtype, field.levels, range=field.range)
    return next(iter(FolderSet(tree, (file,), DataSpec("own", {"x": x}))))
