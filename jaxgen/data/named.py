"""Data sets by their names: embedded, published by their authors, or of tfds."""

from __future__ import annotations

import difflib
from typing import Any

from jaxgen.data import moses, published, spoken_digit, tables
from jaxgen.data.dataset import DataError, Dataset
from jaxgen.data.embedded import EMBEDDED
from jaxgen.data.tfds import source as tfds_source

ARRAYS = (".npz", ".npy")
TABLES = tables.SUFFIXES
FILES = (*ARRAYS, ".zip", *TABLES)
SUFFIXES = f"{', '.join(FILES[:-1])} or {FILES[-1]}"
NAMED = (*EMBEDDED, *published.NAMES, *moses.NAMES, *spoken_digit.NAMES)


def load(
    name: str,
    *,
    data_dir: str | None,
    manual_dir: str | None,
    download: bool,
    **choices: Any,
) -> Dataset:
    """A data set that is embedded, published, or of tfds.

    Args:
        name: of one.
        data_dir: see `load.load`, as the rest.
        manual_dir: see there.
        download: see there.
        **choices: others of its options.

    Raises:
        DataError: for a name that nothing has, or data that are not on this machine.
    """
    if name in EMBEDDED:
        return EMBEDDED[name].load(name, data_dir=data_dir)
    if name in moses.NAMES:
        return moses.load(name, manual_dir, data_dir)
    if name in spoken_digit.NAMES:
        return spoken_digit.load(name, data_dir, download, choices["in_memory_mb"])
    if name in published.NAMES:
        sizes = {k: choices[k] for k in ("size", "fit", "in_memory_mb")}
        if found := published.load(name, manual_dir, data_dir, download, **sizes):
            return found
    plain = name.removeprefix("tfds:")
    return _tfds(plain, manual_dir=manual_dir, download=download, data_dir=data_dir, **choices)


def _tfds(name: str, *, manual_dir: str | None, download: bool, **choices: Any) -> Dataset:
    """A data set of tfds, or the most helpful refusal."""
    builder = tfds_source.find(name, choices["data_dir"])
    if builder is None:
        stock = tfds_source.registered()
        if name.split("/")[0].split(":")[0] not in stock:
            raise DataError(_unknown(name, stock))
        if download:
            builder = tfds_source.download(name, choices["data_dir"], manual_dir)
        elif name in published.NAMES:
            raise DataError(f"{name} is not on this machine: {published.wanted(name)}")
        else:
            raise DataError(tfds_source.absent(name))
    return tfds_source.load(name, builder, **choices)


def _unknown(name: str, stock: list[str]) -> str:
    """The message for a name that nothing has."""
    near = difflib.get_close_matches(name, sorted({*NAMED, *stock}), n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return (
        f"unknown data set {name!r}: {hint}embedded sets are {', '.join(EMBEDDED)}; also "
        f"{', '.join(NAMED[len(EMBEDDED) :])}, any tfds name, a folder of images (folder:PATH), a "
        f"{SUFFIXES} file"
    )
