"""The tables of numbers: verdict, cost, all numbers, configs. They need no script to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.evaluate.measurement import ABSENT, GROUPS
from jaxgen.report.markup import Markup, h
from jaxgen.report.numbers import interval, number, pairs, plain, quantity, title
from jaxgen.report.ranking import EXACT, Cell, Row, fewest
from jaxgen.report.records import Entry, Measurement

ARROWS = {"lower": ("↓", "lower is better"), "higher": ("↑", "higher is better")}
BADGES = {
    "best": ("best", "best, beyond the 95 % intervals"),
    "tied": ("within error", "its interval overlaps that of the best"),
    "ahead": ("no interval", "the best value, but an interval is missing"),
    "differs": ("not comparable", "another fingerprint: not ranked"),
    "equal": ("equal", "the best, and another has the same"),
    "alone": ("alone", "nothing on this page has the same fingerprint"),
}


def model_name(entries: Sequence[Entry], name: str) -> Markup:
    """A model with its colour and the symbol that its points have."""
    index = [e.name for e in entries].index(name)
    mark = h("span", class_=f"mark m{index % 8}", aria_hidden="true", data_mark=index)
    return h("span", mark, h("span", name), class_="model")


def verdict(entries: Sequence[Entry], rows: Sequence[Row], caption: str, ident: str) -> Markup:
    """Rows of measurements, columns of models; each row's button orders the columns by it."""
    groups = list(dict.fromkeys(row.group for row in rows))
    head = h(
        "tr",
        h("th", h("button", "Measurement", type="button", data_sort_rows=True), scope="col"),
        [h("th", model_name(entries, e.name), scope="col", data_model=e.name) for e in entries],
    )
    bodies = []
    for group in groups:
        heading = h("th", GROUPS.get(group, group), scope="rowgroup", colspan=len(entries) + 1)
        found = [row for row in rows if row.group == group]
        lines = [_row(entries, row, found, f"{ident}-{group}-{i}") for i, row in enumerate(found)]
        bodies.append(h("tbody", h("tr", heading, class_="group"), lines))
    table = h("table", h("caption", caption), h("thead", head), bodies, class_="verdict", id=ident)
    return scrolled(table, caption)


def scrolled(table: Markup, label: str) -> Markup:
    """A table that scrolls sideways on a narrow screen, by keyboard too."""
    return h("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def _row(entries: Sequence[Entry], row: Row, rows: Sequence[Row], ident: str) -> Markup:
    name, meaning = title(row.name)
    telling = fewest(row.qualifier, [other.qualifier for other in rows if other.name == row.name])
    arrow, words = ARROWS.get(row.better, ("", ""))
    places = {model: cell.place for model, cell in row.cells.items() if cell.place is not None}
    label = [h("span", name, class_="name")]
    if arrow:
        label.append(h("span", f" {arrow}", aria_hidden="true", class_="arrow"))
        label.append(h("span", f", {words}", class_="hidden"))
    sortable = len(places) > 1
    first = h("button", label, type="button", data_sort_columns=True) if sortable else label
    under = [h("code", row.name) if name != row.name else None, _unit(row.unit)]
    header = h(
        "th",
        first,
        h("span", under, class_="under"),
        h("span", meaning, class_="meaning") if meaning else None,
        h("span", f"here: {pairs(telling)}", class_="meaning here") if telling else None,
        scope="row",
        data_name=name,
    )
    cells = [
        _cell(e.name, row, row.cells.get(e.name), f"{ident}-{i}") for i, e in enumerate(entries)
    ]
    return h("tr", header, cells, data_row=row.name)


def _unit(unit: str) -> Markup | None:
    return h("span", f" {unit}", class_="unit") if unit not in ("", "bytes", "s") else None


def _cell(model: str, row: Row, cell: Cell | None, ident: str) -> Markup:
    if cell is None:
        return h("td", h("span", "—", title="not measured"), class_="none", data_model=model)
    m = cell.measurement
    value = quantity(m.value, m.low, m.high, m.unit)
    between = interval(m.value, m.low, m.high, m.unit)
    badge, _ = BADGES.get(_status(cell), ("", ""))
    floor = _floor(m)
    differing = ", ".join(cell.differences)
    if cell.status == "differs":
        badge = f"{badge}: {differing}"
    button = h(
        "button",
        h("strong" if cell.status == "best" else "span", value, class_="value"),
        h("span", between, class_="interval") if between else None,
        h("span", pairs(m.settings), class_="settings") if m.settings else None,
        h("span", f"floor {number(floor)}", class_="settings") if floor is not None else None,
        h("span", badge, class_="badge") if badge else None,
        h("span", "biased", class_="badge note") if any("biased" in n for n in m.notes) else None,
        type="button",
        class_="cell",
        aria_describedby=ident,
        data_tip=ident,
    )
    return h(
        "td",
        button,
        h("div", _facts(model, cell), id=ident, class_="facts", hidden=True),
        class_=cell.status,
        data_model=model,
        data_place=cell.place,
    )


def _status(cell: Cell) -> str:
    """As `Cell` has it, but counted numbers have no error to be within."""
    counted = cell.measurement.name.startswith(EXACT)
    return "equal" if cell.status == "tied" and counted else cell.status


def _floor(m: Measurement) -> float | None:
    """Of the same quantity: a ratio has a floor of its own, an extrapolation none."""
    prefix = m.name.partition("-")[0]
    if prefix.endswith("_inf"):
        return None
    return m.context.get("floor_ratio" if prefix.endswith("_ratio") else "floor")


def _facts(model: str, cell: Cell) -> Markup:
    """What hovering over a number, or focus, tells."""
    m = cell.measurement
    lines: list[Any] = [h("strong", f"{model}: {m.name}")]
    exact = "not measured" if m.value is None else f"{m.value:.6g} {m.unit}".strip()
    if m.low is not None and m.high is not None:
        exact += f", 95 % interval {m.low:.6g} to {m.high:.6g}"
    elif m.value is not None:
        exact += ", no interval"
    lines.append(h("p", exact))
    if words := BADGES.get(_status(cell), ("", ""))[1]:
        lines.append(h("p", words))
    for key, (here, there) in cell.differences.items():
        lines.append(h("p", f"{key}: {plain(here)}; in this row {plain(there)}", class_="apart"))
    if any(ABSENT in both for both in cell.differences.values()):
        lines.append(h("p", "what is absent was not said: measure it again", class_="apart"))
    lines += [h("p", note, class_="apart") for note in m.notes]
    for name, values in (
        ("settings", m.settings),
        ("fingerprint", m.fingerprint),
        ("context", m.context),
    ):
        if values:
            lines.append(h("p", h("b", f"{name} "), pairs(values)))
    return h("div", lines)


def everything(entries: Sequence[Entry]) -> Markup:
    """All measurements, one a row, at all settings."""
    heads = ("Model", "Measurement", "Settings", "Value", "95 % interval", "Unit", "Fingerprint")
    buttons = [
        h("th", h("button", text, type="button", data_sort_by=i) if i < 3 else text, scope="col")
        for i, text in enumerate(heads)
    ]
    rows = []
    for entry in entries:
        for m in entry.measurements:
            cells = [
                h("td", h("code", m.name)),
                h("td", pairs(m.settings) or "default"),
                h("td", number(m.value, m.low, m.high), class_="number"),
                h("td", interval(m.value, m.low, m.high, ""), class_="number"),
                h("td", m.unit),
                h("td", pairs(m.fingerprint), class_="long"),
            ]
            name = h("th", model_name(entries, entry.name), scope="row", data_name=entry.name)
            rows.append(h("tr", name, cells))
    caption = "Every number, at every setting of the samplers"
    body = h("table", h("caption", caption), h("thead", h("tr", buttons)), h("tbody", rows))
    return scrolled(body, caption)


def likelihoods(entries: Sequence[Entry], chart: Mapping[str, Any]) -> Markup:
    """Means and standard errors of a histogram."""
    heads = ("Model", "Split", "Mean", "Standard error", "Examples")
    rows = []
    for s in chart["series"]:
        spread = s["stderr"] or 0.0
        mean = number(s["mean"], s["mean"] - 1.96 * spread, s["mean"] + 1.96 * spread)
        error = "—" if s["stderr"] is None else f"{s['stderr']:.2g}"
        cells = [s["split"], mean, error, f"{s['count']:,}"]
        name = h("th", model_name(entries, s["model"]), scope="row")
        rows.append(h("tr", name, [h("td", cell, class_="number") for cell in cells]))
    caption = f"{chart['label']}: means over examples"
    head = h("thead", h("tr", [h("th", text, scope="col") for text in heads]))
    return scrolled(h("table", h("caption", caption), head, h("tbody", rows)), caption)


def paired(entries: Sequence[Entry], chart: Mapping[str, Any]) -> Markup:
    """Mean differences of pairs of models over the same test examples."""
    heads = ("Models", "Mean difference", "95 % interval", "Examples", "Better")
    rows = []
    for p in chart["pairs"]:
        value, low, high = p["difference"], p["low"], p["high"]
        ahead = p["model"] if (value < 0) == (chart["better"] == "lower") else p["minus"]
        apart = low > 0 or high < 0
        both = (model_name(entries, p["model"]), " minus ", model_name(entries, p["minus"]))
        cells = [number(value, low, high), interval(value, low, high, ""), f"{p['count']:,}"]
        better = model_name(entries, ahead) if apart else "neither, within the error"
        line = [h("td", cell, class_="number") for cell in cells]
        rows.append(h("tr", h("th", both, scope="row"), line, h("td", better)))
    unit = f", in {chart['unit']}" if chart["unit"] else ""
    caption = (
        f"{chart['label']}{unit}: differences of two models on the same test examples, surer than "
        "the two means; another training is not in the interval"
    )
    head = h("thead", h("tr", [h("th", text, scope="col") for text in heads]))
    return scrolled(h("table", h("caption", caption), head, h("tbody", rows)), caption)


def config_differences(configs: Mapping[str, Mapping[str, Any]]) -> tuple[list, list]:
    """Rows (key, values by model) of what differs: where all models have the key, and the rest."""
    keys = sorted({key for config in configs.values() for key in config})
    shared, partial = [], []
    for key in keys:
        values = [config.get(key, ABSENT) for config in configs.values()]
        if all(key in config for config in configs.values()):
            if any(value != values[0] for value in values):
                shared.append((key, values))
        else:
            partial.append((key, values))
    return shared, partial


def differing(entries: Sequence[Entry], rows: Sequence[tuple[str, list]], caption: str) -> Markup:
    """A table of config keys and their values by model."""
    head = [h("th", "Key", scope="col")]
    head += [h("th", model_name(entries, e.name), scope="col") for e in entries]
    body = [
        h("tr", h("th", h("code", key), scope="row"), [h("td", plain(v)) for v in values])
        for key, values in rows
    ]
    table = h("table", h("caption", caption), h("thead", h("tr", head)), h("tbody", body))
    return scrolled(table, caption)
