"""Tables: .csv and .tsv files, also gzipped, and .parquet; which columns are what.

Read as text first, so that every cell that is no number is named with its row: the row of the
file, which counts the header.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.data import points, texts
from jaxgen.data.dataset import DataError, Dataset
from jaxgen.data.labels import MOST_CLASSES
from jaxgen.data.limits import allowance, regular

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")
MISSING = {"", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-"}
NO_NUMBERS = "--config.data.columns=A,B takes columns, --config.data.label=NAME makes one the class"
_INDEX = re.compile(r"__index_level_\d+__")
_DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}.*")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+")


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns that are looked at when they are asked for.

    Attributes:
        path: of the file.
        names: of the columns, in order.
        cells: name -> its cells: Arrow strings, or an Arrow array of another type.
        first: row of the file of the first example.
        notes: on how it was read.
    """

    path: pathlib.Path
    names: tuple[str, ...]
    cells: Mapping[str, Any]
    first: int
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def found(self) -> list[str]:
        """Notes on the numbers that were read."""
        return []

    def numbers(self, name: str) -> np.ndarray:
        """float64 [N].

        Raises:
            DataError: naming the first cell that is missing, or no finite number, and its row.
        """
        import pyarrow as pa

        cells = self.cells[name]
        kind = cells.type
        if pa.types.is_temporal(kind):
            raise DataError(f"{self.path}: column {name!r} holds dates, no numbers: {NO_NUMBERS}")
        if pa.types.is_dictionary(kind):
            raise _no_number(self, name, 0, str(cells[0].as_py()))
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            values, note = _parsed(self, name, cells)
            self.found.extend(note)
        elif pa.types.is_boolean(kind) or pa.types.is_primitive(kind) or pa.types.is_decimal(kind):
            values = _numbers(cells)
        else:
            raise DataError(f"{self.path}: column {name!r} holds {kind}, no numbers: {NO_NUMBERS}")
        if cells.null_count:
            row = int(np.flatnonzero(np.asarray(cells.is_null()))[0])
            raise _missing(self, name, row, cells.null_count)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            text = str(cells[int(bad[0])].as_py())
            if _none(text):
                raise _missing(self, name, int(bad[0]), len(bad))
            raise DataError(
                f"{self.path}: column {name!r}, row {self.first + bad[0]} is {text}, no finite "
                f"number; remove or fill such rows"
            )
        return values

    def labels(self, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """int32 [N] and the names of the classes, sorted: as numbers, if all are whole ones.

        Raises:
            DataError: for cells that are missing, fractions, or too many classes.
        """
        import pyarrow as pa

        cells = self.cells[name]
        if pa.types.is_nested(cells.type):
            raise DataError(f"{self.path}: column {name!r} holds {cells.type}, no classes")
        coded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
        if cells.null_count:
            row = int(np.flatnonzero(np.asarray(cells.is_null()))[0])
            raise _missing(self, name, row, cells.null_count)
        codes = coded.indices.to_numpy(zero_copy_only=False)
        values = [str(value).strip() for value in coded.dictionary.to_pylist()]
        absent = np.flatnonzero(np.isin(codes, [k for k, v in enumerate(values) if _none(v)]))
        if len(absent):
            raise _missing(self, name, int(absent[0]), len(absent))
        every = sorted(set(values))
        if len(every) > MOST_CLASSES:
            raise DataError(f"{self.path}: column {name!r} holds {len(every):,} classes")
        try:
            order = sorted(every, key=float)
        except ValueError:
            order = every
        else:
            odd = next((c for c in order if not float(c).is_integer()), None)
            if odd is not None:
                raise DataError(
                    f"{self.path}: column {name!r} holds {odd}: classes are names or whole numbers"
                )
        number = {cell: k for k, cell in enumerate(order)}
        return np.array([number[v] for v in values], np.int32)[codes], tuple(order)


def load(path: pathlib.Path, choice: points.Choice, test_fraction: float, seed: int) -> Dataset:
    """The rows of a table.

    Args:
        path: of the file.
        choice: of its columns.
        test_fraction: held out.
        seed: of that division.

    Raises:
        DataError: in one line, what is wrong in which row and column, and what to do.
    """
    table = read(path)
    context, label = choice.context, choice.label
    chosen = points.selected(table.names, choice.columns, context, label, str(path))
    x = _matrix(table, chosen)
    given = _matrix(table, context) if context else None
    classes, number = (), None
    if label is not None:
        number, classes = table.labels(label)
    notes = [*table.notes, *dict.fromkeys(table.found)]
    left = [n for n in table.names if n not in (*chosen, *context, label)]
    if left:
        notes.append(f"not used: columns {', '.join(left[:10])}{', ...' * (len(left) > 10)}")
    name = re.sub(r"(\.(csv|tsv|gz|parquet))+$", "", path.name, flags=re.IGNORECASE)
    return points.dataset(
        name,
        {"": points.Rows(x, given, number)},
        chosen,
        context,
        chosen=bool(choice.columns),
        standardize=choice.standardize is not False,
        test_fraction=test_fraction,
        seed=seed,
        source=f"file {path}",
        classes=classes,
        notes=notes,
    )


def read(path: pathlib.Path) -> Table:
    """Opens a table.

    Raises:
        DataError: for a file that is damaged, empty, or no table.
    """
    if path.name.lower().endswith(".parquet"):
        return _parquet(path)
    found = texts.read(path)
    if not found.names or not len(next(iter(found.cells.values()))):
        raise DataError(f"{path} holds no rows")
    return Table(path, tuple(found.cells), found.cells, found.first, found.notes)


def _parquet(path: pathlib.Path) -> Table:
    """A Parquet file. Text stays a dictionary, and lists are not read: few bytes can hold many."""
    import pyarrow as pa
    import pyarrow.parquet

    with regular(path) as opened:
        try:
            file = pyarrow.parquet.ParquetFile(opened)
            _check_claims(path, file.metadata)
            schema = file.schema_arrow
            flat = [f.name for f in schema if not pa.types.is_nested(f.type)]
            text = [f.name for f in schema if pa.types.is_string(_plain(f.type))]
            opened.seek(0)
            table = pyarrow.parquet.read_table(opened, columns=flat, read_dictionary=text)
        except DataError:
            raise
        except (pa.ArrowException, OSError, ValueError) as error:
            first = " ".join(str(error).split())[:200]
            raise DataError(f"{path} is no whole .parquet file: {first}") from error
    if not table.num_rows:
        raise DataError(f"{path} holds no rows")
    if len(set(schema.names)) < len(schema.names):
        raise DataError(f"{path}: two columns have one name")
    notes, index = [], [n for n in schema.names if _INDEX.fullmatch(n)]
    if index:
        notes.append(f"not used: {', '.join(index)}, an index of pandas")
    cells = {
        name: pa.nulls(0, schema.field(name).type)
        if name not in flat
        else table.column(name).combine_chunks()
        for name in schema.names
        if name not in index
    }
    return Table(path, tuple(cells), cells, 1, tuple(notes))


def _check_claims(path: pathlib.Path, about: Any) -> None:
    """Refuses a small file that claims much: a column of one value takes a few bytes."""
    size = path.stat().st_size
    groups = (about.row_group(i).total_byte_size for i in range(about.num_row_groups))
    whole = max(8 * about.num_rows * about.num_columns, sum(groups))
    if whole > allowance(size):
        raise DataError(f"{path}: {size:,} bytes would become {whole:,}")


def _plain(kind: Any) -> Any:
    """Of the values, for a type of dictionaries."""
    return getattr(kind, "value_type", kind)


def _matrix(table: Table, names: Sequence[str]) -> np.ndarray:
    return np.stack([table.numbers(name) for name in names], 1)


def _missing(table: Table, name: str, row: int, count: int) -> DataError:
    more = f", and {count - 1:,} more rows" if count > 1 else ""
    return DataError(
        f"{table.path}: column {name!r} misses its value in row {table.first + row}{more}; remove "
        f"or fill such rows"
    )


def _numbers(cells: Any) -> np.ndarray:
    """float64 of an Arrow array of numbers or truths; NaN where there is nothing."""
    values = cells.to_numpy(zero_copy_only=False)
    if values.dtype != object:
        return values.astype(np.float64)
    return np.array([np.nan if v is None else float(v) for v in values])


def _parsed(table: Table, name: str, cells: Any) -> tuple[np.ndarray, list[str]]:
    """Numbers of text, and a note where commas are decimal points. Missing cells are NaN."""
    import pyarrow.compute as pc

    cells = pc.fill_null(pc.utf8_trim_whitespace(cells), "")
    values = _floats(cells)
    if values is None:  # slowly, to find what is wrong, or that commas are decimal points
        written = cells.to_pylist()
        odd = [(i, t) for i, t in enumerate(written) if _number(t) is None]
        if odd and all(_number(t.replace(",", ".", 1)) is not None for _, t in odd):
            if all(_THOUSANDS.fullmatch(t) for _, t in odd):
                raise DataError(
                    f"{table.path}: column {name!r}, row {table.first + odd[0][0]} holds "
                    f"{odd[0][1]!r}: a decimal comma, or a comma for thousands? Write a point, or "
                    f"none"
                )
            values = np.array([_number(t.replace(",", ".", 1)) for t in written], np.float64)
            return values, [f"decimal commas in column {name}"]
        if odd:
            raise _no_number(table, name, *odd[0])
        values = np.array([_number(t) for t in written], np.float64)
    return values, []


def _floats(cells: Any) -> np.ndarray | None:
    import pyarrow as pa

    try:
        return cells.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None


def _none(text: str) -> bool:
    return text.strip().lower() in MISSING


def _number(text: str) -> float | None:
    """None for what is no number; NaN for what is missing."""
    if _none(text):
        return np.nan
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _no_number(table: Table, name: str, index: int, text: str) -> DataError:
    shown = text if len(text) <= 40 else text[:37] + "..."
    where = f"{table.path}: column {name!r}, row {table.first + index} holds {shown!r}"
    if _DATE.fullmatch(text):
        return DataError(f"{where}, a date: save it as a number, as days since the first one")
    if len(table.names) == 1:
        return DataError(
            f"{where}, no number; is there another separator of columns than , ; tab and | ?"
        )
    return DataError(f"{where}, no number: {NO_NUMBERS}")
