"""Tables in text files: their separator, their header, their cells as text."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import io
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxgen.data.dataset import DataError
from jaxgen.data.limits import gunzip, regular

SEPARATORS = (",", ";", "\t", "|")
LOOKED_AT = 50  # lines that tell the separator
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclasses.dataclass(frozen=True)
class Text:
    """A table of text.

    Attributes:
        names: of the columns.
        cells: name -> Arrow strings.
        first: row of the file of the first example.
        notes: on how it was read.
    """

    names: tuple[str, ...]
    cells: Mapping[str, Any]
    first: int
    notes: tuple[str, ...]


def read(path: pathlib.Path) -> Text:
    """Reads a .csv or .tsv file, gzipped or not.

    Raises:
        DataError: for a file that is damaged, empty, or whose rows are of different lengths.
    """
    text, notes = _decoded(path, _bytes(path))
    lines = [line for line in text[: 2**20].splitlines() if line.strip()][:LOOKED_AT]
    if not lines:
        raise DataError(f"{path} is empty")
    tab = ".tsv" in path.name.lower()
    separator = "\t" if tab and "\t" in lines[0] else _separator(lines)
    header = next(csv.reader([lines[0]], delimiter=separator))
    header = [name.strip() for name in header]
    named = not all(map(_is_number, header))
    if not named:
        notes.append(f"no header: the columns are called 0 to {len(header) - 1}")
        header = [str(i) for i in range(len(header))]
    _check_header(path, header)
    columns = _columns(path, text, separator, len(header), named)
    cells = dict(zip(header, columns, strict=True))
    if "" in cells:
        notes.append(f"not used: column {header.index('') + 1} has no name (an index of rows?)")
        del cells[""]
    return Text(tuple(cells), cells, 2 if named else 1, tuple(notes))


def _bytes(path: pathlib.Path) -> bytes:
    with regular(path) as file:
        content = file.read()
    if not path.name.lower().endswith(".gz"):
        return content
    try:
        return gunzip(content)
    except (OSError, EOFError) as error:
        raise DataError(f"{path} is truncated or damaged: {error}") from error


def _decoded(path: pathlib.Path, content: bytes) -> tuple[str, list[str]]:
    coding = next((c for mark, c in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(coding)
    except UnicodeDecodeError as error:
        if coding == "utf-16":
            raise DataError(f"{path} is damaged: {error}") from error
        text = content.decode("latin-1")
        line = 1 + content[: error.start].count(b"\n")
        return text, [f"not UTF-8 in line {line}: read as Latin-1"]
    if "\0" in text[: 2**20]:
        raise DataError(f"{path} holds zero bytes: it is no text")
    return text, []


def _separator(lines: list[str]) -> str:
    """The one that divides most lines into equally many cells, more than one."""

    def merit(separator: str) -> tuple[float, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=separator)]
        usual = max(set(widths), key=widths.count)
        return (widths.count(usual) / len(widths) if usual > 1 else 0.0), usual

    return max(SEPARATORS, key=merit)


def _check_header(path: pathlib.Path, header: list[str]) -> None:
    for i, name in enumerate(header):
        if name in header[:i]:
            shown = repr(name) if name else "no name"
            raise DataError(f"{path}: columns {header.index(name) + 1} and {i + 1} have {shown}")


def _columns(path: pathlib.Path, text: str, separator: str, count: int, named: bool) -> list[Any]:
    """Arrow strings of every column."""
    import pyarrow as pa
    import pyarrow.csv as pacsv

    bad: list[Any] = []

    def note(row: Any) -> str:
        if not bad:
            bad.append(row)
        return "skip"

    names = [str(i) for i in range(count)]
    try:
        table = pacsv.read_csv(
            io.BytesIO(text.encode()),
            pacsv.ReadOptions(use_threads=False, column_names=names, skip_rows=int(named)),
            pacsv.ParseOptions(
                delimiter=separator, newlines_in_values=True, invalid_row_handler=note
            ),
            pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error) or "skip initial" in str(error):
            raise DataError(f"{path} holds no rows") from error
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if bad:
        row = bad[0]
        raise DataError(
            f"{path}: row {row.number} has {row.actual_columns} cells, expected "
            f"{row.expected_columns} as in the first ({row.text[:60].strip()!r})"
        )
    return [table.column(name).combine_chunks() for name in names]


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ".", 1))
    except ValueError:
        return False
    return True
