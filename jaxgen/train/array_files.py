"""What the array files of a checkpoint claim, before anything is allocated for them.

The metadata of an array say how large it is and how large the pieces are in which it is read; a
file of some bytes may claim any size there.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import jax

from jaxgen.data.limits import allowance
from jaxgen.train.integrity import Mismatch, paths
from jaxgen.types import PyTree

MOST_METADATA = 2**16  # bytes, of one array


def check_claims(folder: pathlib.Path, target: PyTree) -> None:
    """Compares the metadata of stored arrays with the state that is wanted.

    Args:
        folder: of the arrays, as orbax wrote them.
        target: shapes and types.

    Raises:
        Mismatch: for arrays of other shapes, in pieces larger than they are, or together out of
            proportion to the files.
    """
    import tensorstore

    leaves = {path.replace("/", "."): leaf for path, leaf in paths(target)}
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    whole = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(target))
    if whole > allowance(size):
        raise Mismatch(f"{size:,} bytes of files stand for {whole:,} bytes of arrays")
    where = {"driver": "ocdbt", "base": {"driver": "file", "path": f"{folder}/"}}
    store = tensorstore.KvStore.open(where).result()
    keys = store.list().result()
    if any(key.endswith(b"zarr.json") for key in keys):
        raise Mismatch("its arrays are in another format than jaxgen writes")
    reads = {key: store.read(key) for key in keys if key.endswith(b"/.zarray")}
    for key, read in reads.items():
        name = key.removesuffix(b"/.zarray").decode(errors="replace")
        if name in leaves:
            _check(name, read.result().value, leaves[name].shape)


def _check(name: str, text: bytes, shape: tuple[int, ...]) -> None:
    if len(text) > MOST_METADATA:
        raise Mismatch(f"{name} has {len(text):,} bytes of metadata")
    try:
        about: Any = json.loads(text)
        found, pieces = about["shape"], about["chunks"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Mismatch(f"the metadata of {name} are damaged: {error}") from error
    if found != list(shape):
        raise Mismatch(f"{name} is {str(found)[:60]}, expected {list(shape)}")
    ends = [max(side, 1) for side in shape]
    if not isinstance(pieces, list) or len(pieces) != len(ends):
        raise Mismatch(f"{name} is stored in pieces of {str(pieces)[:60]}")
    if not all(type(p) is int and 0 < p <= end for p, end in zip(pieces, ends, strict=True)):
        raise Mismatch(f"{name} is stored in pieces of {str(pieces)[:60]}, larger than it is")
