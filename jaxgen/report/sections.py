"""The sections of the page that show pictures and charts, and how to reproduce them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.report.drawings import Sheet, sheet, zoom
from jaxgen.report.markup import Markup, h
from jaxgen.report.numbers import number, plain
from jaxgen.report.records import Entry
from jaxgen.report.tables import config_differences, differing, model_name, scrolled

MOST_SAMPLES, MOST_NEIGHBOURS, MOST_PAIRS, MOST_ROWS = 64, 8, 16, 8
PAIRS_A_ROW = 8


def section(ident: str, heading: str, lead: str, *content: Any) -> Markup:
    """A section with its heading and one sentence."""
    label = f"{ident}-heading"
    head = [h("h2", heading, id=label), h("p", lead, class_="lead")]
    return h("section", head, content, id=ident, aria_labelledby=label)


def downloads(*tables: tuple[str, str]) -> Markup:
    """Buttons that save tables of the page's data, (key, what it is called)."""
    buttons = [
        h("button", f"{text} as {kind.upper()}", type="button", data_save=key, data_kind=kind)
        for key, text in tables
        for kind in ("csv", "json")
    ]
    return h("p", buttons, class_="downloads")


def chart(key: str, label: str, *controls: Any) -> Markup:
    """Where the script draws a chart."""
    return h(
        "figure",
        h("div", controls, class_="controls") if controls else None,
        h("div", h("p", "Charts need JavaScript.", class_="lead"), class_="chart", data_chart=key),
        h("figcaption", label),
        class_="charting",
    )


def choice(key: str, text: str, options: Sequence[str]) -> Markup:
    """A select that the script listens to."""
    shown = [h("option", option, value=i) for i, option in enumerate(options)]
    select = h("select", shown, id=f"choose-{key}", data_choice=key)
    return h("label", h("span", text), select, for_=f"choose-{key}")


def levels(entry: Entry) -> int | None:
    """Grey levels of an entry's images; None for images in [0, 1]."""
    found = entry.arrays.get("images", {}).get("levels", entry.data.get("levels"))
    if found is None or (isinstance(found, np.ndarray) and found.dtype == object):
        return None
    value = int(np.asarray(found))
    return value if value > 1 else None


def picture(drawn: Sheet, alt: str, target: int = 288, **attributes: Any) -> Markup:
    """An <img>, enlarged by a whole factor where it fits."""
    factor = zoom(drawn.width, target)
    return h(
        "img",
        src=drawn.url,
        alt=alt,
        width=drawn.width * factor,
        height=drawn.height * factor,
        class_="pixels" if drawn.width <= target else "smooth",
        **attributes,
    )


def _images(entry: Entry, kind: str, key: str, ndim: int) -> np.ndarray | None:
    x = entry.arrays.get(kind, {}).get(key)
    return x if x is not None and x.ndim == ndim and x.size else None


def samples(entries: Sequence[Entry], points: Sequence[Mapping[str, Any]]) -> Markup | None:
    """The same seeds of all models, side by side; `points` as of `series.points`."""
    cards = []
    for entry in entries:
        x = _images(entry, "images", "x", 4)
        if x is None:
            continue
        x = x[:MOST_SAMPLES]
        columns = int(np.ceil(np.sqrt(len(x))))
        drawn = sheet(x, levels(entry), columns)
        grid = {"data_rows": drawn.rows, "data_columns": columns, "data_count": drawn.count}
        seed = plain(entry.arrays["images"].get("seed", np.asarray(0)).item())
        alt = f"{len(x)} samples of {entry.name}, seed {seed}, in {drawn.rows} rows of {columns}"
        loupe = h("span", class_="loupe", aria_hidden="true")
        note = h("span", f"seed {seed}", class_="which", data_which=True)
        cards.append(
            h(
                "figure",
                h("figcaption", model_name(entries, entry.name)),
                h(
                    "div",
                    picture(drawn, alt),
                    h("span", class_="ring", hidden=True),
                    class_="sheet",
                    tabindex="0",
                    role="group",
                    aria_label=f"{alt}; arrow keys go from image to image",
                    data_model=entry.name,
                    data_seed=seed,
                    data_height=drawn.cell[0],
                    data_width=drawn.cell[1],
                    **grid,
                ),
                h("div", loupe, note, class_="closer"),
            )
        )
    if not cards and not points:
        return None
    lead = "Drawn from the same seed, none left out."
    if cards:
        lead += (
            " Point at an image, or use the arrow keys, to see the one at the same place of every"
            " model."
        )
    scatters = [chart(f"points-{i}", _beyond(found)) for i, found in enumerate(points)]
    return section(
        "samples",
        "Samples",
        lead,
        h("div", cards, class_="cards") if cards else None,
        h("div", scatters, class_="cards points") if scatters else None,
        h("p", class_="hidden", role="status", data_status=True),
        downloads(("points", "Points")) if scatters else None,
    )


def _beyond(found: Mapping[str, Any]) -> str:
    text = f"{len(found['generated']):,} generated points over {len(found['real']):,} real ones"
    return text + (f"; {found['outside']:,} lie beyond the axes." if found["outside"] else ".")


def strips(entries: Sequence[Entry]) -> Markup | None:
    """Interpolations."""

    def drawn(entry: Entry) -> tuple[Sheet, str] | None:
        x = _images(entry, "interpolation", "x", 5)
        if x is None:
            return None
        x = x[:MOST_ROWS]
        rows, steps = x.shape[:2]
        alt = f"{rows} interpolations of {entry.name}, {steps} images each, left to right"
        return sheet(x.reshape((-1, *x.shape[2:])), levels(entry), steps), alt

    lead = "Each row goes from one latent to another; models without a latent space are left out."
    return _pictures(entries, "interpolations", "Interpolations", lead, drawn)


def reconstructions(entries: Sequence[Entry]) -> Markup | None:
    """Test examples above what the model makes of their latents."""

    def drawn(entry: Entry) -> tuple[Sheet, str] | None:
        x, y = (_images(entry, "reconstruction", k, 4) for k in ("data", "reconstruction"))
        if x is None or y is None:
            return None
        n = min(len(x), len(y), MOST_PAIRS)
        rows = [
            half[i : i + PAIRS_A_ROW]
            for i in range(0, n - n % PAIRS_A_ROW or n, PAIRS_A_ROW)
            for half in (x[:n], y[:n])
        ]
        alt = f"{n} test images and, under each row, their reconstructions by {entry.name}"
        return sheet(np.concatenate(rows), levels(entry), len(rows[0])), alt

    lead = "Rows in pairs: test images, and below them what the model makes of their latents."
    return _pictures(entries, "reconstructions", "Reconstructions", lead, drawn)


def _pictures(
    entries: Sequence[Entry],
    ident: str,
    heading: str,
    lead: str,
    drawn: Callable[[Entry], tuple[Sheet, str] | None],
) -> Markup | None:
    """A section of one picture a model, where `drawn` gives one and what it shows."""
    cards = [
        h("figure", h("figcaption", model_name(entries, entry.name)), picture(*found, 440))
        for entry in entries
        if (found := drawn(entry)) is not None
    ]
    return section(ident, heading, lead, h("div", cards, class_="cards wide")) if cards else None


def neighbours(entries: Sequence[Entry]) -> Markup | None:
    """Samples and the training images nearest to them, the most alike first."""
    cards = []
    for entry in entries:
        x = _images(entry, "neighbours", "generated", 4)
        near = _images(entry, "neighbours", "nearest", 5)
        if x is None or near is None:
            continue
        cards.append(_nearest(entries, entry, x, near))
    if not cards:
        return None
    return section(
        "neighbours",
        "Nearest training images",
        "Of each model's samples those that lie closest to a training image come first: a copy "
        "would show here.",
        h("div", cards, class_="cards near"),
    )


def _nearest(entries: Sequence[Entry], entry: Entry, x: np.ndarray, near: np.ndarray) -> Markup:
    arrays = entry.arrays["neighbours"]
    distance = np.asarray(arrays["distance"], np.float64)
    space = str(arrays.get("space", "pixels"))
    order = np.argsort(distance[:, 0], kind="stable")[:MOST_NEIGHBOURS]

    def shown(image: np.ndarray, alt: str) -> Markup:
        return picture(sheet(image[None], levels(entry), 1), alt, 56)

    rows = []
    for i in order:
        cells = [
            h(
                "td",
                shown(near[i, j], f"training image {j + 1} nearest to sample {i}"),
                h("span", number(float(distance[i, j])), class_="distance"),
            )
            for j in range(near.shape[1])
        ]
        sample = shown(x[i], f"sample {i} of {entry.name}")
        name = h("span", f"sample {i}", class_="distance")
        rows.append(h("tr", h("th", sample, name, scope="row"), cells))
    heads = ["Sample", *(f"{k + 1}." for k in range(near.shape[1]))]
    caption = h("caption", model_name(entries, entry.name), f", distance in {space}")
    head = h("thead", h("tr", [h("th", text, scope="col") for text in heads]))
    table = h("table", caption, head, h("tbody", rows), class_="neighbours")
    return scrolled(table, f"Nearest training images to samples of {entry.name}")


def reproduce(entries: Sequence[Entry]) -> Markup:
    """Commands, versions, data, and what the configs differ in."""
    cards = [
        h("article", h("h3", model_name(entries, e.name)), _provenance(e), class_="card")
        for e in entries
    ]
    configs = {e.name: e.config for e in entries if e.config}
    tables: list[Markup] = []
    if len(configs) > 1:
        known = [e for e in entries if e.name in configs]
        shared, partial = config_differences(configs)
        if shared:
            tables.append(differing(known, shared, "Config: what all runs have and set otherwise"))
        if partial:
            body = differing(known, partial, "Config: what only some runs have")
            summary = h("summary", f"{len(partial)} further fields that only some runs have")
            tables.append(h("details", summary, body))
    lead = "What was typed, with which versions and on which data; then what the configs differ in."
    return section(
        "reproduce", "How to reproduce", lead, h("div", cards, class_="cards wide"), tables
    )


def _provenance(entry: Entry) -> Markup:
    source, manifest, data = entry.source, entry.manifest, entry.data
    trained = manifest.get("command") or source.get("trained_by")
    commands = dict.fromkeys((trained, source.get("command")))
    versions = manifest.get("versions") or source.get("versions") or {}
    players = source.get("parameters") or {}
    facts = {
        "model": source.get("model"),
        "method": source.get("method"),
        "step": source.get("step"),
        "parameters": ", ".join(f"{k} {v:,}" for k, v in players.items()),
        "data": _data_line(data),
        "data hash": data.get("sha256"),
        "seed": manifest.get("seed"),
        "device": source.get("device") or manifest.get("devices"),
        "versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
        "git commit": manifest.get("git_commit"),
        "measured": source.get("time"),
    }
    terms = [
        (h("dt", k), h("dd", v if isinstance(v, str) else plain(v)))
        for k, v in facts.items()
        if v not in (None, "")
    ]
    shown = [h("pre", h("code", command), tabindex="0") for command in commands if command]
    return h("div", shown, h("dl", terms))


def _data_line(data: Any) -> str:
    shape = "x".join(map(str, data.get("shape") or ()))
    parts = [data.get("name"), shape, data.get("levels") and f"{data['levels']} levels"]
    return ", ".join(str(part) for part in parts if part)
