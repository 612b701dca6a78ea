"""The whole page."""

from __future__ import annotations

import importlib.resources
import os
import time
from collections.abc import Sequence
from typing import Any

from jaxgen.files import write
from jaxgen.progress import stage
from jaxgen.report import sections, series
from jaxgen.report.markup import Markup, h, join, script_json
from jaxgen.report.ranking import Row, table, tally
from jaxgen.report.records import Entry, entries
from jaxgen.report.sections import chart, choice, downloads, section
from jaxgen.report.tables import everything, likelihoods, model_name, paired, verdict

# nothing is loaded from anywhere: a browser that knows the policy enforces it
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def rows_of(found: Sequence[Entry]) -> list[Row]:
    """All rows of the verdict, those of the cost too."""
    return table({entry.name: entry.measurements for entry in found})


def compare(
    runs: Sequence[str], out: str | os.PathLike[str] = "report.html", allow: str | None = None
) -> list[Entry]:
    """Writes the page of measured runs side by side.

    Args:
        runs: directories that `jaxgen eval` measured, each RUN or NAME=RUN.
        out: place of the page, `.html`.
        allow: folders into which links in them may lead, comma-separated.

    Returns:
        What was read.

    Raises:
        ConfigError: for a directory without measurements, one named twice, or two of one name.
        WriteError: see `files.atomic`.
    """
    found = entries(runs, allow)
    with stage("drawing the page"):
        text = page(found, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()))
    write(out, text.encode("utf-8", errors="backslashreplace"))
    return found


def page(found: Sequence[Entry], when: str) -> str:
    """The HTML of the comparison.

    Args:
        found: models, in the order of the columns.
        when: it was made, as text.
    """
    data = payload(found)
    content = [part for part in _content(found, data) if part is not None]
    names = ", ".join(entry.name for entry in found)
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", http_equiv="Content-Security-Policy", content=POLICY),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="generator", content="jaxgen compare"),
        h("title", f"{names}: compared by jaxgen"),
        h("style", static("page.css")),
    )
    scripts = [h("script", static(name)) for name in ("d3.min.js", "plot.min.js")]
    scripts.append(h("script", script_json(data), type="application/json", id="data"))
    scripts.append(h("script", static("page.js")))
    skip = h("a", "Skip to the verdict", href="#verdict", class_="skip")
    body = h("body", skip, _header(found, content, when), h("main", content), _footer(), scripts)
    return "<!doctype html>\n" + h("html", head, body, lang="en")


def static(name: str) -> Markup:
    """A file of this package."""
    here = importlib.resources.files("jaxgen.report") / "static" / name
    return Markup(here.read_text(encoding="utf-8"))


def payload(found: Sequence[Entry]) -> dict[str, Any]:
    """All that the script draws and saves."""
    return {
        "models": [entry.name for entry in found],
        "measurements": series.measurements(found),
        "planes": series.planes(found),
        "knobs": series.knobs(found),
        "histograms": series.histograms(found),
        "paired": series.paired(found),
        "points": series.points(found),
        "training": series.training(found),
    }


def _header(found: Sequence[Entry], content: Sequence[Markup], when: str) -> Markup:
    links = [h("a", text, href=f"#{ident}") for ident, text in NAVIGATION if _has(content, ident)]
    theme = h("button", "Dark or light", type="button", data_theme_toggle=True)
    data = list(dict.fromkeys(str(entry.data.get("name", "unknown data")) for entry in found))
    intro = f"{len(found)} model{'s' if len(found) > 1 else ''} on {', '.join(data)} · made {when}"
    return h(
        "header",
        h("div", h("p", "jaxgen compare", class_="brand"), theme, class_="top"),
        h("h1", join(*_listed(found))),
        h("p", intro, class_="lead"),
        h("nav", links, aria_label="Sections"),
    )


def _listed(found: Sequence[Entry]) -> list[Any]:
    out: list[Any] = []
    for i, entry in enumerate(found):
        out += [h("span", " vs ", class_="versus")] if i else []
        out.append(model_name(found, entry.name))
    return out


NAVIGATION = (
    ("verdict", "Verdict"),
    ("samples", "Samples"),
    ("plane", "Fidelity and diversity"),
    ("likelihood", "Likelihood"),
    ("training", "Training"),
    ("interpolations", "Interpolations"),
    ("reconstructions", "Reconstructions"),
    ("neighbours", "Nearest images"),
    ("cost", "Cost"),
    ("reproduce", "Reproduce"),
    ("numbers", "All numbers"),
)


def _has(content: Sequence[Markup], ident: str) -> bool:
    return any(part.startswith(f'<section id="{ident}"') for part in content)


def _content(found: Sequence[Entry], data: dict[str, Any]) -> list[Markup | None]:
    rows = rows_of(found)
    return [
        _verdict(found, [row for row in rows if row.group != "cost"]),
        sections.samples(found, data["points"]),
        _plane(data),
        _likelihood(found, data),
        _training(data),
        sections.strips(found),
        sections.reconstructions(found),
        sections.neighbours(found),
        _cost(found, [row for row in rows if row.group == "cost"]),
        sections.reproduce(found),
        section(
            "numbers",
            "All numbers",
            "Fingerprints name all that two numbers must share to be ranked.",
            downloads(("measurements", "All numbers")),
            h("details", h("summary", "Show the table"), everything(found)),
        ),
    ]


def _verdict(found: Sequence[Entry], rows: Sequence[Row]) -> Markup:
    lead = (
        "Ranked only where fingerprints are equal: same data, extractor, counts and bound. Bold "
        "is best beyond the 95 % intervals; where these overlap, no winner is named. A floor is "
        "what held-out real data reach."
    )
    counts = tally(rows, [entry.name for entry in found])
    cards = [
        h(
            "li",
            model_name(found, name),
            h("span", h("b", c["best"]), " best", class_="count"),
            h("span", h("b", c["tied"]), " within error of the best", class_="count"),
            h("span", f"of {c['ranked']} ranked", class_="count faint"),
        )
        for name, c in counts.items()
    ]
    caption = "Measurements and their 95 % intervals; a measurement's button orders the models"
    body = h("p", "Only cost was measured.")
    if rows:
        body = verdict(found, rows, caption, "verdict-table")
    tip = h("div", id="tip", role="tooltip", hidden=True)
    return section(
        "verdict",
        "Verdict",
        lead,
        _warning(found),
        h("ul", cards, class_="tally") if len(found) > 1 else None,
        body,
        downloads(("measurements", "Numbers")),
        tip,
    )


def _warning(found: Sequence[Entry]) -> Markup | None:
    """Says that models were measured on different data."""
    known = [{k: entry.data.get(k) for k in ("name", "sha256", "levels")} for entry in found]
    differing = [k for k in ("name", "sha256", "levels") if len({str(d[k]) for d in known}) > 1]
    if not differing:
        return None
    each = "; ".join(
        f"{entry.name}: {d['name']}, {d['levels'] or 'continuous'} levels, {str(d['sha256'])[:8]}"
        for entry, d in zip(found, known, strict=True)
    )
    text = (
        f"These models were measured on different data ({', '.join(differing)}), and numbers of "
        f"different data are not ranked. {each}."
    )
    return h("p", h("b", "Not all comparable. "), text, class_="warning")


PLANE_TABLES = (("planes", "Plane"), ("knobs", "Knobs"))


def _plane(data: dict[str, Any]) -> Markup | None:
    figures = []
    if data["planes"]:
        labels = [c["label"] for c in data["planes"]]
        caption = (
            "Up: samples look real. Right: they cover the data. A line joins one model's settings "
            "of temperature or truncation; bars are 95 % intervals."
        )
        figures.append(chart("plane", caption, choice("plane", "Measured by", labels)))
    if data["knobs"]:
        labels = [c["label"] for c in data["knobs"]]
        caption = "One measurement over each model's own knob; bands are 95 % intervals."
        figures.append(chart("knob", caption, choice("knob", "Measurement", labels)))
    if not figures:
        return None
    return section(
        "plane",
        "Fidelity and diversity",
        "A knob such as temperature or truncation trades variety for quality: models are curves, "
        "not points.",
        h("div", figures, class_="charts"),
        downloads(*(table for table in PLANE_TABLES if data[table[0]])),
    )


def _likelihood(found: Sequence[Entry], data: dict[str, Any]) -> Markup | None:
    if not data["histograms"]:
        return None
    figures = [
        (chart(f"histogram-{i}", _described(c)), likelihoods(found, c))
        for i, c in enumerate(data["histograms"])
    ]
    tables = [("histograms", "Histograms")]
    if data["paired"]:
        tables.append(("paired", "Differences"))
    return section(
        "likelihood",
        "Likelihood of train and test data",
        "Test examples that are less likely than training examples show overfitting. A high "
        "likelihood does not mean that an image belongs to these data: plainer foreign images "
        "may be given more.",
        figures,
        [paired(found, c) for c in data["paired"]],
        downloads(*tables),
    )


def _described(c: dict[str, Any]) -> str:
    n, unit = c["outside"], f", in {c['unit']}" if c["unit"] else ""
    beyond = f" {n:,} extreme example{'s' if n != 1 else ''} beyond the axis." if n else ""
    return f"{c['label']}{unit}: share of examples in each bin; dashed, the means.{beyond}"


def _training(data: dict[str, Any]) -> Markup | None:
    if not data["training"]:
        return None
    log = h("label", h("input", type="checkbox", data_choice="log"), h("span", "logarithmic"))
    select = choice("training", "Curve", [c["label"] for c in data["training"]])
    lead = "What each run logged; losses of different methods are not one quantity."
    figure = chart("training", "Over train steps.", select, log)
    return section("training", "Training", lead, figure, downloads(("training", "Curves")))


def _cost(found: Sequence[Entry], rows: Sequence[Row]) -> Markup | None:
    if not rows:
        return None
    lead = "Speed and memory depend on the device: those of different devices are not ranked."
    caption = "Cost; a measurement's button orders the models"
    return section("cost", "Cost", lead, verdict(found, rows, caption, "cost-table"))


def _footer() -> Markup:
    licences = h("pre", str(static("LICENSES.txt")), tabindex="0")
    return h(
        "footer",
        h("p", "Made by jaxgen (Apache-2.0). Charts: Observable Plot and D3 (ISC)."),
        h("details", h("summary", "Licences of what this page contains"), licences),
    )
