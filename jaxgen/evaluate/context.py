"""What samples and densities are given, as people write it, to the units of the model."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.types import DataSpec


def check_context(value: Any, spec: DataSpec, num: int, call: str = "context") -> np.ndarray:
    """What examples are given, float32 in the units of batches: [C] of all, or [num, C].

    Args:
        value: in the columns' own units [C] or [M, C], of which each row is given to every M-th
            example; a dictionary of them by name; or the path of a .npz, .npy or table with them.
        spec: of the data.
        num: of examples, a multiple of M.
        call: what it was given to, for the message.

    Raises:
        ConfigError: for data without context, other columns, or values that are not finite.
    """
    names = spec.context
    wanted = f"expected {', '.join(names)}, the {len(names)} context columns of {spec.name}"
    if not names:
        raise ConfigError(f"{call}: {spec.name} has no context columns: omit it")
    if isinstance(value, str):
        value = read_context(value, names)
    if isinstance(value, Mapping):
        if set(value) != set(names):
            raise ConfigError(f"{call}: {', '.join(map(str, value))}, {wanted}")
        value = np.stack(np.broadcast_arrays(*(_array(value[n], call) for n in names)), -1)
    found = _array(value, call)
    if len(names) == 1 and found.ndim == 0:
        found = found[None]
    if found.ndim not in (1, 2) or found.shape[-1] != len(names) or found.dtype.kind not in "fiub":
        raise ConfigError(f"{call}: {found.dtype} {list(found.shape)}, {wanted}")
    bad = np.argwhere(~np.isfinite(found.astype(np.float64)))
    if len(bad):
        raise ConfigError(f"{call}: {names[bad[0][-1]]} is not finite")
    if found.ndim == 2:
        if not len(found) or num % len(found):
            raise ConfigError(
                f"{call}: {len(found)} rows, {num} examples: expected a multiple of the rows"
            )
        found = np.tile(found, (num // len(found), 1))
    units = spec.fields["context"].units
    return units.inward(found) if units else found.astype(np.float32)


def read_context(path: str, names: Sequence[str]) -> np.ndarray:
    """Rows [M, C] of context columns in a file.

    Args:
        path: of a .npz with an array `context`, a .npy, or a table that has columns `names`.
        names: of the columns.

    Raises:
        ConfigError: for another file.
        DataError: for one that cannot be read, or has no such columns.
    """
    from jaxgen.data import limits, tables

    file = pathlib.Path(path).expanduser()
    kind = file.name.lower()
    if not file.is_file():
        raise ConfigError(f"context={path!r}: no such file, and no numbers, as 1.5,2")
    if kind.endswith(tables.SUFFIXES):
        table = tables.read(file)
        for name in names:
            if name not in table.names:
                raise ConfigError(f"{file} has no column {name!r}; it has {', '.join(table.names)}")
        return np.stack([table.numbers(name) for name in names], -1)
    if kind.endswith(".npy"):
        return limits.load_npy(file)
    if kind.endswith(".npz"):
        found = limits.load_npz(file)
        if "context" in found:
            return found["context"]
        raise ConfigError(f"{file} has no array context; it has {', '.join(found)}")
    raise ConfigError(f"context={path!r}: expected a .npz, .npy, .csv, .tsv or .parquet file")


def _array(value: Any, call: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{call}: no array: {str(error).splitlines()[0]}") from None
