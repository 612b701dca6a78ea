"""Examples of which attributes are known: of a data set with factors, a table, or two folders."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError, unknown
from jaxgen.data import tables
from jaxgen.data.dataset import DataError
from jaxgen.data.embedded import factors
from jaxgen.data.loader import evenly
from jaxgen.views.examples import MOST, read


@dataclasses.dataclass(frozen=True, eq=False)
class Labelled:
    """Examples and what is known of them.

    Attributes:
        x: [N, ...] in the units of batches.
        names: of the F attributes, that which is asked for first.
        values: float64 [N, F].
        nominal: columns whose values have no order.
        source: where they are from, in words.
    """

    x: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray
    nominal: tuple[int, ...]
    source: str


def labelled(
    run: Any,
    attribute: str,
    keep: str | Sequence[str] | None = None,
    table: Any = None,
    having: Any = None,
    lacking: Any = None,
    num: int = MOST,
    fit: str | None = None,
    **places: Any,
) -> Labelled:
    """Examples by which a direction is found.

    Args:
        run: of images.
        attribute: what changes.
        keep: what does not, names with commas between them or several; None takes all others
            that are known.
        table: a `.csv`, `.tsv` or `.parquet` file: names of pictures beside it, then a column of
            numbers an attribute.
        having: pictures that have the attribute; see `examples.read`.
        lacking: pictures that have not.
        num: examples, at most, evenly spaced.
        fit: how pictures of another size are brought to the run's.
        **places: of the data, where they have moved.

    Raises:
        ConfigError: where nothing, or too much, is said of the attribute.
        DataError: for a table that is none.
    """
    if (having is None) != (lacking is None):
        raise ConfigError("having and lacking: give both, pictures with and without the attribute")
    if having is not None and table is not None:
        raise ConfigError("table, having: give one of both")
    if having is not None:
        parts = [read(run.directory, part, fit).x for part in (lacking, having)]
        values = np.repeat([0.0, 1.0], [len(part) for part in parts])[:, None]
        found = Labelled(np.concatenate(parts), (attribute,), values, (), "two sets of pictures")
        chosen = _chosen((attribute,), attribute, keep, "two sets of pictures")
    elif table is not None:
        path = pathlib.Path(os.path.expanduser(table))
        read_table, files = _table(path)
        chosen = _chosen(read_table.names[1:], attribute, keep, str(path))
        rows = evenly(len(files), num)
        values = np.stack([read_table.numbers(name)[rows] for name in chosen], axis=1)
        x = read(run.directory, [str(path.parent / files[row]) for row in rows], fit).x
        return Labelled(x, chosen, values, (), path.name)
    else:
        found = _factors(run, num, **places)
        chosen = _chosen(found.names, attribute, keep, run.spec.name)
    columns = [found.names.index(name) for name in chosen]
    nominal = tuple(k for k, column in enumerate(columns) if column in found.nominal)
    return dataclasses.replace(
        found, names=chosen, values=found.values[:, columns], nominal=nominal
    )


def true_edits(
    run: Any, attribute: str, index: np.ndarray, steps: np.ndarray, **places: Any
) -> tuple[np.ndarray, np.ndarray]:
    """What test examples look like with more of a factor, and where there is such a picture.

    Args:
        run: on a data set whose factors are known.
        attribute: the factor.
        index: of the test examples, [N].
        steps: values to add, [S]; only whole ones have pictures.
        **places: of the data, where they have moved.

    Returns:
        x [N, S, ...] in the units of batches, of zeros where there is none, and bool [N, S].
    """
    data, truth = run.dataset(**places), factors.truth(run.spec.name)
    column = truth.names.index(attribute)
    grid = np.empty((len(truth.values), 2), np.int64)  # row of the grid -> split, place in it
    names = ("train", "test")
    for split, name in enumerate(names):
        own = factors.truth(run.spec.name, name).values
        rows = np.ravel_multi_index(tuple(own.T), truth.counts)
        grid[rows] = np.stack([np.full(len(own), split), np.arange(len(own))], axis=1)
    before = factors.truth(run.spec.name, "test").values[index]
    values = np.repeat(before[:, None], len(steps), axis=1).astype(float)
    values[..., column] += steps[None]
    if column in truth.nominal:
        values[..., column] %= truth.counts[column]
    known = (values[..., column] % 1 == 0) & (values[..., column] >= 0)
    known &= values[..., column] < truth.counts[column]
    rows = np.ravel_multi_index(tuple(values[known].astype(int).T), truth.counts)
    wanted = grid[np.asarray(rows)]
    x = np.zeros((*known.shape, *run.spec.shape), run.spec.x.dtype)
    filled = np.zeros((len(wanted), *run.spec.shape), x.dtype)
    for split, name in enumerate(names):
        mine = wanted[:, 0] == split
        if mine.any():
            filled[mine] = data.splits[name].take(wanted[mine, 1])["x"]
    x[known] = filled
    return x, known


def is_factor(run: Any, attribute: str) -> bool:
    """Whether an attribute is a factor of the run's data, which are rendered from it."""
    return attribute in factors.FACTORS.get(run.spec.name, {})


def _factors(run: Any, num: int, **places: Any) -> Labelled:
    """Training examples of a data set with factors."""
    if run.spec.name not in factors.NAMES:
        raise ConfigError(
            f"attributes of {run.spec.name} are not known, as those of {', '.join(factors.NAMES)} "
            "are: add --table=FILE.csv, or --having=FOLDER --lacking=FOLDER"
        )
    split, truth = run.dataset(**places).splits["train"], factors.truth(run.spec.name, "train")
    rows = evenly(len(split), num)
    values = truth.values[rows].astype(np.float64)
    source = f"training examples of {run.spec.name}"
    return Labelled(split.take(rows)["x"], truth.names, values, truth.nominal, source)


def _chosen(
    known: Sequence[str], attribute: str, keep: str | Sequence[str] | None, where: str
) -> tuple[str, ...]:
    """The attribute, then what is kept."""
    names = keep.split(",") if isinstance(keep, str) else keep
    if attribute not in known:
        raise ConfigError(f"{where}: {unknown('attribute', attribute, known)}")
    if names is None:
        names = [name for name in known if name != attribute]
    for name in names:
        if name not in known:
            raise ConfigError(f"keep: {where}: {unknown('attribute', name, known)}")
    if attribute in names:
        raise ConfigError(f"keep={','.join(names)}: {attribute} is what changes")
    return (attribute, *dict.fromkeys(names))


def _table(path: pathlib.Path) -> tuple[tables.Table, list[str]]:
    """A table of attributes, and the names of its pictures."""
    if not path.is_file() or not path.name.lower().endswith(tables.SUFFIXES):
        raise ConfigError(f"table={path}, expected a file *{' *'.join(tables.SUFFIXES)}")
    found = tables.read(path)
    files = [str(cell) for cell in found.cells[found.names[0]].to_pylist()]
    inside = path.parent.resolve()
    for row, name in enumerate(files):
        if not (path.parent / name).resolve().is_relative_to(inside):
            raise DataError(f"{path}, row {found.first + row}: {name!r} is not beside the table")
        if not (path.parent / name).is_file():
            raise DataError(
                f"{path}, row {found.first + row}: no picture {name!r} beside the table: the first "
                "column names files"
            )
    return found, files
