"""Who is ahead on a measurement: only equal fingerprints are ranked, and only beyond the error.

Two numbers whose 95 % intervals overlap are called equal, which is stricter than a test of their
difference at 5 %.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.evaluate.measurement import ABSENT, GROUPS, differences
from jaxgen.report.records import Measurement

EXACT = ("parameters", "peak_bytes")  # counted, not estimated: they need no interval

# A status of a cell:
#   best      better than every comparable number, beyond the intervals
#   tied      the best, or one whose interval overlaps that of the best
#   ahead     the best value, but an interval is missing: what it is worth is not known
#   worse     some comparable number is better, beyond the intervals or with an interval missing
#   alone     nothing else has its fingerprint
#   differs   its fingerprint is not that of the row: never ranked
#   unranked  neither direction is better
#   missing   no value


@dataclasses.dataclass(frozen=True)
class Cell:
    """A number and what may be said of it.

    Attributes:
        measurement: the number.
        status: one of those above.
        place: 0 for the best value among the comparable; None if it is not ranked.
        differences: key of the fingerprint -> (its value, that of the row), for "differs".
    """

    measurement: Measurement
    status: str
    place: int | None = None
    differences: Mapping[str, tuple[Any, Any]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Row:
    """One measurement of all models.

    Attributes:
        name: of the measurement, without the hash of weights.
        group: one of `GROUPS`.
        better: "lower", "higher" or "none".
        unit: "" for none.
        qualifier: fingerprint keys and values that tell it from other rows of the name.
        cells: model -> cell; a model without such a measurement is not in it.
    """

    name: str
    group: str
    better: str
    unit: str
    qualifier: Mapping[str, Any]
    cells: Mapping[str, Cell]


def identity(measurement: Measurement) -> dict[str, Any]:
    """All that must be equal for two numbers of one name to be ranked together."""
    whole = {"name": measurement.name, "unit": measurement.unit, "better": measurement.better}
    return whole | dict(measurement.fingerprint)


def fewest(key: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Few fields that tell a fingerprint from others: short ones, hashes only at need."""

    def unread(name: str) -> tuple[bool, bool, int, str]:
        value = key.get(name, ABSENT)
        hashed = name == "name" or name.endswith("sha256")
        return value == ABSENT, hashed, len(str(value)), name

    apart = [found for other in others if (found := differences(key, other))]
    chosen = {}
    while apart:
        names = sorted({name for found in apart for name in found}, key=unread)
        best = max(names, key=lambda name: sum(name in found for found in apart))
        chosen[best] = key.get(best, ABSENT)
        apart = [found for found in apart if best not in found]
    return chosen


def table(models: Mapping[str, Sequence[Measurement]]) -> list[Row]:
    """Rows of the verdict, by group and in the order of first appearance.

    Every fingerprint that two models share has a row. A number that nobody shares stands in a
    row of its name with what differs, or in a row of its own where that place is taken.

    Args:
        models: name of the model -> its measurements.
    """
    names: dict[tuple[str, str], None] = {}
    for found in models.values():
        names.update(dict.fromkeys((m.group, m.name.split("@")[0]) for m in found))
    order = {group: i for i, group in enumerate(GROUPS)}
    rows = []
    for group, name in sorted(names, key=lambda n: order.get(n[0], len(order))):
        rows += _rows(name, group, models)
    return rows


def _rows(name: str, group: str, models: Mapping[str, Sequence[Measurement]]) -> list[Row]:
    classes: list[tuple[dict[str, Any], dict[str, Measurement]]] = []
    for model, found in models.items():
        for m in found:
            if m.group == group and m.name.split("@")[0] == name:
                _enter(classes, model, m)
    classes.sort(key=lambda c: -len(c[1]))  # stable
    shared = [c for c in classes if len(c[1]) > 1] or classes[:1]
    places = [dict(members) for _, members in shared]
    keys = [key for key, _ in shared]
    for key, members in classes[len(shared) :]:
        for model, m in members.items():
            free = next((p for p in places if model not in p), None)
            if free is None:
                places.append(free := {})
                keys.append(key)
            free[model] = m
    telling = _telling(keys)
    return [
        _row(name, group, key, {k: key.get(k, ABSENT) for k in telling}, members)
        for key, members in zip(keys, places, strict=True)
    ]


def _enter(
    classes: list[tuple[dict[str, Any], dict[str, Measurement]]], model: str, m: Any
) -> None:
    """Adds a number to its class; that of the default settings stands for a model."""
    key = identity(m)
    for other, members in classes:
        if not differences(key, other):
            if model not in members or (members[model].settings and not m.settings):
                members[model] = m
            return
    classes.append((key, {model: m}))


def _telling(keys: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that tell rows of one name apart."""
    found: dict[str, None] = {}
    for key in keys[1:]:
        found.update(dict.fromkeys(differences(keys[0], key)))
    return list(found)


def _row(
    name: str,
    group: str,
    key: Mapping[str, Any],
    qualifier: Mapping[str, Any],
    members: Mapping[str, Measurement],
) -> Row:
    apart = {model: differences(identity(m), key) for model, m in members.items()}
    equal = {model: m for model, m in members.items() if not apart[model]}
    judged = rank(equal)
    cells = {
        model: Cell(m, "differs", None, apart[model]) if apart[model] else judged[model]
        for model, m in members.items()
    }
    return Row(name, group, key["better"], key["unit"], qualifier, cells)


def rank(members: Mapping[str, Measurement]) -> dict[str, Cell]:
    """What may be said of numbers whose fingerprints are all equal."""
    valued = {model: m for model, m in members.items() if m.value is not None}
    cells = {model: Cell(m, "missing") for model, m in members.items()}
    better = {m.better for m in valued.values()}
    if better == {"none"}:
        return cells | {model: Cell(m, "unranked") for model, m in valued.items()}
    if len(valued) == 1:
        return cells | {model: Cell(m, "alone") for model, m in valued.items()}
    sign = -1 if better == {"higher"} else 1
    ordered = sorted(valued, key=lambda model: sign * valued[model].value)
    first = valued[ordered[0]] if ordered else None
    rivals = {model: _against(first, valued[model], sign) for model in ordered[1:]}
    for model in ordered:
        place = next(i for i, o in enumerate(ordered) if valued[o].value == valued[model].value)
        status = rivals[model] if model in rivals else _status_of_first(set(rivals.values()))
        status = "worse" if status == "unknown" else status
        cells[model] = Cell(valued[model], status, place)
    return cells


def _against(first: Measurement, rival: Measurement, sign: int) -> str:
    """What a rival of the best value is: "tied", "worse", or "unknown" without an interval."""
    if rival.value == first.value:
        return "tied"
    (low, high), (other_low, other_high) = _interval(first), _interval(rival)
    if None in (low, high, other_low, other_high):
        return "unknown"
    apart = high < other_low if sign > 0 else low > other_high
    return "worse" if apart else "tied"


def _status_of_first(rivals: set[str]) -> str:
    if "tied" in rivals:
        return "tied"
    return "ahead" if "unknown" in rivals else "best"


def _interval(m: Measurement) -> tuple[float | None, float | None]:
    if m.low is None and m.high is None and m.name.startswith(EXACT):
        return m.value, m.value
    return m.low, m.high


def tally(rows: Sequence[Row], models: Sequence[str]) -> dict[str, dict[str, int]]:
    """Model -> how many rows it is best in, within error of the best, and ranked at all."""
    counts = {model: {"best": 0, "tied": 0, "ranked": 0} for model in models}
    for row in rows:
        for model, cell in row.cells.items():
            counts[model]["ranked"] += cell.place is not None
            if cell.status in ("best", "tied"):
                counts[model][cell.status] += 1
    return counts
