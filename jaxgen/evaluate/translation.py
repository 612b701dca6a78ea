"""What is to be translated, checked: which direction, which fields, of which values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.abilities import Translates, given
from jaxgen.config import ConfigError, unknown
from jaxgen.evaluate.validation import as_array
from jaxgen.types import DataSpec, Field

WITHOUT_CHANNELS = ("layout", "instances")  # kinds of fields


def direction(method: Translates, to: str | None) -> str:
    """The name of a translation; without one, the only one that there is.

    Raises:
        ConfigError: for a name that there is not, or none where there are several.
    """
    known = method.translations
    if to is None and len(known) == 1:
        return next(iter(known))
    if to is None or to not in known:
        said = "none" if to is None else str(to)
        raise ConfigError(
            unknown("translation, in Python to=, on the command line --to=", said, known)
        )
    return to


def fields_of(method: Translates, to: str) -> tuple[str, ...]:
    """Fields that a translation needs: the one that is translated, then others given with it."""
    source, _ = method.translations[to]
    others = given(method) if source in given(method) else ()
    return tuple(dict.fromkeys((source, *others)))


def sources(
    method: Translates, spec: DataSpec, x: Any, to: str | None
) -> tuple[str, dict[str, np.ndarray]]:
    """The direction, and the fields [B, ...] of the dtypes of the data that it is of.

    Args:
        method: that translates.
        spec: of the data.
        x: the field that is translated, or field -> array; maps of objects that are not told are
            taken to be those of the layout; x is a reference for the style.
        to: name of the direction.

    Raises:
        ConfigError: for fields that are missing or too many, or values that are not theirs.
    """
    to = direction(method, to)
    names = fields_of(method, to)
    found = dict(x) if isinstance(x, Mapping) else {names[0]: x}
    if "instances" in names and "layout" in found:
        found.setdefault("instances", found["layout"])
    if missing := [name for name in names if name not in found]:
        raise ConfigError(f"run.translate: to={to!r} needs {', '.join(names)}: add {missing[0]}")
    source, target = method.translations[to]
    if target in found and source not in given(method):
        kind = type(method).__name__
        raise ConfigError(f"run.translate: {kind} takes no style of another image: omit {target}")
    for name in found:
        if name not in (*names, target):
            raise ConfigError(unknown("field of a translation", name, (*names, target)))
    arrays = {name: _checked(name, value, spec.fields[name]) for name, value in found.items()}
    if len({len(a) for a in arrays.values()}) > 1:
        counts = ", ".join(f"{len(a)} of {k}" for k, a in arrays.items())
        raise ConfigError(f"run.translate: {counts}: expected as many of each")
    sides = {k: a.shape[1:3] for k, a in arrays.items() if a.ndim > 2 and k != target}
    if len(set(sides.values())) > 1:
        shown = ", ".join(f"{k} {h}x{w}" for k, (h, w) in sides.items())
        raise ConfigError(f"run.translate: {shown}: expected one size")
    return to, arrays


def is_placed(field: Field) -> bool:
    """Whether a field has a value, or channels, at every position."""
    return field.kind == "image" or field.kind in WITHOUT_CHANNELS


def _checked(name: str, value: Any, field: Field) -> np.ndarray:
    """[B, ...] of the field's dtype, of any height and width where it has them."""
    x = as_array(name, value)
    placed = is_placed(field)
    fits = x.ndim == len(field.shape) + 1 and len(x)
    wanted = "".join(f", {n}" for n in (("H", "W", *field.shape[2:]) if placed else field.shape))
    if not fits or (x.shape[3:] if placed else x.shape[1:]) != field.shape[2 if placed else 0 :]:
        raise ConfigError(f"{name} of shape {list(x.shape)}, expected [B{wanted}]")
    if field.values is None and field.kind != "instances":
        if x.dtype.kind not in "fiu" or not np.isfinite(x).all():
            raise ConfigError(f"{name}: expected finite numbers")
        return x.astype(np.float32)
    most = field.values
    if x.dtype.kind not in "iu" or x.min() < 0 or (most is not None and x.max() >= most):
        top = "" if most is None else f" to {most - 1}"
        raise ConfigError(
            f"{name}: {x.dtype} from {x.min()} to {x.max()}, expected integers from 0{top}"
        )
    return x.astype(field.dtype)
