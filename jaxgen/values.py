"""Values of a config against the annotations of what takes them: their type and their range.

A whole number is 1 or more; 0 is possible where it is the default, and for the durations and
intervals whose name ends in `_steps`, where it says never. A real number is finite, and not
negative unless its default is. `Natural` and `AnyReal` annotate what is otherwise.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import os
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from jaxgen.errors import ConfigError

MOST = 2**31 - 1  # what XLA counts steps and elements with
MOST_SIZE = 2**20  # of networks: no layer is as wide, no stack as deep
MOST_OF = {"dropout": 1, "rate": 1, "momentum": 1, "mixing": 1, "b1": 1, "b2": 1}  # shares
SCALARS = (bool, int, float, str)
DTYPES = ("float32", "bfloat16", "float64")  # of a computation; float16 would need scaled losses

Natural = Annotated[int, 0]  # 0 or more
AnyReal = Annotated[float, -math.inf]  # negative, too


def check_finite(config: Mapping[str, Any], where: str = "config") -> None:
    """Refuses numbers of a config that are not finite.

    Raises:
        ConfigError: naming the first.
    """
    for key, value in config.items():
        _finite(f"{where}.{key}", value)


def check_values(target: Callable[..., Any], options: Mapping[str, Any], where: str) -> None:
    """Refuses values of another type than the annotations of `target`, or out of range.

    Options that `target` does not have, and annotations that are of other kinds, are passed over.

    Args:
        target: a class or function.
        options: of it.
        where: the section that they come from, as "config.train".

    Raises:
        ConfigError: naming the first, and what is expected.
    """
    known = _expected(target)
    most = MOST_SIZE if where.startswith("config.model") else MOST
    for name, value in options.items():
        at = f"{where}.{name}"
        if name == "dtype" and value is not None and value not in DTYPES:
            raise ConfigError(f"{at}={_short(value)}, expected one of {', '.join(DTYPES)}")
        if name in known:
            kind, default = known[name]
            _finite(at, value)
            _check(at, value, kind, _least(name, default), MOST_OF.get(name, most))


def _least(name: str, default: Any) -> float:
    """Smallest value of a number, by what it is called and its default."""
    if isinstance(default, numbers.Real) and not isinstance(default, bool):
        if default < 0:
            return -math.inf
        if default == 0:
            return 0
    return 0 if name.endswith("_steps") or name == "seed" else 1


def check_value(at: str, value: Any, kind: Any) -> None:
    """One value against one annotation; whole numbers are 1 or more.

    Raises:
        ConfigError: naming what is expected.
    """
    _check(at, value, kind, 1, MOST)
    _finite(at, value)


def _check(at: str, value: Any, kind: Any, least: float, most: float) -> None:
    """As `check_value`, with other bounds; `Annotated` has the least value, or its own check."""
    if typing.get_origin(kind) is Annotated:
        kind, told = typing.get_args(kind)
        if callable(told):
            _check(at, value, kind, least, most)
            return told(value, at)
        least = told
    parts = typing.get_args(kind)
    origin = typing.get_origin(kind) or kind
    if origin in (typing.Union, types.UnionType):
        _check_any(at, value, parts, least, most)
    elif origin in (tuple, list, Sequence):
        _check_all(at, value, parts, least, most)
    elif origin is Mapping:
        if not isinstance(value, Mapping):
            raise ConfigError(f"{at}={_short(value)}, expected a section of its own")
    elif origin is Callable:
        if not callable(value):
            raise ConfigError(f"{at}={_short(value)}, expected a function")
    elif origin in SCALARS:
        _check_scalar(at, value, origin, least, most)


def _check_any(at: str, value: Any, parts: Sequence[Any], least: float, most: float) -> None:
    if value is None and type(None) in parts:
        return
    parts = [part for part in parts if part is not type(None)]
    for part in parts[:-1]:
        try:
            return _check(at, value, part, least, most)
        except ConfigError:
            continue
    return _check(at, value, parts[-1], least, most)


def _check_all(at: str, value: Any, parts: Sequence[Any], least: float, most: float) -> None:
    """A sequence: as many as the annotation has, or of one kind."""
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{at}={_short(value)}, expected several values, as 64,64")
    fixed = parts and Ellipsis not in parts and len(parts) > 1
    if fixed and len(value) != len(parts):
        raise ConfigError(f"{at}={_short(value)}, expected {len(parts)} values, got {len(value)}")
    for i, item in enumerate(value):
        if parts:
            part = parts[i] if fixed else parts[0]
            _check(at, item, part, -math.inf if part is float else least, most)


def _check_scalar(at: str, value: Any, kind: type, least: float, most: float) -> None:
    if kind is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{at}={_short(value)}, expected True or False")
        return
    if kind is str:
        if not isinstance(value, str | os.PathLike):
            raise ConfigError(f"{at}={_short(value)}, expected a text")
        return
    abstract = numbers.Integral if kind is int else numbers.Real
    if not isinstance(value, abstract) or isinstance(value, bool):
        what = "a whole number" if kind is int else "a number"
        raise ConfigError(f"{at}={_short(value)}, expected {what}")
    least = min(least, 0) if kind is float else least
    if value < least:
        raise ConfigError(f"{at}={_short(value)}, expected {least} or more")
    if (kind is int or most == 1) and value > most:
        raise ConfigError(f"{at}={_short(value)}, expected at most {most:,}")


def _finite(at: str, value: Any) -> None:
    """Refuses NaN and infinity, however deep."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _finite(f"{at}.{key}", inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _finite(at, inner)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{at}={value}, expected a finite number")


def _expected(target: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """As `_parameters`; remembered of classes, but not of functions, which may hold arrays."""
    return _of_class(target) if inspect.isclass(target) else _parameters(target)


@functools.cache
def _of_class(target: type) -> dict[str, tuple[Any, Any]]:
    return _parameters(target)


def _parameters(target: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Parameter -> its annotation, or else the type of its default, and its default."""
    found = {}
    for name, parameter in inspect.signature(target).parameters.items():
        kind, default = parameter.annotation, parameter.default
        if isinstance(kind, str):
            kind = _evaluated(kind, target, name)
        if not _is_known(kind) and type(default) in SCALARS:
            kind = type(default)
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            found[name] = (kind, default)
    return found


def _is_known(kind: Any) -> bool:
    """Whether an annotation says what can be checked."""
    origin = typing.get_origin(kind)
    if origin is Annotated or kind in SCALARS:
        return True
    if origin in (typing.Union, types.UnionType):
        return all(part is type(None) or _is_known(part) for part in typing.get_args(kind))
    return (origin or kind) in (tuple, list, Sequence, Mapping, Callable)


def _evaluated(text: str, target: Any, name: str) -> Any:
    """An annotation from its text, in the module of what declares it; Any if that fails."""
    owner = target.func if isinstance(target, functools.partial) else inspect.unwrap(target)
    if inspect.isclass(owner):
        declares = (c for c in owner.__mro__ if name in vars(c).get("__annotations__", {}))
        owner = next(declares, owner)
    names = vars(sys.modules[owner.__module__]) if owner.__module__ in sys.modules else {}
    one = types.SimpleNamespace(__annotations__={name: text})
    try:
        return typing.get_type_hints(one, dict(names), include_extras=True)[name]
    except Exception:  # of a name that is imported for type checkers alone
        return Any


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
