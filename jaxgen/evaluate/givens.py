"""What examples are given, as people write it, to rows in the units of batches."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.abilities import given as given_to
from jaxgen.config import ConfigError, unknown
from jaxgen.data import limits
from jaxgen.data.dataset import Split
from jaxgen.evaluate.validation import CONVENTIONAL, as_array, check_integers, check_label, short
from jaxgen.types import DataSpec, Field

SHORT = {"label": "--class=3", "context": "--context=1.5,2 or --context=FILE"}  # for a command


def split_given(
    spec: DataSpec, options: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields among the options of a call, and the others.

    Args:
        spec: of the data.
        options: name -> value; a field stands under its own name, or in a mapping `given`. What is
            None is not given.

    Raises:
        ConfigError: for a `given` that is no mapping, or a field that is given twice.
    """
    rest = dict(options)
    found = rest.pop("given", None)
    found = {} if found is None else found
    if not isinstance(found, Mapping):
        raise ConfigError(f"given={short(found)}: expected a mapping, as {{'label': 3}}")
    found = dict(found)
    for name in [k for k in rest if k in CONVENTIONAL or (k in spec.fields and k != "x")]:
        if name in found:
            raise ConfigError(f"{name} is given twice: it is short for given={{{name!r}: ...}}")
        found[name] = rest.pop(name)
    return {k: v for k, v in found.items() if v is not None}, rest


def check_given(
    method: Any, spec: DataSpec, given: Mapping[str, Any], num: int, who: str = "this model"
) -> dict[str, np.ndarray]:
    """Rows [num, ...] of each field, in the units of batches.

    Args:
        method: that is given them.
        spec: of the data.
        given: field -> values in their own units, of all examples or one each; M rows are given
            to every M-th example; a text is what it says, where the field has words, and else the
            path of a file with them.
        num: of examples.
        who: is given them, for messages.

    Raises:
        ConfigError: for a field that the method is not given, or values that cannot be.
    """
    names, rows = given_to(method), {}
    for name, value in given.items():
        if name in names:
            rows[name] = _rows(name, value, num, spec)
            continue
        if name == "label" and spec.num_classes:
            raise ConfigError(
                f"label={short(value)}: {who} is not conditional "
                "(config.method.given has no label): omit it"
            )
        if name in CONVENTIONAL or name in spec.fields:
            raise ConfigError(f"{name}={short(value)}: {who} is given no {name}: omit it")
        raise ConfigError(unknown("field that is given", str(name), names))
    return rows


def check_whole(method: Any, spec: DataSpec, given: Mapping[str, Any], who: str) -> None:
    """Refuses a call without a field that the method is given and cannot draw.

    Args:
        method: that is given it.
        spec: of the data.
        given: field -> values.
        who: is given them, for the message.

    Raises:
        ConfigError: naming the first.
    """
    for name in given_to(method):
        field = spec.fields[name]
        if name not in given and field.kind != "label":
            what = ", ".join(field.names) or name
            said = f'--{name}="{field.text(range(1, 4))} ..."' if field.words else ""
            add = said or SHORT.get(name, f"--given.{name}=FILE")
            raise ConfigError(f"{who} needs values of {what}: add {add}, in Python {name}=")


def _rows(name: str, value: Any, num: int, spec: DataSpec) -> np.ndarray:
    field = spec.fields[name]
    if field.words:
        value = _tokens(name, value, field)
    if isinstance(value, str) and field.kind != "label":
        value = read_rows(value, name, field)
    if field.kind == "label":
        return check_label(value, num, field.classes or 0)
    if field.values is not None:
        return check_integers(name, value, num, field)
    return check_numbers(name, value, num, field, spec.name)


def _tokens(name: str, value: Any, field: Field) -> Any:
    """Tokens of a text, or of one for each example; other values, and names of files, as is."""
    texts = [value] if isinstance(value, str) else value
    if (
        not isinstance(texts, list | tuple)
        or not texts
        or not all(isinstance(t, str) for t in texts)
    ):
        return value
    if isinstance(value, str) and value.lower().endswith((".npy", ".npz")):
        return value
    try:
        found = np.stack([field.tokens(text) for text in texts])
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
    return found[0] if isinstance(value, str) else found


def read_texts(texts: str | os.PathLike[str], spec: DataSpec, num: int = 1) -> dict[str, list[str]]:
    """The texts of a file, one a line, for the field of texts that the data have.

    Args:
        texts: the file, UTF-8; empty lines are skipped.
        spec: of the data.
        num: of examples that each text is given to, one after the other.

    Returns:
        Field -> the text of every example, as `check_given` takes it.

    Raises:
        ConfigError: for data without texts, a file without any, or an unknown word, with its line.
        DataError: for a file that cannot be read.
    """
    names = [name for name, field in spec.fields.items() if field.words and name != "x"]
    if len(names) != 1:
        raise ConfigError(f"texts={texts}: {spec.name} has no field of texts that is given")
    path = pathlib.Path(texts).expanduser()
    if not path.is_file():
        raise ConfigError(f"texts={texts}: no such file")
    with limits.regular(path) as file:
        content = limits.utf8(file.read(), str(path))
    found = []
    for number, text in enumerate(content.split("\n"), 1):
        if text.strip():
            found += [text.strip()] * num
            try:
                spec.fields[names[0]].tokens(text)
            except ValueError as error:
                raise ConfigError(f"{path}, line {number}: {error}") from None
    if not found:
        raise ConfigError(f"{path} holds no text: expected one a line")
    return {names[0]: found}


def rows_of(method: Any, spec: DataSpec, split: Split, num: int) -> dict[str, np.ndarray]:
    """What `num` evenly spaced examples have of the fields that a method is given and cannot draw.

    Args:
        method: that is given them.
        spec: of the data.
        split: whose examples they are, some of them twice if there are few.
        num: how many.

    Returns:
        Field -> [num, ...] in the units of batches.
    """
    names = [name for name in given_to(method) if spec.fields[name].kind != "label"]
    if not names:
        return {}
    batch = split.take(np.arange(num, dtype=np.int64) * len(split) // num)
    return {name: batch[name] for name in names}


def check_numbers(name: str, value: Any, num: int, field: Field, data: str) -> np.ndarray:
    """Rows [num, ...] of real numbers, float32 in the units of batches.

    Args:
        name: of the field.
        value: in the field's own units, of all examples, or [M, ...], of which each row is given
            to every M-th example; of a vector also a dictionary of its numbers by name.
        num: of examples, a multiple of M.
        field: of the data.
        data: name of the data, for messages.

    Raises:
        ConfigError: for another shape, other names, or values that are not finite.
    """
    names = field.names
    about = f"{', '.join(names)}, the {len(names)} " if names else f"{list(field.shape)}, the "
    kind = f"{name} columns of {data}" if field.kind == "vector" else f"{name} of {data}"
    wanted = f"expected {about}{kind}"
    if isinstance(value, Mapping):
        if not names or set(value) != set(names):
            raise ConfigError(f"{name}: {', '.join(map(str, value))}, {wanted}")
        columns = (as_array(name, value[n]) for n in names)
        value = np.stack(np.broadcast_arrays(*columns), -1)
    found = as_array(name, value)
    if field.shape == (1,) and found.ndim == 0:
        found = found[None]
    rows = found.ndim == len(field.shape) + 1
    if found.shape[int(rows) :] != field.shape or found.dtype.kind not in "fiub":
        raise ConfigError(f"{name}: {found.dtype} {list(found.shape)}, {wanted}")
    bad = np.argwhere(~np.isfinite(found.astype(np.float64)))
    if len(bad):
        raise ConfigError(f"{name}: {names[bad[0][-1]] if names else name} is not finite")
    if rows and (not len(found) or num % len(found)):
        raise ConfigError(
            f"{name}: {len(found)} rows, {num} examples: expected a multiple of the rows"
        )
    found = field.units.inward(found) if field.units else found.astype(np.float32)
    if rows:
        return np.tile(found, (num // len(found), *(1,) * len(field.shape)))
    return np.broadcast_to(found, (num, *field.shape))


def read_rows(path: str, name: str, field: Field) -> np.ndarray:
    """Rows [M, ...] of a field in a file.

    Args:
        path: of a .npz with an array of the field's name, a .npy, or a table that has the columns
            of a vector.
        name: of the field.
        field: of the data.

    Raises:
        ConfigError: for another file.
        DataError: for one that cannot be read, or has no such columns.
    """
    from jaxgen.data import tables

    file = pathlib.Path(path).expanduser()
    kind = file.name.lower()
    if not file.is_file():
        raise ConfigError(f"{name}={path!r}: no such file, and no numbers, as 1.5,2")
    if kind.endswith(tables.SUFFIXES) and field.names:
        table = tables.read(file)
        for column in field.names:
            if column not in table.names:
                has = ", ".join(table.names)
                raise ConfigError(f"{file} has no column {column!r}; it has {has}")
        return np.stack([table.numbers(column) for column in field.names], -1)
    if kind.endswith(".npy"):
        return limits.load_npy(file)
    if kind.endswith(".npz"):
        found = limits.load_npz(file)
        if name in found:
            return found[name]
        raise ConfigError(f"{file} has no array {name}; it has {', '.join(found)}")
    tabular = ", .csv, .tsv or .parquet" if field.names else ""
    raise ConfigError(f"{name}={path!r}: expected a .npz or .npy{tabular} file")
