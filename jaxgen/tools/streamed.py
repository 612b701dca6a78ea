"""A .npz file of rows that come a chunk at a time: memory does not grow with their number."""

from __future__ import annotations

import itertools
import pathlib
import zipfile
from collections.abc import Iterable

import numpy as np

from jaxgen.files import atomic
from jaxgen.machine import check_disk


def save_rows(path: pathlib.Path, name: str, num: int, chunks: Iterable[np.ndarray]) -> None:
    """Writes one array [num, ...], atomically, as `np.savez` would.

    Args:
        path: ends in .npz.
        name: of the array.
        num: rows of all chunks together.
        chunks: [B, ...] each, of one shape and type.

    Raises:
        ConfigError: when the disk has no room for it.
        WriteError: see `files.atomic`.
    """
    chunks = iter(chunks)
    first = next(chunks)
    check_disk(num * (first.nbytes // len(first)), f"{num:,} rows", path)
    header = {
        "descr": np.lib.format.dtype_to_descr(first.dtype),
        "fortran_order": False,
        "shape": (num, *first.shape[1:]),
    }
    with atomic(path) as whole, zipfile.ZipFile(whole, "w") as archive:
        with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for chunk in itertools.chain([first], chunks):
                file.write(np.ascontiguousarray(chunk).data)
