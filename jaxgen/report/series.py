"""What the charts draw: planes of fidelity and diversity, curves, histograms, points, training.

Everything is plain JSON. A chart never holds two fingerprints: each has its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.evaluate.measurement import differences, of_stderr
from jaxgen.report.numbers import pairs, title
from jaxgen.report.ranking import fewest, identity
from jaxgen.report.records import Entry, Measurement

PLANES = (("recall", "precision"), ("coverage", "density"))  # x: diversity, y: fidelity
BINS = 60
MOST_POINTS = 2000  # of one training curve on the page
MOST_NUMBER = 1e300  # of what is drawn
MARGIN = 0.15  # around real points, of their extent


def planes(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Fidelity against diversity: one chart for each pair of measurements and fingerprint.

    Returns:
        [{"label", "x", "y", "points": [{"model", "x", "y", "x_low", ..., "settings", "knob",
        "seed"}]}], those with most points first; a model's points are ordered by its knob.
    """
    charts: list[tuple[tuple[dict[str, Any], ...], dict[str, Any]]] = []
    for across, upwards in PLANES:
        for entry in entries:
            for x in entry.measurements:
                y = _partner(entry, x, across, upwards)
                if y is not None:
                    where = _chart(charts, (identity(x), identity(y)))
                    where.setdefault("x", _axis(x))
                    where.setdefault("y", _axis(y))
                    where.setdefault("points", []).append(_point(entry.name, x, y))
    return _labelled(charts, lambda c: f"{c['y']['title']} and {c['x']['title'].lower()}")


def _partner(entry: Entry, x: Measurement, across: str, upwards: str) -> Measurement | None:
    prefix, _, label = x.name.partition("-")
    if prefix != across or x.value is None:
        return None
    name = f"{upwards}-{label}" if label else upwards
    for y in entry.measurements:
        same = y.name == name and y.settings == x.settings and y.value is not None
        if same and not differences(x.fingerprint, y.fingerprint):
            return y
    return None


def _point(model: str, x: Measurement, y: Measurement) -> dict[str, Any]:
    ends = {"x_low": x.low, "x_high": x.high, "y_low": y.low, "y_high": y.high}
    return {"model": model, "x": x.value, "y": y.value} | ends | _knob(x)


def knobs(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """A measurement over the knob of the samplers: one chart for each fingerprint.

    Returns:
        As `planes`, with "y", "low" and "high" of each point and its "knob" as x; only
        measurements that some model has at two values of its knob.
    """
    charts: list[tuple[tuple[dict[str, Any], ...], dict[str, Any]]] = []
    for entry in entries:
        for m in entry.measurements:
            known = _knob(m)
            if known["knob"] is not None and m.value is not None:
                where = _chart(charts, (identity(m),))
                where.setdefault("y", _axis(m))
                point = {"model": entry.name, "y": m.value, "low": m.low, "high": m.high}
                where.setdefault("points", []).append(point | known)
    drawn = [(key, chart) for key, chart in charts if _several(chart["points"])]
    return _labelled(drawn, lambda c: c["y"]["title"])


def _several(points: Sequence[Mapping[str, Any]]) -> bool:
    values: dict[str, set[float]] = {}
    for point in points:
        values.setdefault(point["model"], set()).add(point["knob"])
    return max(map(len, values.values())) > 1


def _knob(m: Measurement) -> dict[str, Any]:
    """The settings, and their number where there is exactly one."""
    numbers = [
        v for v in m.settings.values() if isinstance(v, (int, float)) and not isinstance(v, bool)
    ]
    knob = float(numbers[0]) if len(m.settings) == 1 and numbers else None
    seed = m.context.get("seed", m.fingerprint.get("seed"))
    return {"settings": pairs(m.settings) or "default", "knob": knob, "seed": seed}


def _axis(m: Measurement) -> dict[str, str]:
    return {"name": m.name, "title": title(m.name)[0], "unit": m.unit, "better": m.better}


def _chart(charts: list[Any], key: tuple[dict[str, Any], ...]) -> dict[str, Any]:
    for other, chart in charts:
        if not any(differences(a, b) for a, b in zip(key, other, strict=True)):
            return chart
    charts.append((key, {}))
    return charts[-1][1]


def _labelled(charts: Sequence[Any], head: Any) -> list[dict[str, Any]]:
    """Charts by number of models, labelled by what tells those of one title apart."""
    out = []
    for key, chart in charts:
        shown = fewest(key[-1], [k[-1] for k, c in charts if head(c) == head(chart)])
        chart["label"] = head(chart) + (f" ({pairs(shown)})" if shown else "")
        order = sorted(
            chart["points"], key=lambda p: (p["model"], p["knob"] is None, p["knob"] or 0.0)
        )
        out.append(chart | {"points": order})
    return sorted(out, key=lambda c: -len({p["model"] for p in c["points"]}))


def histograms(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Per-example likelihoods of train and test data, in bins that models share.

    Returns:
        [{"label", "unit", "edges", "outside", "series": [{"model", "split", "share" [BINS],
        "count", "mean", "stderr"}]}], one for each name, unit, data and what of them is modelled
        given what; kinds of bound share one. The outermost thousandths are left out of the
        picture, "outside" examples in all.
    """
    groups: dict[tuple[Any, ...], list[tuple[str, str, np.ndarray]]] = {}
    for entry in entries:
        arrays = entry.arrays.get("likelihood", {})
        name, unit = str(arrays.get("name", "likelihood")), str(arrays.get("unit", ""))
        for split in ("train", "test"):
            values = np.asarray(arrays.get(split, ()), np.float64).ravel()
            if np.isfinite(values).any():
                known = values[np.isfinite(values)]
                key = name, unit, *_data(entry, name)
                groups.setdefault(key, []).append((entry.name, split, known))
    out = []
    for (name, unit, data, levels, _, about), found in groups.items():
        several = sum(key[:2] == (name, unit) for key in groups) > 1
        suffix = f" ({data}, {levels or 'no'} levels{about})" if several else ""
        ends = [np.quantile(v, (0.001, 0.999)) for _, _, v in found]
        low, high = min(e[0] for e in ends), max(e[1] for e in ends)
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        inside = sum(int(((v >= edges[0]) & (v <= edges[-1])).sum()) for _, _, v in found)
        series = [_histogram(model, split, v, edges) for model, split, v in found]
        outside = sum(len(v) for _, _, v in found) - inside
        chart = {"label": title(name)[0] + suffix, "unit": unit, "edges": edges.tolist()}
        out.append(chart | {"outside": outside, "series": series})
    return out


def _data(entry: Entry, name: str) -> tuple[Any, ...]:
    """Name, levels and hash of the data that a likelihood is of, and what of them it is of."""
    known = ([m.fingerprint for m in entry.measurements if m.name == name] or [{}])[-1]
    said = {k: known[k] for k in ("measure", "per", "of", "given") if known.get(k)}
    data = entry.data
    return (
        known.get("data", data.get("name")),
        known.get("levels", data.get("levels")),
        known.get("data_sha256", data.get("sha256")),
        f", {pairs(said)}" if said else "",
    )


def _histogram(model: str, split: str, values: np.ndarray, edges: np.ndarray) -> dict[str, Any]:
    count = len(values)
    stderr = float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else None
    share = np.histogram(values, edges)[0] / count
    numbers = {"count": count, "mean": float(values.mean()), "stderr": stderr}
    return {"model": model, "split": split, "share": share.tolist()} | numbers


def paired(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Differences of likelihoods example by example, of each pair of models that may be compared.

    Two models may where their numbers would be ranked: the same test examples, levels and kind of
    bound. What makes an example hard is hard for both, so that the standard error of the mean
    difference is below what those of the two means suggest.

    Returns:
        [{"label", "unit", "better", "pairs": [{"model", "minus", "difference", "low", "high",
        "count"}]}], with 1.96 standard errors.
    """
    groups: list[tuple[tuple[dict[str, Any], ...], dict[str, Any]]] = []
    for entry in entries:
        found = _per_example(entry)
        if found is None:
            continue
        m, values = found
        key = {k: v for k, v in identity(m).items() if k != "num_real"}
        group = _chart(groups, (key | {"examples": len(values)},))
        group.setdefault("measured", m)
        group.setdefault("values", []).append((entry.name, values))
    out = []
    for _, group in groups:
        m, models = group["measured"], group["values"]
        made = [_pair(*a, *b) for i, a in enumerate(models) for b in models[i + 1 :]]
        if made:
            head = {"label": title(m.name)[0], "unit": m.unit, "better": m.better}
            out.append(head | {"pairs": made})
    return out


def _per_example(entry: Entry) -> tuple[Measurement, np.ndarray] | None:
    """Likelihoods of test examples, and the measurement that says what they are."""
    arrays = entry.arrays.get("likelihood", {})
    values = np.asarray(arrays.get("test", ()), np.float64).ravel()
    known = [m for m in entry.measurements if m.name == str(arrays.get("name", ""))]
    if len(values) < 2 or not known or not np.isfinite(values).all():
        return None
    whole = [m for m in known if m.fingerprint.get("num_real") == len(values)]
    return (whole or known)[-1], values


def _pair(model: str, values: np.ndarray, minus: str, others: np.ndarray) -> dict[str, Any]:
    apart = values - others
    count = len(apart)
    found = of_stderr(float(apart.mean()), float(apart.std(ddof=1) / np.sqrt(count)))
    ends = {"difference": found.value, "low": found.low, "high": found.high}
    return {"model": model, "minus": minus} | ends | {"count": count}


def points(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Real and generated points of the plane.

    Returns:
        [{"model", "split", "x", "y", "real", "generated", "outside"}]: "x" and "y" are what the
        real points span, and a margin; "outside" counts generated points beyond it.
    """
    out = []
    for entry in entries:
        arrays = entry.arrays.get("points")
        if not arrays or any(arrays[k].shape[1:] != (2,) for k in ("real", "generated")):
            continue
        real, made = (np.asarray(arrays[k], np.float64) for k in ("real", "generated"))
        low, high = real.min(0), real.max(0)
        low, high = low - MARGIN * (high - low), high + MARGIN * (high - low)
        inside = ((made >= low) & (made <= high)).all(1)
        ends = {k: [_short(low[i]), _short(high[i])] for i, k in enumerate("xy")}
        drawn = {"real": real, "generated": made[np.isfinite(made).all(1)]}
        out.append(
            {"model": entry.name, "split": str(arrays.get("split", ""))}
            | ends
            | {k: [[_short(v) for v in row] for row in x] for k, x in drawn.items()}
            | {"outside": int((~inside).sum())}
        )
    return out


def _short(value: float) -> float:
    """Five digits, for the size of the page."""
    return float(f"{value:.5g}")


def training(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Curves of `metrics.jsonl`: [{"label", "series": [{"model", "steps", "values", "thinned"}]}].

    Held-out curves come first, then those that most models have; numbers that are not finite
    are left out.
    """
    curves: dict[str, dict[str, tuple[list[int], list[float]]]] = {}
    for entry in entries:
        for row in entry.curves:
            split = str(row.get("split", "train"))
            for key, value in row.items():
                if key in ("step", "split") or not isinstance(value, (int, float)):
                    continue
                if not abs(value) < MOST_NUMBER:
                    continue
                label = f"{split.removeprefix('eval_')}/{key}"
                steps, values = curves.setdefault(label, {}).setdefault(entry.name, ([], []))
                steps.append(int(row["step"]))
                values.append(float(value))
    order = sorted(curves, key=lambda k: (not k.startswith("test/"), -len(curves[k]), k))
    order.sort(key=lambda k: k.endswith(("per_second", "grad_norm", "learning_rate")))
    return [
        {"label": label, "series": [_thin(model, *c) for model, c in curves[label].items()]}
        for label in order
    ]


def _thin(model: str, steps: list[int], values: list[float]) -> dict[str, Any]:
    stride = -(-len(steps) // MOST_POINTS)
    kept = slice((len(steps) - 1) % stride, None, stride)  # the last point stays
    points = {"steps": steps[kept], "values": values[kept]}
    return {"model": model} | points | {"thinned": stride}


def measurements(entries: Sequence[Entry]) -> dict[str, Any]:
    """Every number as a table {"columns", "rows"}; mappings as JSON text."""
    columns = "model name group settings value low high unit better fingerprint context notes"
    rows = [
        [
            entry.name,
            m.name,
            m.group,
            json.dumps(dict(m.settings), default=str),
            m.value,
            m.low,
            m.high,
            m.unit,
            m.better,
            json.dumps(dict(m.fingerprint), default=str),
            json.dumps(dict(m.context), default=str),
            "; ".join(m.notes),
        ]
        for entry in entries
        for m in entry.measurements
    ]
    return {"columns": columns.split(), "rows": rows}
