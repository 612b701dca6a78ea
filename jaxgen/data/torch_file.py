"""Reads the tensors of a PyTorch checkpoint (.pth) without PyTorch and without running its pickle.

A pickle is a program: it may call any function by its name. This reader knows the few names that
a dictionary of tensors needs, each of which only builds a value; any other name is refused.
`torch.save` has written two formats: since version 1.6 a zip file with the pickle and one file for
each storage, before that a row of pickles with the storages behind them.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import pathlib
import pickle
import zipfile
from typing import Any

import numpy as np

from jaxgen.config import ConfigError

STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before it wrote zip files


@dataclasses.dataclass
class _Storage:
    """Numbers that come later in the file."""

    key: str
    dtype: Any
    count: int


@dataclasses.dataclass
class _Tensor:
    """What `torch._utils._rebuild_tensor_v2` is given."""

    storage: _Storage
    offset: int
    size: Any
    stride: Any


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file that holds a dictionary of them.

    Raises:
        ConfigError: for a file that cannot be read, or asks for anything else.
    """
    try:
        with open(path, "rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            tensors, storages = _zipped(file) if zipped else _in_a_row(file)
        return {name: _array(name, tensor, storages) for name, tensor in tensors.items()}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle fails in any way
        raise ConfigError(f"{path} is not a whole PyTorch file: {error}") from error


def strided(storage: np.ndarray, offset: int, size: Any, stride: Any) -> np.ndarray:
    """A copy of a tensor in its storage.

    Raises:
        ConfigError: when it reaches beyond the storage.
    """
    size, stride = tuple(size), tuple(stride)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (all(size) and last >= len(storage)):
        raise ConfigError("an array reaches beyond its storage")
    steps = [s * storage.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()


def _array(name: str, tensor: Any, storages: dict[str, np.ndarray]) -> np.ndarray:
    if not isinstance(tensor, _Tensor):
        raise ConfigError(f"{name!r} is a {type(tensor).__name__}, expected a tensor")
    return strided(storages[tensor.storage.key], tensor.offset, tensor.size, tensor.stride)


def _zipped(file: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with zipfile.ZipFile(file) as archive:
        (main,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = main.removesuffix("data.pkl")
        if (
            root + "byteorder" in archive.namelist()
            and archive.read(root + "byteorder") != b"little"
        ):
            raise ConfigError("its numbers are big-endian")
        reader = _Reader(io.BytesIO(archive.read(main)))
        tensors = _dictionary(reader.load())
        storages = {
            key: _numbers(archive.read(f"{root}data/{key}"), storage)
            for key, storage in reader.storages.items()
        }
    return tensors, storages


def _in_a_row(file: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    magic, _, _ = (_Reader(file).load() for _ in range(3))  # magic, protocol, system
    if magic != MAGIC:
        raise ConfigError("it does not begin as torch.save has it")
    reader = _Reader(file)
    tensors = _dictionary(reader.load())
    storages = {}
    for key in _Reader(file).load():
        storage = reader.storages[key]
        if int.from_bytes(file.read(8), "little") != storage.count:
            raise ConfigError(f"storage {key} has not the length that the file says")
        raw = file.read(storage.count * np.dtype(storage.dtype).itemsize)
        storages[key] = _numbers(raw, storage)
    return tensors, storages


def _dictionary(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"it holds a {type(value).__name__}, expected a dictionary of tensors")
    return value


def _numbers(raw: bytes, storage: _Storage) -> np.ndarray:
    dtype = np.dtype(storage.dtype)
    if len(raw) != storage.count * dtype.itemsize:
        raise ConfigError(f"storage {storage.key} has {len(raw)} bytes, its file is not whole")
    return np.frombuffer(raw, dtype.newbyteorder("<"))


def _tensor(storage: _Storage, offset: int, size: Any, stride: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, offset, size, stride)


def _parameter(data: Any, *_: Any) -> Any:
    return data


ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
} | {("torch", name): dtype for name, dtype in STORAGES.items()}


class _Reader(pickle.Unpickler):
    """Knows `ALLOWED`, and nothing else; notes the storages that are asked for."""

    def __init__(self, file: Any):
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise ConfigError(
                f"the file asks for {module}.{name}, which no tensors need; it is not run"
            )
        return ALLOWED[module, name]

    def persistent_load(self, name: Any) -> _Storage:
        kind, dtype, key, _, count, *view = name
        if kind != "storage" or any(view):
            raise ConfigError(f"the file asks for a {kind!r} or a view of a storage")
        return self.storages.setdefault(key, _Storage(key, dtype, count))
