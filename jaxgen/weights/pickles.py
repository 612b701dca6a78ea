"""Reads the arrays of pickled PyTorch modules without running what a pickle asks for.

`data.unpickle` reads the pickle; this knows the few names that official weights of StyleGAN2 and
StyleGAN3 need. It needs no PyTorch. The source code that such files carry is not looked at.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data import torch_file
from jaxgen.data.dataset import DataError
from jaxgen.data.limits import regular
from jaxgen.data.unpickle import Interpreter, a_set, array, dictionary, number, scalar, strided

MOST_MODULES, MOST_ARRAYS, MOST_NAME = 5000, 20_000, 200  # of one network; letters


@dataclasses.dataclass(frozen=True, eq=False)
class Module:
    """A pickled module.

    Attributes:
        kind: name of its class.
        state: its attributes, by name.
    """

    kind: str
    state: dict[str, Any]

    def part(self, name: str) -> Module:
        """A module of this one.

        Raises:
            ConfigError: when there is none of that name.
        """
        found = self._group("_modules").get(name)
        if not isinstance(found, Module):
            raise ConfigError(f"{self.kind} has no module {name}")
        return found

    def size(self, name: str, least: int = 0, most: int = 2**16) -> int:
        """An attribute that is a whole number in a range.

        Raises:
            ConfigError: for anything else.
        """
        value = self.state.get(name)
        if type(value) is not int or not least <= value <= most:
            raise ConfigError(f"{self.kind}: {name} is {str(value)[:40]}, expected {least}..{most}")
        return value

    def arrays(self) -> dict[str, np.ndarray]:
        """All parameters and buffers, "module.module.name" -> array.

        Raises:
            ConfigError: for what is no array, and for modules without end.
        """
        found: dict[str, np.ndarray] = {}
        waiting: list[tuple[str, Module]] = [("", self)]
        for _ in range(MOST_MODULES):
            if not waiting:
                return found
            if len(found) + len(waiting) > MOST_ARRAYS:
                break
            prefix, module = waiting.pop()
            for group in ("_parameters", "_buffers"):
                for name, value in module._group(group).items():
                    if isinstance(value, np.ndarray):
                        found[f"{prefix}{name}"] = value
                    elif value is not None:
                        raise ConfigError(f"{prefix}{name} is a {type(value).__name__}, no array")
            parts = [name for name, part in module._group("_modules").items() if part is not None]
            waiting += [(f"{prefix}{name}."[:MOST_NAME], module.part(name)) for name in parts]
        raise ConfigError(f"{self.kind} has modules or arrays without end")

    def _group(self, name: str) -> dict[str, Any]:
        found = self.state.get(name, {})
        if not isinstance(found, dict):  # looked at now: a pickle may change it to the last
            raise ConfigError(f"{self.kind}: {name} is no dictionary")
        return found


def read(path: str | pathlib.Path) -> dict[str, Any]:
    """The dictionary of a file, with `Module`s and arrays in it.

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
        value = Interpreter(raw, _table(len(raw)), _refused).load()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle fails in any way
        raise ConfigError(f"{path} is not a whole pickle: {error}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a {type(value).__name__}, expected a dictionary")
    return value


def _module(about: Any) -> Module:
    kind, state = (about.get(k) for k in ("class_name", "state")) if type(about) is dict else (0, 0)
    if not isinstance(kind, str) or type(state) is not dict:
        raise ConfigError("a module is not as torch_utils.persistence wrote it")
    return Module(kind[:40], state)


def _storage(data: Any) -> np.ndarray:
    """What torch.save wrote of one storage."""
    if not isinstance(data, memoryview):
        raise ConfigError("an array is not made of bytes")
    row = Interpreter(data, torch_file.TABLE, torch_file.refused, torch_file.Storages())
    torch_file.begin(row)
    storage = row.load()
    row.load()  # keys of the storages: there is one
    if not isinstance(storage, torch_file.Storage) or row.integer("q") != storage.count:
        raise ConfigError("an array is not as torch.save wrote it before its zip files")
    return torch_file.numbers_of(row.take(storage.count * storage.dtype.itemsize), storage)


def _device(*name: Any) -> str:
    return ":".join(str(part)[:20] for part in name[:2])


def _size(values: Any = ()) -> tuple[Any, ...]:
    return tuple(values)


def _refused(module: str, name: str) -> str:
    if module.startswith("dnnlib.tflib"):
        return (
            "these are weights of the TensorFlow code; convert them with legacy.py of "
            "NVlabs/stylegan2-ada-pytorch"
        )
    return (
        f"the file asks for {module}.{name}, which no weights of StyleGAN2 or 3 need; it is not run"
    )


def _table(size: int) -> dict[tuple[str, str], Any]:
    """The names of a file of so many bytes, whose arrays together are no larger than it."""
    left = unread = size

    def storage(data: Any) -> np.ndarray:
        nonlocal unread
        unread -= len(data) if isinstance(data, memoryview) else 0
        if unread < 0:
            raise ConfigError("it reads its bytes again and again")
        return _storage(data)

    def tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
        nonlocal left
        if type(storage) is not np.ndarray or storage.ndim != 1:
            raise ConfigError(f"a tensor of a {type(storage).__name__}")
        view = strided(storage, offset, size, stride)
        left -= view.nbytes
        if left < 0:
            raise ConfigError("its arrays are larger than the file")
        return view

    table = {
        ("torch_utils.persistence", "_reconstruct_persistent_obj"): _module,
        ("dnnlib.util", "EasyDict"): dictionary,
        ("collections", "OrderedDict"): dictionary,
        ("builtins", "set"): a_set,
        ("__builtin__", "set"): a_set,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): torch_file.parameter,
        ("torch.storage", "_load_from_bytes"): storage,
        ("torch", "device"): _device,
        ("torch", "Size"): _size,
        ("numpy", "dtype"): number,
        ("numpy", "ndarray"): torch_file.no_call,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        table |= {(module, "scalar"): scalar, (module, "_reconstruct"): array}
    return table | {("torch", name): torch_file.no_call for name in torch_file.STORAGES}
