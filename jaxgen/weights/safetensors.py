"""Files of arrays by name in the format safetensors, which hold numbers and text and nothing else.

Eight bytes of the header's length, the header as JSON, then the arrays, one after the other.

Its authors' library has no bfloat16 for NumPy (0.8.0), which weights may be.

Source: huggingface/safetensors, README.md, "Format"; what is written here is read there, and back.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from jaxgen.data.limits import regular
from jaxgen.errors import ConfigError
from jaxgen.files import atomic
from jaxgen.stored import parse

MOST_HEADER = 100_000_000  # bytes, as in the official reader
ABOUT = "__metadata__"
TYPES = {  # of the format -> of NumPy
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "F32": np.dtype(np.float32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F64": np.dtype(np.float64),
}
NAMES = {dtype: name for name, dtype in TYPES.items()}


def write(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], about: Mapping[str, str]
) -> None:
    """Writes arrays and what is known of them, atomically.

    Args:
        path: of the file.
        arrays: by their names.
        about: the file's metadata: text by name.

    Raises:
        ConfigError: for an array of a type that the format does not have.
        WriteError: see `files.atomic`.
    """
    kinds = {name: np.asarray(array).dtype for name, array in arrays.items()}
    for name, dtype in kinds.items():
        if dtype not in NAMES or name == ABOUT:
            raise ConfigError(f"{path}: {name} is {dtype}, which safetensors does not have")
    # the widest first, so that each begins at a multiple of its own width
    order = sorted(arrays, key=lambda name: (-kinds[name].itemsize, name))
    header: dict[str, Any] = {ABOUT: dict(about)} if about else {}
    end = 0
    for name in order:
        array = np.asarray(arrays[name])
        start, end = end, end + array.nbytes
        shape = list(array.shape)
        header[name] = {"dtype": NAMES[array.dtype], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with atomic(path, 8 + len(text) + end) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            # of bytes, for bfloat16 has no buffer
            file.write(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by name, and the metadata; memory is that of the file.

    Raises:
        ConfigError: in one line, for a file that is damaged or no safetensors.
    """
    path = pathlib.Path(path)
    try:
        with regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(MOST_HEADER, size - 8):
                raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
            header = parse(file.read(length))
            about = _metadata(header)
            _check_places(header, size - 8 - length)
            arrays = {}
            for name, entry in sorted(header.items(), key=lambda i: i[1]["data_offsets"]):
                data = bytearray(entry["data_offsets"][1] - entry["data_offsets"][0])
                if file.readinto(data) != len(data):  # type: ignore[attr-defined]
                    raise ValueError(f"{name} is cut short")
                dtype = TYPES[entry["dtype"]]
                arrays[name] = np.frombuffer(data, dtype).reshape(entry["shape"])
    except ConfigError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged, or no safetensors: {error}") from None
    return arrays, about


def _metadata(header: Any) -> dict[str, str]:
    """Taken out of the header."""
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    about = header.pop(ABOUT, {})
    if not isinstance(about, dict) or not all(isinstance(v, str) for v in about.values()):
        raise ValueError(f"{ABOUT} is not text by name")
    return about


def _check_places(header: Mapping[str, Any], size: int) -> None:
    """Whether the entries describe arrays that fill `size` bytes without a gap."""
    for name, entry in header.items():
        fits = isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}
        if not fits or not isinstance(entry["dtype"], str) or entry["dtype"] not in TYPES:
            raise ValueError(f"the entry of {name[:80]!r} is no array of a known type")
        for key in ("shape", "data_offsets"):
            values = entry[key]
            if not isinstance(values, list) or not all(type(n) is int and n >= 0 for n in values):
                raise ValueError(f"{key} of {name[:80]!r} is no list of whole numbers")
        wanted = math.prod(entry["shape"]) * TYPES[entry["dtype"]].itemsize
        places = entry["data_offsets"]
        if len(places) != 2 or places[1] - places[0] != wanted or len(entry["shape"]) > 32:
            raise ValueError(f"{name[:80]!r} does not fit its place")
    end = 0
    for start, stop in sorted(entry["data_offsets"] for entry in header.values()):
        if start != end:
            raise ValueError("its arrays overlap, or leave a gap")
        end = stop
    if end != size:
        raise ValueError(f"its arrays take {end:,} bytes, there are {size:,}")
