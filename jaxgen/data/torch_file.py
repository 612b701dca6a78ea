"""Reads the tensors of a PyTorch checkpoint (.pth) without PyTorch and without running its pickle.

`torch.save` has written two formats: since version 1.6 a zip file with the pickle and one file for
each storage, before that a row of pickles with the storages behind them. `data.unpickle` reads
the pickles; it knows the few names that a dictionary of tensors needs.
"""

from __future__ import annotations

import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.dataset import DataError
from jaxgen.data.limits import regular
from jaxgen.data.unpickle import Interpreter, Name, dictionary, strided

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


@dataclasses.dataclass(frozen=True)
class Storage:
    """Numbers that come later in the file."""

    key: str
    dtype: np.dtype
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """What `torch._utils._rebuild_tensor_v2` is given."""

    storage: Storage
    offset: Any
    size: Any
    stride: Any


def read(path: str | pathlib.Path) -> dict[str, np.ndarray]:
    """The tensors of a file that holds a dictionary of them.

    Raises:
        ConfigError: for a file that cannot be read, or asks for anything else, or for more memory
            than it has bytes.
    """
    try:
        with regular(path) as file:
            raw = file.read()
    except DataError as error:
        raise ConfigError(str(error)) from error
    try:
        tensors, storages = _zipped(raw) if raw[:4] == b"PK\x03\x04" else _in_a_row(raw)
        return _arrays(tensors, storages, len(raw))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file fails in any way
        raise ConfigError(f"{path} is not a whole PyTorch file: {error}") from error


def _arrays(
    tensors: Mapping[str, Any], storages: Mapping[str, np.ndarray], most: int
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    known: dict[Any, np.ndarray] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, _Tensor) or not isinstance(name, str):
            raise ConfigError(f"{name!r} is a {type(tensor).__name__}, expected a tensor")
        place = (tensor.storage.key, tensor.offset, tuple(tensor.size), tuple(tensor.stride))
        if place not in known:
            view = strided(storages[tensor.storage.key], *place[1:])
            most -= view.nbytes
            if most < 0:  # parts of one storage
                raise ConfigError("its tensors are larger than the file")
            known[place] = view.copy()
        found[name] = known[place]
    return found


def _zipped(raw: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ConfigError("its entries are compressed, as torch.save does not")
        if sum(entry.file_size for entry in entries) > len(raw):
            raise ConfigError("its entries are larger than the file")
        names = archive.namelist()
        mains = [name for name in names if name.endswith("/data.pkl")]
        if len(mains) != 1:
            raise ConfigError(f"it has {len(mains)} entries data.pkl, expected one")
        root = mains[0].removesuffix("data.pkl")
        if root + "byteorder" in names and archive.read(root + "byteorder") != b"little":
            raise ConfigError("its numbers are big-endian")
        storages = Storages()
        tensors = _loaded(Interpreter(archive.read(mains[0]), TABLE, refused, storages))
        numbers = {
            key: numbers_of(archive.read(f"{root}data/{key}"), storage)
            for key, storage in storages.found.items()
        }
    return tensors, numbers


def _in_a_row(raw: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    storages = Storages()
    row = Interpreter(raw, TABLE, refused, storages)
    begin(row)
    tensors = _loaded(row)
    numbers = {}
    keys = row.load()
    if not isinstance(keys, list) or len(set(keys)) < len(keys):
        raise ConfigError("its storages are not listed as torch.save has it")
    for key in keys:
        storage = storages.found[key]
        if row.integer("q") != storage.count:
            raise ConfigError(f"storage {key} has not the length that the file says")
        numbers[key] = numbers_of(row.take(storage.count * storage.dtype.itemsize), storage)
    return tensors, numbers


def begin(row: Interpreter) -> None:
    """Reads what torch.save began with before it wrote zip files.

    Raises:
        ConfigError: for anything else.
    """
    magic, _, system = (row.load() for _ in range(3))
    if type(magic) is not int or magic != MAGIC:
        raise ConfigError("it does not begin as torch.save has it")
    if isinstance(system, dict) and system.get("little_endian") is False:
        raise ConfigError("its numbers are big-endian")


def _loaded(interpreter: Interpreter) -> dict[str, Any]:
    value = interpreter.load()
    if not isinstance(value, dict):
        raise ConfigError(f"it holds a {type(value).__name__}, expected a dictionary of tensors")
    return value


def numbers_of(raw: Any, storage: Storage) -> np.ndarray:
    """The numbers of a storage, a view of its bytes.

    Raises:
        ConfigError: when there are more or fewer bytes.
    """
    if len(raw) != storage.count * storage.dtype.itemsize:
        raise ConfigError(f"storage {storage.key} has {len(raw)} bytes, its file is not whole")
    return np.frombuffer(raw, storage.dtype.newbyteorder("<"))


class Storages:
    """Notes the storages that a pickle asks for; called with what stands for one."""

    def __init__(self) -> None:
        """None yet."""
        self.found: dict[str, Storage] = {}

    def __call__(self, name: tuple[Any, ...]) -> Storage:
        """The storage that a persistent name means.

        Raises:
            ConfigError: for anything else.
        """
        if len(name) not in (5, 6) or name[0] != "storage" or any(v is not None for v in name[5:]):
            raise ConfigError("it asks for something other than a whole storage")
        kind, key, count = name[1], name[2], name[4]
        if not isinstance(kind, Name) or kind.name not in STORAGES or not isinstance(key, str):
            raise ConfigError("a storage is not named as PyTorch does")
        if type(count) is not int or count < 0:
            raise ConfigError(f"a storage of {str(count)[:40]} numbers")
        return self.found.setdefault(key, Storage(key, np.dtype(STORAGES[kind.name]), count))


def refused(module: str, name: str) -> str:
    """The message for a name that is not in the table."""
    return f"the file asks for {module}.{name}, which no tensors need; it is not run"


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, Storage):
        raise ConfigError(f"a tensor of a {type(storage).__name__}")
    return _Tensor(storage, offset, size, stride)


def parameter(data: Any, *_: Any) -> Any:
    """`torch._utils._rebuild_parameter`."""
    return data


def no_call(*_: Any) -> Any:
    """Of names that are only named.

    Raises:
        ConfigError: always.
    """
    raise ConfigError("the file calls what is no function")


TABLE = {
    ("collections", "OrderedDict"): dictionary,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): parameter,
} | {("torch", name): no_call for name in STORAGES}
