"""From a slider's event to the painted picture, in the page of `jaxgen explore`.

    python benchmarks/explorer.py RUN [RUN2] [--events=60] [--slider=temperature]

Serves the runs in this process and opens the page in a Chromium without a window, which takes
cores, too. `one at a time` waits for each picture before the slider moves on; `dragged` moves it
every 10 ms for as many events, and counts what the server has drawn of them. Times are those of
the page: from the event to the frame after the picture has been put on the canvas. Needs
jaxgen[explore], jaxgen[browser] and a Chromium.
"""

from __future__ import annotations

import argparse
import os
import shutil
import threading
import time
from typing import Any

from jaxgen.platform import set_defaults

set_defaults()

import numpy as np  # noqa: E402
import uvicorn  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402

import jaxgen  # noqa: E402
from jaxgen.explorer.server import Explorer  # noqa: E402
from jaxgen.explorer.serving import free_socket  # noqa: E402
from jaxgen.explorer.subject import Subject  # noqa: E402
from jaxgen.explorer.worker import Worker  # noqa: E402

TIMES = "performance.getEntriesByName('painted').map(e => e.duration)"
ONE = """async ([id, values]) => {
  const e = document.getElementById(id);
  for (const v of values) {
    const before = performance.getEntriesByName('painted').length;
    e.value = v; e.dispatchEvent(new Event('input'));
    while (performance.getEntriesByName('painted').length === before)
      await new Promise(requestAnimationFrame);
  } }"""
DRAGGED = """async ([id, values]) => {
  const e = document.getElementById(id);
  for (const v of values) {
    e.value = v; e.dispatchEvent(new Event('input'));
    await new Promise(then => setTimeout(then, 10));
  }
  e.dispatchEvent(new Event('change')); }"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--events", type=int, default=60)
    parser.add_argument("--slider", default="temperature")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    worker = Worker()
    subjects = [Subject(jaxgen.load(path)) for path in arguments.runs]
    start = time.perf_counter()
    for subject in subjects:
        worker.job(subject.warm_up).result()
    print(f"compiled and used once in {time.perf_counter() - start:.1f} s")
    server, address = served(Explorer(subjects, worker))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        measured(browser.new_page(), address, arguments)
        browser.close()
    server.should_exit = True
    worker.close()


def served(explorer: Explorer) -> tuple[uvicorn.Server, str]:
    listening = free_socket("127.0.0.1", 38787)
    port = listening.getsockname()[1]
    app = explorer.app("127.0.0.1", None, port)
    config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", http="h11")
    server = uvicorn.Server(config)
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return server, f"http://localhost:{port}/"


def measured(tab: Any, address: str, arguments: argparse.Namespace) -> None:
    answered: list[int] = []
    tab.on("response", lambda r: answered.append(r.status) if "/api/draw" in r.url else None)
    tab.goto(address)
    slider = f"control-{arguments.slider}"
    tab.wait_for_selector("body[data-painted$='true']", timeout=120_000)
    least, most = (float(tab.get_attribute(f"[id='{slider}']", k)) for k in ("min", "max"))
    values = np.round(np.random.RandomState(0).uniform(least, most, arguments.events), 2).tolist()
    for name, script in (("one at a time", ONE), ("dragged", DRAGGED)):
        before, drawn = len(tab.evaluate(TIMES)), len(answered)
        start = time.perf_counter()
        tab.evaluate(script, [slider, values])
        if script is DRAGGED:
            tab.wait_for_selector("body[data-painted$='true']", timeout=120_000)
            tab.wait_for_timeout(500)
        took = time.perf_counter() - start
        times = np.array(tab.evaluate(TIMES)[before:])
        p50, p95 = np.percentile(times, [50, 95])
        print(
            f"{name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, {len(values)} events in {took:.1f} s, "
            f"{len(answered) - drawn} drawings"
        )
    load, cores = os.getloadavg()[0], os.cpu_count()
    print(f"load {load:.1f} on {cores} cores{': not a quiet moment' if load > cores else ''}")


if __name__ == "__main__":
    main()
