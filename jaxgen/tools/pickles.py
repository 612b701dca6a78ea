"""Reads the arrays of pickled PyTorch modules without running what a pickle asks for.

A pickle is a program: it may call any function by its name. This reader knows the few names that
official StyleGAN2 weights need, each of which only builds a value; any other name is refused. It
needs no PyTorch. The source code that such files carry is not looked at.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import pathlib
import pickle
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.torch_file import MAGIC, STORAGES, strided


@dataclasses.dataclass
class Module:
    """A pickled module.

    Attributes:
        kind: name of its class.
        state: its attributes, by name.
    """

    kind: str
    state: dict[str, Any]

    def part(self, name: str) -> Module:
        """A module of this one."""
        return self.state["_modules"][name]

    def arrays(self, prefix: str = "") -> dict[str, np.ndarray]:
        """All parameters and buffers, "module.module.name" -> array."""
        found = {}
        for group in ("_parameters", "_buffers"):
            for name, value in self.state.get(group, {}).items():
                if value is not None:
                    found[prefix + name] = value
        for name, module in self.state.get("_modules", {}).items():
            if module is not None:
                found |= module.arrays(f"{prefix}{name}.")
        return found


class Dict(dict):
    """Dictionaries whose class the file names."""


def read(path: str | pathlib.Path) -> dict[str, Any]:
    """The dictionary of a file, with `Module`s and arrays in it.

    Raises:
        ConfigError: for a file that cannot be read, or asks for anything else.
    """
    try:
        with open(path, "rb") as file:
            value = _Reader(file).load()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle fails in any way
        raise ConfigError(f"{path} is not a whole pickle: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a {type(value).__name__}, expected a dictionary")
    return value


def _module(meta: dict[str, Any]) -> Module:
    return Module(meta["class_name"], meta["state"])


def _storage(data: bytes) -> np.ndarray:
    """What torch.save wrote of one storage."""
    file = io.BytesIO(data)
    magic, _, _ = (_Reader(file).load() for _ in range(3))
    if magic != MAGIC:
        raise ConfigError("an array is not as torch.save wrote it before its zip files")
    reader = _Reader(file)
    dtype, number = reader.load()
    _Reader(file).load()  # keys of the storages: there is one
    count = int(np.frombuffer(file.read(8), "<i8")[0])
    raw = file.read(count * np.dtype(dtype).itemsize)
    array = np.frombuffer(raw, dtype)
    if len(array) != count or count != number:
        raise ConfigError(f"an array has {len(array)} numbers, expected {number}")
    return array


def _tensor(storage: np.ndarray, offset: int, size: Any, stride: Any, *_: Any) -> np.ndarray:
    return strided(storage, offset, size, stride)


def _parameter(data: np.ndarray, *_: Any) -> np.ndarray:
    return data


class _Dtype:
    """The type of a number; byte order and the like, which a pickle sets later, is left out."""

    def __init__(self, name: str, *_: Any):
        self.dtype = np.dtype(name)
        if self.dtype.kind not in "biuf":
            raise ConfigError(f"numbers of type {name!r}")

    def __setstate__(self, state: Any) -> None:
        pass


def _number(kind: _Dtype, data: bytes) -> Any:
    return np.frombuffer(data, kind.dtype)[0]


ALLOWED = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _module,
    ("dnnlib.util", "EasyDict"): Dict,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
    ("torch", "device"): lambda *name: ":".join(map(str, name)),
    ("torch", "Size"): tuple,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
} | {("torch", name): dtype for name, dtype in STORAGES.items()}


class _Reader(pickle.Unpickler):
    """Knows `ALLOWED`, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("dnnlib.tflib"):
            raise ConfigError(
                "these are weights of the TensorFlow code; convert them with legacy.py of "
                "NVlabs/stylegan2-ada-pytorch"
            )
        if (module, name) not in ALLOWED:
            raise ConfigError(
                f"the file asks for {module}.{name}, which no weights of StyleGAN2 need; it is "
                "not run"
            )
        return ALLOWED[module, name]

    def persistent_load(self, name: Any) -> Any:
        """A storage: its type and its number of elements; the bytes follow the pickle."""
        kind, dtype, _, _, number, *_ = name
        if kind != "storage":
            raise ConfigError(f"the file asks for a {kind!r}")
        return dtype, number
