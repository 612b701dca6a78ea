"""The rows of `metrics.jsonl`: read, judged one by one, and moved aside when they are not to stay.

A line that is no row never stops anybody, and never vanishes: readers name it and go on, and a run
that resumes moves it to `metrics.rejected.jsonl`, byte for byte. Rows of steps that a resumed run
takes again are moved to `metrics.again.jsonl`.
"""

from __future__ import annotations

import json
import math
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from jaxgen.files import WriteError, write

REJECTED, AGAIN = "metrics.rejected.jsonl", "metrics.again.jsonl"
NOT_FINITE = ("nan", "inf", "-inf")  # how numbers are written that JSON does not have


def row(line: bytes) -> dict[str, Any] | None:
    """The row of a line: `{"step": N, "split": NAME, name: number, ...}`; None if it is no row."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):  # not UTF-8 is a ValueError, too
        return None
    if not isinstance(found, dict) or not isinstance(found.get("split"), str):
        return None
    step = found.get("step")
    if type(step) is not int or not 0 <= step < 2**63:
        return None
    values = (v for k, v in found.items() if k not in ("step", "split"))
    return found if all(map(_is_number, values)) else None


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return value in NOT_FINITE
    if type(value) is int:
        return abs(value) < 2**1023
    return isinstance(value, float)


def aloud(text: str) -> None:
    """Where readers' messages go: standard output is for what was asked for."""
    print(text, file=sys.stderr, flush=True)


def read(path: pathlib.Path, say: Callable[[str], None] = aloud) -> list[dict[str, Any]]:
    """The rows of a file; [] without one. Lines that are none are named in one line.

    Raises:
        OSError: where it cannot be read.
    """
    if not path.exists():
        return []
    rows, odd = [], []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            found = row(line)
            if found is not None:
                rows.append(found)
            elif line.strip():
                odd.append(number)
    if odd:
        say(f"{path}: {_lines(odd)} no row of metrics and not used")
    return rows


def resume(path: pathlib.Path, step: int, say: Callable[[str], None]) -> None:
    """Leaves the rows up to a step, and moves the others and what is no row to files beside it.

    A file that has nothing else is left as it is.

    Raises:
        WriteError: where they cannot be written; nothing has been lost then.
    """
    if not path.exists():
        return
    kept, again, odd, numbers = [], [], [], []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            found = row(line)
            if found is None:
                if line.strip():
                    odd.append(line)
                    numbers.append(number)
            else:
                (kept if found["step"] <= step else again).append(line)
    if again:
        _append(path.with_name(AGAIN), again)
        say(
            f"{path}: {len(again)} rows of steps after {step}, which are taken again, moved to "
            f"{AGAIN}"
        )
    if odd:
        _append(path.with_name(REJECTED), odd)
        say(f"{path}: {_lines(numbers)} no row of metrics, moved to {REJECTED}")
    if again or odd or (kept and not kept[-1].endswith(b"\n")):
        write(path, b"".join(map(_ended, kept)))


def _append(path: pathlib.Path, lines: list[bytes]) -> None:
    before = path.stat().st_size if path.exists() else 0
    data = b"".join(map(_ended, lines))
    try:
        with open(path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if path.exists() and path.stat().st_size > before:
            os.truncate(path, before)
        raise WriteError(path, error, len(data)) from error


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


def _lines(numbers: list[int]) -> str:
    """As "line 7 is", or "lines 7, 9 and 12 more are"."""
    if len(numbers) == 1:
        return f"line {numbers[0]} is"
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return f"lines {', '.join(map(str, numbers[:5]))}{more} are"


def finite(value: float) -> float | str:
    """A number as rows hold it."""
    return float(value) if math.isfinite(value) else str(float(value))
