"""Measured numbers with all that they depend on, and the file that collects those of one model.

    measurements.json: {"source": {...}, "measurements": [M, ...]}

M has the fields of `Measurement`. A later measurement replaces an earlier one of the same name,
settings and fingerprint, or of a fingerprint that says less and nothing else.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.rundir import read_json, write_json

FILE = "measurements.json"
GROUPS = {  # in the order of pages
    "fidelity": "Fidelity",
    "diversity": "Diversity",
    "likelihood": "Likelihood",
    "latents": "Latents",
    "posterior": "Posteriors",
    "copying": "Copying",
    "cost": "Cost",
}
ABSENT = "(absent)"


@dataclasses.dataclass(frozen=True)
class Number:
    """What a number of a metric is; the metric's `NUMBERS` has it under its name.

    Attributes:
        title: as people read it.
        meaning: half a sentence.
        group: one of `GROUPS`.
        better: "lower", "higher" or "none".
        unit: "" for none.
        most: of a number in [0, most], to which intervals are cut; None for any number.
        extractor: whose features alone it may be of, where it is published under this name.
    """

    title: str
    meaning: str
    group: str = "fidelity"
    better: str = "lower"
    unit: str = ""
    most: float | None = None
    extractor: str = ""


class NotAvailable(Exception):
    """A metric that a model or its data cannot give; the message says why."""


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One number.

    Attributes:
        name: with the extractor's label behind a dash, where features are compared.
        value: itself; None if it is not finite.
        low: lower end of its 95 % interval, None where there is none.
        high: upper end.
        unit: "" for none.
        better: "lower", "higher" or "none".
        group: one of `GROUPS`.
        settings: knobs of sampling; {} for the defaults.
        fingerprint: flat, what must be equal for two numbers to be ranked.
        context: flat, stated and not compared.
        notes: sentences for whoever reads the number.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    better: str = "none"
    group: str = "fidelity"
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    fingerprint: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    context: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not finite are None, and a note says so."""
        out = dataclasses.asdict(self)
        out["notes"] = list(self.notes)
        if self.value is not None and not math.isfinite(self.value):
            out["notes"].append(f"not finite: {self.value}")
        for key in ("value", "low", "high"):
            number = out[key]
            out[key] = float(number) if number is not None and math.isfinite(number) else None
        for key in ("settings", "fingerprint", "context"):
            out[key] = {k: _plain(v) for k, v in out[key].items()}
        return out


def merged(old: Sequence[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Old measurements, as JSON, without those that the new ones replace, and the new ones."""
    new = list(new)
    return [m for m in old if not any(_replaces(n, m) for n in new)] + new


def save(
    folder: pathlib.Path, source: Mapping[str, Any], measurements: Iterable[Measurement]
) -> pathlib.Path:
    """Adds measurements to the file in a folder, atomically.

    Args:
        folder: of the file; made if there is none.
        source: what was measured.
        measurements: of it.

    Returns:
        The path of the file.
    """
    path = folder / FILE
    old = load(folder)["measurements"] if path.exists() else []
    new = (m.as_json() for m in measurements)
    write_json(path, {"source": dict(source), "measurements": merged(old, new)})
    return path


def load(folder: pathlib.Path) -> dict[str, Any]:
    """What `save` wrote.

    Raises:
        ConfigError: for a file that holds something else.
    """
    path = folder / FILE
    try:
        return read_json(path)
    except ConfigError as error:
        raise ConfigError(f"{error}; move it away to measure anew") from None


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    item = getattr(value, "item", None)
    return item() if item is not None else value


def _replaces(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether an old measurement is of what a new one is of, as far as it says."""
    if any(new.get(k) != old.get(k) for k in ("name", "settings")):
        return False
    said, says = old.get("fingerprint") or {}, new.get("fingerprint") or {}
    return all(name in says and says[name] == said[name] for name in said)


NORMAL = 1.959963984540054  # the quantile 0.975 of N(0, 1)


@dataclasses.dataclass(frozen=True)
class Interval:
    """An estimate.

    Attributes:
        value: itself.
        low: lower end of its 95 % interval; None where nothing is known of its spread.
        high: upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None


def of_draws(values: Iterable[float]) -> Interval:
    """The mean of a metric over independent sets of samples, with Student's interval.

    It holds what another seed of the sampler would change, and not what another reference set
    would. Resampling one set (a bootstrap) is no substitute for a distance: samples that occur
    twice add to its bias.

    Args:
        values: of the metric, one from each set; of a single one there is no interval.
    """
    from scipy.stats import t

    found = np.asarray(list(values), np.float64)
    mean = float(found.mean())
    if len(found) < 2:
        return Interval(mean)
    half = float(t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found)))
    return Interval(mean, mean - half, mean + half)


def of_stderr(value: float, stderr: float) -> Interval:
    """Value and 1.96 standard errors."""
    return Interval(value, value - NORMAL * stderr, value + NORMAL * stderr)


def of_share(share: float, count: int) -> Interval:
    """A share of independent examples, with the interval of Wilson 1927.

    For precision, recall and coverage it is too narrow: their examples share balls.
    """
    centre = (share + NORMAL**2 / (2 * count)) / (1 + NORMAL**2 / count)
    spread = share * (1 - share) / count + NORMAL**2 / (4 * count**2)
    half = NORMAL * math.sqrt(spread) / (1 + NORMAL**2 / count)
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))


Fingerprint = dict[str, Any]
SCALARS = (str, int, float, bool, type(None))


def fingerprint(*parts: Mapping[str, Any], **more: Any) -> Fingerprint:
    """Several mappings as one, in the order of its names.

    Args:
        *parts: later ones win.
        **more: wins over all.

    Raises:
        ConfigError: for a value that is no string, number, boolean or None.
    """
    joined: Fingerprint = {}
    for part in (*parts, more):
        joined |= part
    for name, value in joined.items():
        if not isinstance(value, SCALARS):
            raise ConfigError(f"fingerprint: {name} is {type(value).__name__}, expected a scalar")
    return {name: joined[name] for name in sorted(joined)}


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Name -> both values, of what is not equal; `ABSENT` stands for what is not there."""
    pairs = {k: (a.get(k, ABSENT), b.get(k, ABSENT)) for k in sorted(a.keys() | b.keys())}
    return {k: v for k, v in pairs.items() if v[0] != v[1] or len({type(x) is bool for x in v}) > 1}


def equal(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether numbers with these fingerprints may be ranked against each other."""
    return not differences(a, b)
