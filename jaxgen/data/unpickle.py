"""An interpreter of the few opcodes of which pickles of tensors are made.

Python's own `pickle` calls functions that a file names, sets attributes and lets objects rebuild
themselves. Nothing here does: values are numbers, text, bytes of the file, tuples, lists, sets and
dictionaries; a name is a word until the caller's table says which value to make of its arguments.
Any other opcode is refused. Bytes and arrays are views of the file, and the number of steps is
bounded, so that memory is in proportion to the file.

Source: CPython, `Lib/pickletools.py`, for what each opcode means.
"""

from __future__ import annotations

import dataclasses
import math
import pickle  # for the codes of its opcodes
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgen.config import ConfigError

MOST_STEPS = 1_000_000  # official weights take some 100,000
LONGEST_NAME = 200
MARK = object()
Table = Mapping[tuple[str, str], Callable[..., Any]]  # (module, name) -> a value of its arguments


@dataclasses.dataclass(frozen=True)
class Name:
    """A name that the table knows."""

    module: str
    name: str


@dataclasses.dataclass(frozen=True, eq=False)
class Number:
    """The type of a number, as NumPy pickles it."""

    dtype: np.dtype


class Unread:
    """An array of NumPy, whose values are left in the file."""


NUMBERS = {
    kind + size: np.dtype(kind + size)
    for kind, sizes in (("f", "248"), ("i", "1248"), ("u", "1248"), ("b", "1"))
    for size in sizes
}


def number(name: str, *_: Any) -> Number:
    """`numpy.dtype` of a plain number."""
    if not isinstance(name, str) or name not in NUMBERS:
        raise ConfigError(f"it holds numbers of type {str(name)[:40]!r}")
    return Number(NUMBERS[name])


def array(*_: Any) -> Unread:
    """`numpy.core.multiarray._reconstruct`: what follows is the array's state."""
    return Unread()


def scalar(kind: Any, raw: Any) -> Any:
    """`numpy.core.multiarray.scalar`."""
    if not isinstance(kind, Number) or not isinstance(raw, memoryview):
        raise ConfigError("a number is not as NumPy wrote it")
    if len(raw) != kind.dtype.itemsize:
        raise ConfigError(f"a number has {len(raw)} bytes, expected {kind.dtype.itemsize}")
    return np.frombuffer(raw, kind.dtype)[0].item()


def dictionary(pairs: Any = ()) -> dict[Any, Any]:
    """A dictionary of any class, of pairs."""
    found: dict[Any, Any] = {}
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ConfigError("a dictionary is not of pairs")
        found[_key(pair[0])] = pair[1]
    return found


def a_set(values: Any = ()) -> set[Any]:
    """A set of words or numbers."""
    return {_key(value) for value in values}


def _key(value: Any) -> Any:
    if not isinstance(value, str | int):
        raise ConfigError(f"a key is a {type(value).__name__}, expected a word or a number")
    return value


def strided(storage: np.ndarray, offset: Any, size: Any, stride: Any) -> np.ndarray:
    """A view of a tensor in its storage, which cannot be written to.

    Raises:
        ConfigError: when it reaches beyond the storage, or is larger than it.
    """
    numbers = [offset, *size, *stride]
    if not all(type(n) is int for n in numbers) or len(size) != len(stride) or len(size) > 32:
        raise ConfigError("the shape of an array is not as PyTorch wrote it")
    last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
    if min(numbers) < 0 or (all(size) and last >= len(storage)):
        raise ConfigError("an array reaches beyond its storage")
    if math.prod(size) > len(storage):
        raise ConfigError("an array is larger than its storage")
    if not all(size):
        return np.zeros(size, storage.dtype)
    steps = [s * storage.itemsize for s in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


class Interpreter:
    """Reads pickles that follow one another in `data`.

    Attributes:
        data: the whole file.
        place: of the next byte to be read.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        table: Table,
        refuse: Callable[[str, str], str],
        persistent: Callable[[Any], Any] | None = None,
    ):
        """Begins at the first byte.

        Args:
            data: of the file.
            table: the names that may be in it.
            refuse: (module, name) -> the message for a name that is not in the table.
            persistent: makes a value of what stands for a storage.
        """
        self.data, self.place = memoryview(data).toreadonly(), 0
        self._table, self._refuse, self._persistent = table, refuse, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._steps = 0

    def take(self, count: int) -> memoryview:
        """The next bytes.

        Raises:
            ConfigError: when there are fewer.
        """
        if not 0 <= count <= len(self.data) - self.place:
            raise ConfigError("the file is cut short")
        self.place += count
        return self.data[self.place - count : self.place]

    def load(self) -> Any:
        """The value of the next pickle.

        Raises:
            ConfigError: for whatever is not a pickle of known names.
        """
        self._stack, self._memo = [], {}
        while True:
            self._steps += 1
            if self._steps > MOST_STEPS:
                raise ConfigError(f"it takes more than {MOST_STEPS:,} steps to read")
            code = self.take(1)[0]
            if code == pickle.STOP[0]:
                break
            if code not in OPCODES:
                raise ConfigError(f"byte {self.place - 1} is an opcode that no tensors need")
            OPCODES[code](self)
        if len(self._stack) != 1 or self._stack[0] is MARK:
            raise ConfigError("its end leaves other than one value")
        return self._stack.pop()

    def integer(self, form: str) -> int:
        """A number of the file, little-endian."""
        return struct.unpack("<" + form, self.take(struct.calcsize(form)))[0]

    def text(self, form: str) -> str:
        """Text behind its length."""
        return str(self.take(self.integer(form)), "utf-8")

    def push(self, value: Any) -> None:
        """Onto the stack."""
        self._stack.append(value)

    def pop(self, kind: type | tuple[type, ...] = object) -> Any:
        """From the stack, of that kind."""
        if not self._stack or self._stack[-1] is MARK:
            raise ConfigError("a value is missing")
        value = self._stack.pop()
        if not isinstance(value, kind):
            raise ConfigError(f"a {type(value).__name__} is out of place")
        return value

    def top(self, kind: type) -> Any:
        """Of the stack, of that kind, which stays there."""
        value = self.pop(kind)
        self._stack.append(value)
        return value

    def to_mark(self) -> list[Any]:
        """What lies above the newest mark, which goes."""
        for i in range(len(self._stack) - 1, -1, -1):
            if self._stack[i] is MARK:
                above = self._stack[i + 1 :]
                del self._stack[i:]
                return above
        raise ConfigError("a mark is missing")

    def last(self, count: int) -> tuple[Any, ...]:
        """The uppermost values."""
        return tuple(reversed([self.pop() for _ in range(count)]))

    def keep(self, index: int) -> None:
        """Remembers the top."""
        self._memo[index] = self.top(object)

    def memoize(self) -> None:
        """Remembers the top as the next of all."""
        self.keep(len(self._memo))

    def recall(self, index: int) -> None:
        """What was remembered, onto the stack."""
        if index not in self._memo:
            raise ConfigError("it recalls what it never had")
        self.push(self._memo[index])

    def known(self, module: str, name: str) -> None:
        """A name, onto the stack."""
        if (module, name) not in self._table:
            shown = [part[:LONGEST_NAME] for part in (module, name)]
            raise ConfigError(self._refuse(*shown))
        self.push(Name(module, name))

    def line(self) -> str:
        """Up to the next end of a line."""
        ahead = bytes(self.data[self.place : self.place + LONGEST_NAME + 1])
        if (length := ahead.find(b"\n")) < 0:
            raise ConfigError("a name has no end")
        return str(self.take(length + 1)[:-1], "utf-8")

    def call(self) -> None:
        """The value that the table makes of a name and its arguments."""
        arguments, name = self.pop(tuple), self.pop(Name)
        # what is copied counts as steps: a list that is recalled may be copied again and again
        self._steps += sum(len(a) for a in arguments if isinstance(a, list | tuple | set | dict))
        self.push(self._table[name.module, name.name](*arguments))

    def build(self) -> None:
        """State of a value: only its byte order matters, the rest is left out."""
        state, value = self.pop(), self.top((dict, Number, Unread))
        if isinstance(value, Number):
            if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", "|", "="):
                raise ConfigError("its numbers are not little-endian")

    def store(self, pairs: Any) -> None:
        """Keys and values by turns, into the dictionary below."""
        target = self.top(dict)
        if len(pairs) % 2:
            raise ConfigError("a key has no value")
        target.update({_key(k): v for k, v in zip(pairs[::2], pairs[1::2], strict=True)})

    def storage(self) -> None:
        """What stands for a storage."""
        if self._persistent is None:
            raise ConfigError("it asks for bytes that are not there")
        self.push(self._persistent(self.pop(tuple)))


def _append(i: Interpreter) -> None:
    value = i.pop()
    i.top(list).append(value)


def _extend(i: Interpreter) -> None:
    values = i.to_mark()
    i.top(list).extend(values)


def _add(i: Interpreter) -> None:
    values = a_set(i.to_mark())
    i.top(set).update(values)


def _named(i: Interpreter) -> None:
    name, module = i.pop(str), i.pop(str)
    i.known(module, name)


_BY_NAME: dict[str, Callable[[Interpreter], Any]] = {
    "PROTO": lambda i: i.take(1),
    "FRAME": lambda i: i.take(8),
    "MARK": lambda i: i.push(MARK),
    "NONE": lambda i: i.push(None),
    "NEWTRUE": lambda i: i.push(True),
    "NEWFALSE": lambda i: i.push(False),
    "BININT": lambda i: i.push(i.integer("i")),
    "BININT1": lambda i: i.push(i.integer("B")),
    "BININT2": lambda i: i.push(i.integer("H")),
    "LONG1": lambda i: i.push(int.from_bytes(i.take(i.integer("B")), "little", signed=True)),
    "BINFLOAT": lambda i: i.push(struct.unpack(">d", i.take(8))[0]),
    "SHORT_BINSTRING": lambda i: i.push(i.text("B")),
    "BINUNICODE": lambda i: i.push(i.text("I")),
    "SHORT_BINUNICODE": lambda i: i.push(i.text("B")),
    "BINUNICODE8": lambda i: i.push(i.text("Q")),
    "BINBYTES": lambda i: i.push(i.take(i.integer("I"))),
    "SHORT_BINBYTES": lambda i: i.push(i.take(i.integer("B"))),
    "BINBYTES8": lambda i: i.push(i.take(i.integer("Q"))),
    "EMPTY_TUPLE": lambda i: i.push(()),
    "TUPLE": lambda i: i.push(tuple(i.to_mark())),
    "TUPLE1": lambda i: i.push(i.last(1)),
    "TUPLE2": lambda i: i.push(i.last(2)),
    "TUPLE3": lambda i: i.push(i.last(3)),
    "EMPTY_LIST": lambda i: i.push([]),
    "APPEND": _append,
    "APPENDS": _extend,
    "EMPTY_DICT": lambda i: i.push({}),
    "SETITEM": lambda i: i.store(i.last(2)),
    "SETITEMS": lambda i: i.store(i.to_mark()),
    "EMPTY_SET": lambda i: i.push(set()),
    "ADDITEMS": _add,
    "GLOBAL": lambda i: i.known(i.line(), i.line()),
    "STACK_GLOBAL": _named,
    "REDUCE": Interpreter.call,
    "NEWOBJ": Interpreter.call,
    "BUILD": Interpreter.build,
    "BINPUT": lambda i: i.keep(i.integer("B")),
    "LONG_BINPUT": lambda i: i.keep(i.integer("I")),
    "MEMOIZE": Interpreter.memoize,
    "BINGET": lambda i: i.recall(i.integer("B")),
    "LONG_BINGET": lambda i: i.recall(i.integer("I")),
    "BINPERSID": Interpreter.storage,
}
OPCODES = {getattr(pickle, name)[0]: step for name, step in _BY_NAME.items()}
