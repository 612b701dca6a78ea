"""Numbers and names as people read them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from jaxgen.evaluate import metrics


def title(name: str) -> tuple[str, str]:
    """Title and explanation of a measurement; its own name and "" for one that is not known."""
    if (found := metrics.number(name)) is None:
        return name, ""
    of, rest = found
    return (f"{of.title}, {rest}" if rest else of.title), of.meaning


def number(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """A value, to two digits of its interval where there is one, otherwise to four digits."""
    if value is None:
        return "—"
    if low is not None and high is not None and 0 < high - low < math.inf:
        places = 1 - math.floor(math.log10((high - low) / 2))
        if 0 <= places <= 6 and abs(value) < 1e6:
            return f"{value:,.{places}f}"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"
    return f"{value:.3e}"


def quantity(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """`number`, but bytes in KiB, MiB or GiB, and less than a second in milliseconds."""
    if unit not in ("bytes", "s") or value is None:
        return number(value, low, high)
    scale, name = _scale(value, unit)
    if unit == "bytes":
        return f"{value / scale:,.1f} {name}"
    ends = (None if end is None else end / scale for end in (low, high))
    return f"{number(value / scale, *ends)} {name}"


def _scale(value: float, unit: str) -> tuple[float, str]:
    if unit == "s":
        return (1.0, "s") if value >= 1 else (1e-3, "ms")
    sizes = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
    return next((s for s in sizes if value >= s[0]), sizes[-1])


def interval(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    """The interval in the decimals of the value; "" where there is none."""
    if value is None or low is None or high is None or low == high:
        return ""
    if unit == "bytes":
        return f"{quantity(low, None, None, unit)} to {quantity(high, None, None, unit)}"
    if unit == "s":
        scale, _ = _scale(value, unit)
        value, low, high = value / scale, low / scale, high / scale
    places = 1 - math.floor(math.log10((high - low) / 2)) if high > low else 0
    if 0 <= places <= 6 and abs(value) < 1e6:
        return f"{low:,.{places}f} to {high:,.{places}f}"
    return f"{number(low)} to {number(high)}"


def pairs(values: Mapping[str, Any]) -> str:
    """`a=1, b=x`; hashes are cut to eight characters."""
    return ", ".join(f"{key}={plain(value)}" for key, value in values.items())


def plain(value: Any) -> str:
    """A value of a fingerprint or a config on one line."""
    if isinstance(value, str):
        long = len(value) >= 32 and all(c in "0123456789abcdef" for c in value)
        return value[:8] if long else value
    if isinstance(value, float):
        return f"{value:.6g}"
    return json.dumps(value, default=str)
