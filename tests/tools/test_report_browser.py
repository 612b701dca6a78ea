"""The page in Chromium, from disk and with the network off."""

import csv
import json

import fake_runs
import pytest
from chromium import MARKS, launched

from jaxgen.report.page import page
from jaxgen.report.records import entries, read
from jaxgen.tools.outputs import save_text

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    root = tmp_path_factory.mktemp("browser")
    out = root / "report.html"
    save_text(out, page(entries([str(path) for path in fake_runs.four(root)]), "now"))
    return out.as_uri()


@pytest.fixture
def visit(browser, address):
    """visit(width, scheme): the page, whose errors and requests are collected."""
    contexts, troubles = [], []

    def go(width=1280, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, **options
        )
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda m: troubles.append(m.text))
        tab.on("pageerror", lambda e: troubles.append(str(e)))
        tab.on(
            "request",
            lambda r: r.url.startswith(("file:", "data:", "blob:")) or troubles.append(r.url),
        )
        tab.goto(address)
        tab.wait_for_selector(".chart svg")
        return tab

    yield go
    assert troubles == []
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens(visit, width, scheme):
    tab = visit(width, scheme)
    loaded = tab.evaluate("[...document.images].map(i => i.complete && i.naturalWidth > 0)")
    assert loaded and all(loaded)
    assert tab.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    drawn = tab.evaluate(
        "[...document.querySelectorAll('[data-chart]')]"
        ".map(chart => chart.querySelectorAll('svg path').length)"
    )
    assert len(drawn) == 4 and min(drawn) > 3
    dark = "getComputedStyle(document.body).backgroundColor"
    before = tab.evaluate(dark)
    assert (sum(map(int, before[4:-1].split(","))) < 200) == (scheme == "dark")
    tab.click("[data-theme-toggle]")
    assert tab.evaluate(dark) != before


def columns(tab):
    return tab.eval_on_selector_all(
        "#verdict-table thead th[data-model]", "cells => cells.map(c => c.dataset.model)"
    )


def test_a_measurement_orders_the_models(visit):
    tab = visit()
    row = tab.locator('#verdict-table tr[data-row="fcd-digits8-cnn64"]')
    button, header = row.locator("th button"), row.locator("th")
    button.focus()
    tab.keyboard.press("Enter")
    # StyleGAN2 has the lowest number, of another fingerprint: it is behind the ranked ones
    assert columns(tab) == ["nvae", "glow", "vae", "stylegan2"]
    assert header.get_attribute("aria-sort") == "ascending"
    cells = row.locator("td").evaluate_all("c => c.map(x => x.dataset.model)")
    assert cells == columns(tab)
    button.click()
    assert columns(tab) == ["vae", "glow", "nvae", "stylegan2"]
    button.click()
    assert columns(tab) == ["glow", "vae", "nvae", "stylegan2"]
    assert header.get_attribute("aria-sort") is None
    tab.click("[data-sort-rows]")
    names = tab.eval_on_selector_all(
        "#verdict-table tbody:first-of-type th[data-name]", "h => h.map(x => x.dataset.name)"
    )
    assert names == sorted(names) and len(names) == 6


def test_hovering_and_focus_tell_more(visit):
    tab = visit()
    cell = tab.locator('tr[data-row="bpd"] td[data-model="glow"] .cell')
    cell.hover()
    tip = tab.locator("#tip")
    assert tip.is_visible()
    assert "bound: exact; in this row elbo" in tip.inner_text()
    assert "seed=0" in tip.inner_text() and "95 % interval 2.27 to 2.33" in tip.inner_text()
    tab.keyboard.press("Escape")
    assert not tip.is_visible()
    tab.locator('tr[data-row="bpd"] td[data-model="nvae"] .cell').focus()
    assert "beyond the 95 % intervals" in tip.inner_text()


def test_the_same_seed_of_every_model(visit):
    tab = visit()
    sheet = tab.locator(".sheet").first
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 3.5 / 8, box["y"] + box["height"] * 1.5 / 8)
    assert tab.locator("[data-which]").all_inner_texts() == ["seed 0, image 11"] * 4
    assert all(ring.is_visible() for ring in tab.locator(".ring").all())
    sheet.focus()
    tab.keyboard.press("ArrowDown")
    assert tab.locator("[data-which]").first.inner_text() == "seed 0, image 19"


def test_charts_answer(visit):
    tab = visit()
    chart = tab.locator('[data-chart="plane"]')
    dot = chart.locator('g[aria-label="dot"] path').first
    dot.hover(force=True)
    tip = chart.locator('g[aria-label="tip"]')
    assert "temperature=0.5, seed 0" in tip.text_content()
    before = chart.inner_html()
    tab.select_option('[data-choice="plane"]', "1")
    assert chart.inner_html() != before


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_every_number_can_be_saved(visit, tmp_path, kind):
    tab = visit(accept_downloads=True)
    for key in ("measurements", "planes", "knobs", "histograms", "paired", "training"):
        with tab.expect_download() as download:
            tab.locator(f'[data-save="{key}"][data-kind="{kind}"]').first.click()
        file = tmp_path / download.value.suggested_filename
        download.value.save_as(file)
        assert file.name == f"jaxgen-{key}.{kind}"
        with open(file, newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f)) if kind == "csv" else json.load(f)
        assert len(rows) > (0 if key == "paired" else 20)
        assert all(len(row) == len(rows[0]) and None not in row for row in rows)
        if key == "measurements":
            first = rows[0]
            assert first["model"] == "glow" and float(first["value"]) == 9.0
            assert json.loads(first["fingerprint"])["num_real"] == 297


def test_points_are_drawn_and_saved(visit, tmp_path):
    out = tmp_path / "points.html"
    save_text(out, page(entries([str(fake_runs.of_points(tmp_path / "ring"))]), "now"))
    tab = visit(accept_downloads=True)
    tab.goto(out.as_uri())
    chart = tab.locator('[data-chart="points-0"]')
    chart.locator("svg").first.wait_for()
    assert chart.locator('g[aria-label="dot"] circle').count() == 1000
    chart.locator('g[aria-label="dot"] circle').first.hover(force=True)
    x, y = read(tmp_path / "ring").arrays["points"]["real"][0]
    said = chart.locator('g[aria-label="tip"]').text_content()
    assert "real, train" in said and f"{x:.4g}, {y:.4g}" in said
    with tab.expect_download() as download:
        tab.locator('[data-save="points"][data-kind="json"]').click()
    download.value.save_as(tmp_path / "points.json")
    rows = json.loads((tmp_path / "points.json").read_text())
    assert len(rows) == 1000 and set(rows[0]) == {"model", "kind", "x", "y"}


def test_it_prints(visit):
    assert visit().pdf(format="A4")[:4] == b"%PDF"


def test_it_can_be_read_without_scripts(visit, browser, address):
    context = browser.new_context(java_script_enabled=False, offline=True)
    tab = context.new_page()
    tab.goto(address)
    assert tab.locator("#verdict-table strong.value").inner_text() == "2.270"
    context.close()
