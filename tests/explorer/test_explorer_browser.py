"""The explorer in Chromium: two tiny runs behind one set of sliders."""

import re
import threading
import time

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs jaxgen[explore]")
uvicorn = pytest.importorskip("uvicorn", reason="needs jaxgen[explore]")

from chromium import MARKS, launched  # noqa: E402
from explored import png  # noqa: E402

from jaxgen.explorer.serving import free_socket  # noqa: E402

pytestmark = MARKS
TOKEN = "a token of some length"
DRAWN = "body[data-painted$='true']"  # a selector: the page's policy forbids polling by eval
PIXELS = """k => { const c = document.getElementById(`picture-${k}`);
  const read = new OffscreenCanvas(c.width, c.height).getContext('2d', {willReadFrequently: true});
  read.drawImage(c, 0, 0);
  return [...read.getImageData(0, 0, c.width, c.height).data].join() }"""
ORDER = """() => { const found = [];
  for (const e of document.querySelectorAll('button, input, select, a[href], pre[tabindex]'))
    if (e.offsetParent && !e.disabled) found.push(e.id || e.textContent);
  return found }"""


@pytest.fixture(scope="module")
def browser():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def serve(explorer):
    """serve(token=None): the address of a server."""
    servers = []

    def start(token=None):
        listening = free_socket("127.0.0.1", 28787)
        port = listening.getsockname()[1]
        app = explorer.app("127.0.0.1", token, port)
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", http="h11")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread, listening))
        while not server.started:
            time.sleep(0.01)
        return f"http://localhost:{port}/"

    yield start
    for server, thread, listening in servers:
        server.should_exit = True
        thread.join(30)
        listening.close()


@pytest.fixture(scope="module")
def address(serve):
    return serve()


@pytest.fixture
def visit(browser, address):
    """visit(width, scheme, at): the page, whose errors and requests are collected."""
    contexts, troubles = [], []

    def go(width=1280, scheme="light", at=address, allowed=(), wait=True):
        size = {"width": width, "height": 900}
        context = browser.new_context(viewport=size, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.set_default_timeout(60_000)

        def heard(text):
            if not any(word in text for word in allowed):
                troubles.append(text)

        tab.on("console", lambda m: heard(m.text))
        tab.on("pageerror", lambda e: troubles.append(str(e)))
        own = (address, at.partition("#")[0], "blob:")
        tab.on("request", lambda r: r.url.startswith(own) or troubles.append(r.url))
        tab.goto(at)
        if wait:
            tab.wait_for_selector(DRAWN)
        return tab

    yield go
    assert troubles == []
    for context in contexts:
        context.close()


def settled(tab, action):
    """Does it, and waits for the final picture that comes of it."""
    before = tab.evaluate("document.body.dataset.painted")
    action()
    tab.wait_for_selector(f"{DRAWN}:not([data-painted='{before}'])")


def slide(tab, name, value):
    """Moves a slider as a mouse does: `input`, then `change`."""
    tab.evaluate(
        """([id, value]) => { const e = document.getElementById(id); e.value = value;
        e.dispatchEvent(new Event('input')); e.dispatchEvent(new Event('change')) }""",
        [f"control-{name}", str(value)],
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens(visit, width, scheme):
    tab = visit(width, scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") == width  # nothing sticks out
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 128) == (scheme == "dark")
    rendering = "getComputedStyle(document.getElementById('picture-0')).imageRendering"
    assert tab.evaluate(rendering) == "pixelated"
    assert "foreign.npz is a direction of another model" in tab.inner_text("#cannot")


def test_at_twice_the_size_nothing_sticks_out(visit):
    tab = visit(640)  # 1280 at 200 %
    assert tab.evaluate("document.documentElement.scrollWidth") == 640


def test_every_control_has_a_name(visit):
    tab = visit()
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll('input, select, button, progress, canvas, a, img')]
        .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.textContent.trim()
          || e.alt || e.getAttribute('aria-hidden'))).map(e => e.outerHTML)"""
    )
    assert nameless == []
    names = [
        tab.get_by_label(n, exact=True) for n in ("Seed", "Temperature", "tilt", "Your picture")
    ]
    assert all(name.count() == 1 for name in names)


def test_sliders_change_both_pictures(visit):
    tab = visit()
    before = [tab.evaluate(PIXELS, k) for k in (0, 1)]
    settled(tab, lambda: slide(tab, "temperature", 0.3))
    after = [tab.evaluate(PIXELS, k) for k in (0, 1)]
    assert before[1] != after[1]
    settled(tab, lambda: slide(tab, "temperature", 1))
    assert [tab.evaluate(PIXELS, k) for k in (0, 1)] == before
    settled(tab, lambda: tab.click("#new"))
    assert all(tab.evaluate(PIXELS, k) != before[k] for k in (0, 1))  # in lockstep
    settled(tab, lambda: tab.click("#back"))
    assert [tab.evaluate(PIXELS, k) for k in (0, 1)] == before


def test_a_hundred_events_end_in_the_picture_of_the_last(visit):
    tab = visit()
    settled(tab, lambda: slide(tab, "temperature", 0.5))
    expected = tab.evaluate(PIXELS, 1)
    asked = []
    tab.on("request", lambda r: asked.append(r.url) if r.url.endswith("/api/draw") else None)

    def drag():
        tab.evaluate(
            """() => { const e = document.getElementById('control-temperature');
            for (let k = 0; k < 100; k++) { e.value = k % 2 ? 0.5 : 1.5;
              e.dispatchEvent(new Event('input')) }
            e.dispatchEvent(new Event('change')) }"""
        )

    settled(tab, drag)
    assert tab.evaluate(PIXELS, 1) == expected
    assert len(asked) <= 3, asked


def test_the_keyboard_alone(visit):
    tab = visit()
    order = tab.evaluate(ORDER)
    reached = []
    for _ in range(len(order) + 5):
        tab.keyboard.press("Tab")
        reached.append(
            tab.evaluate("document.activeElement.id || document.activeElement.textContent")
        )
    assert set(order) <= set(reached), set(order) - set(reached)
    tab.focus("#control-temperature")
    before = tab.evaluate(PIXELS, 1)
    settled(tab, lambda: tab.keyboard.press("Home"))
    assert tab.evaluate(PIXELS, 1) != before
    assert tab.inner_text("#control-temperature-out") == "0.00"
    tab.focus("#seed")
    settled(tab, lambda: (tab.keyboard.type("7"), tab.keyboard.press("Enter")))
    assert "seed=" in tab.evaluate("location.hash")


def test_a_reload_restores(visit):
    tab = visit()
    settled(tab, lambda: tab.click("#new"))
    settled(tab, lambda: slide(tab, "temperature", 0.62))
    settled(tab, lambda: slide(tab, "move.tilt", -1.25))
    said = tab.evaluate("location.hash")
    assert "v=1" in said and "c.temperature=0.62" in said and "c.move.tilt=-1.25" in said
    before = [tab.evaluate(PIXELS, k) for k in (0, 1)]
    tab.reload()
    tab.wait_for_selector(DRAWN)
    assert [tab.evaluate(PIXELS, k) for k in (0, 1)] == before
    assert tab.evaluate("location.hash") == said
    assert tab.inner_text("#control-move\\.tilt-out") == "-1.25"


@pytest.mark.parametrize(
    "words", ["v=2&seed=3", "v=1&seed=-4&c.none=3&c.temperature=99", "v=1&upload=x"]
)
def test_links_of_others(visit, address, words):
    tab = visit(at=f"{address}#{words}")
    assert tab.input_value("#seed") == "0"
    assert tab.inner_text("#control-temperature-out") == "1.00"


def test_a_picture_of_ones_own_and_a_morph(visit):
    tab = visit()
    x = np.zeros((8, 8))
    x[2:6, 3:5] = 16
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": png(x)}
    tab.click("#set-first")
    settled(tab, lambda: tab.set_input_files("#file", [file]))
    assert "Equal to your picture" in tab.inner_text("#facts-1")
    assert tab.evaluate(PIXELS, 1).split(",")[0::4] == [str(int(v * 255 / 16)) for v in x.ravel()]
    assert tab.is_disabled("#control-temperature")
    tab.click("#set-second")
    tab.select_option("#morph-run", "1")
    tab.click("#morph")
    tab.wait_for_selector("#film:not([hidden])")
    film = "document.getElementById('moving')"
    assert tab.evaluate(f"{film}.decode().then(() => {film}.naturalWidth)") == 256
    settled(tab, lambda: tab.click("#leave"))
    assert tab.is_enabled("#control-temperature")
    settled(tab, lambda: tab.click("#strip li:nth-child(2) button"))
    assert "Equal to your picture" in tab.inner_text("#facts-1")


def test_what_is_no_picture_is_said(visit):
    tab = visit(allowed=("400",))  # Chromium itself logs it
    bad = {"name": "bad.png", "mimeType": "image/png", "buffer": b"no picture"}
    tab.set_input_files("#file", [bad])
    tab.wait_for_selector("#status.problem")
    assert "the uploaded file" in tab.inner_text("#status")


def test_the_command_and_the_files(visit):
    tab = visit()
    tab.click("#command")
    tab.wait_for_selector("#typed:not([hidden])")
    lines = tab.inner_text("#typed").splitlines()
    assert len(lines) == 2 and all(line.startswith("jaxgen sample ") for line in lines)
    with tab.expect_download() as saved:
        tab.click("#save")
    assert saved.value.suggested_filename.endswith("-seed0.png")


def test_the_token_leaves_the_address(visit, serve):
    locked = serve(TOKEN)
    tab = visit(at=f"{locked}#token={TOKEN.replace(' ', '%20')}&v=1&seed=5")
    assert "token" not in tab.evaluate("location.href") and tab.input_value("#seed") == "5"
    assert tab.evaluate("document.cookie") == ""  # no script reads it
    other = visit(at=locked, allowed=("403",), wait=False)
    other.fill("#token", TOKEN)
    other.keyboard.press("Enter")
    other.wait_for_selector(DRAWN)
