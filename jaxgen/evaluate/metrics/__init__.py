"""The metrics, one a file, found by name: `measure(comparison, "fd,pr")`.

A file gives `measure(comparison)`, which returns measurements; `NUMBERS`, what each of them is, by
the name that stands before the dash of an extractor's label; and, where images are not enough,
`NEEDS`: see `comparison.Need`. Its mathematics stands beside them.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from jaxgen.config import ConfigError, unknown
from jaxgen.evaluate.comparison import Comparison, model
from jaxgen.evaluate.measurement import Measurement, NotAvailable, Number
from jaxgen.progress import stage

ALL = "all"


@functools.cache
def rooms() -> Mapping[str, ModuleType]:
    """Name -> module of every metric."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names}


def number(name: str) -> tuple[Number, str] | None:
    """What a measurement is, and the rest of its name, as "8" of "swd_8"; None if none is known.

    Args:
        name: of a measurement, with or without the label of an extractor.
    """
    head = name.partition("@")[0].partition("-")[0]
    known = {k: found for room in rooms().values() for k, found in room.NUMBERS.items()}
    for prefix in (head, head.rpartition("_")[0]):
        if prefix in known:
            return known[prefix], head[len(prefix) + 1 :]
    return None


def chosen(metrics: str | Sequence[str], of_images: bool = False) -> tuple[str, ...]:
    """Names of metrics, from a comma-separated list or a sequence.

    Args:
        metrics: names of metrics, or of numbers that they give, as "fid"; "all" is all of them.
        of_images: "all" is of those that images are enough for.

    Raises:
        ConfigError: for an unknown name, with the nearest one; or no name at all.
    """
    every = [n for n, room in rooms().items() if not (of_images and model in _needs(room))]
    giving = {number: n for n, room in rooms().items() for number in room.NUMBERS}
    found: dict[str, None] = {}
    for name in _listed(metrics):
        if name == ALL:
            found |= dict.fromkeys(every)
        elif (metric := name if name in rooms() else giving.get(name)) is not None:
            found[metric] = None
        else:
            raise ConfigError(unknown("metric", name, [*rooms(), ALL]))
    if not found:
        raise ConfigError(f"no metric named; known: {', '.join([*rooms(), ALL])}")
    return tuple(found)


def check_published(metrics: str | Sequence[str], extractor: str | None) -> None:
    """Refuses the name of a published metric for features that it is not of.

    Args:
        metrics: see `chosen`.
        extractor: of the features, None for the default one.

    Raises:
        ConfigError: naming the metric of other features, and how to have the published one.
    """
    for name in _listed(metrics):
        for metric, room in rooms().items():
            known = room.NUMBERS.get(name)
            if known and known.extractor and known.extractor != (extractor or "").partition(":")[0]:
                raise ConfigError(
                    f"--metrics={name} is of the features of {known.extractor.title()}: add "
                    f"--extractor={known.extractor} (jaxgen weights {known.extractor} fetches it "
                    f"once), or take --metrics={metric}, of other features"
                )


def measure(
    comparison: Comparison,
    metrics: str | Sequence[str],
    say: Callable[[str], None] | None = None,
    lenient: bool = False,
) -> tuple[list[Measurement], dict[str, str]]:
    """Measures one metric after the other.

    Args:
        comparison: a subject beside real data.
        metrics: see `chosen`.
        say: is told what is being measured, None for silence.
        lenient: list what cannot be given, as for "all", and raise nothing.

    Returns:
        The measurements; and metric -> why not, of those that the subject cannot give.

    Raises:
        ConfigError: for images that cannot be measured; where metrics were asked for by name,
            also when none of them can be given.
    """
    by_name = not lenient and ALL not in _listed(metrics)
    found: list[Measurement] = []
    missing: dict[str, str] = {}
    for name in chosen(metrics):
        if say:
            say(f"measuring {name}")
        try:
            with stage(f"measuring {name}"):
                found += _measured(comparison, rooms()[name])
        except NotAvailable as reason:
            missing[name] = str(reason)
        except ConfigError as error:
            if by_name:
                raise
            missing[name] = str(error)
    if missing and not found and by_name:
        reasons = "; ".join(f"{name} is not available: {why}" for name, why in missing.items())
        raise ConfigError(reasons)
    return found, missing


def _measured(comparison: Comparison, room: ModuleType) -> list[Measurement]:
    """What a metric gives, with what it says of its numbers.

    Raises:
        NotAvailable: when it needs what the comparison has not.
    """
    for need in _needs(room):
        if reason := need(comparison):
            raise NotAvailable(reason)
    return [_filled(m) for m in room.measure(comparison)]


def _filled(m: Measurement) -> Measurement:
    known = number(m.name)
    assert known is not None, f"{m.name} is in no NUMBERS"
    of, _ = known
    m = dataclasses.replace(m, group=of.group, better=of.better, unit=of.unit)
    if of.most is None or m.low is None or m.high is None:
        return m
    return dataclasses.replace(m, low=max(m.low, 0.0), high=min(m.high, of.most))


def _needs(room: ModuleType) -> tuple[Any, ...]:
    return getattr(room, "NEEDS", ())


def _listed(metrics: str | Sequence[str]) -> list[str]:
    names = metrics.split(",") if isinstance(metrics, str) else metrics
    return [name.strip() for name in names if name.strip()]
