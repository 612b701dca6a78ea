"""`jaxgen compare`: reads the runs and writes the page."""

from __future__ import annotations

import argparse
import pathlib
import time
from typing import Any

from jaxgen.tools.outputs import add_out, save_text

DEFAULT = "report.html"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    compare = commands.add_parser("compare", help="measured runs side by side, as one HTML page")
    compare.set_defaults(command=run)
    compare.add_argument(
        "runs", nargs="+", metavar="RUN", help="directories that jaxgen eval measured; NAME=RUN"
    )
    add_out(compare, f".html; default: {DEFAULT}", ".html")
    compare.add_argument("--allow", metavar="FOLDER", help="folders into which links may lead")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Reads the runs, writes the page, says how much is on it."""
    from jaxgen.progress import stage
    from jaxgen.report.page import page, rows_of
    from jaxgen.report.records import entries

    out = arguments.out or pathlib.Path(DEFAULT)
    found = entries(arguments.runs, arguments.allow)
    with stage("drawing the page"):
        save_text(out, page(found, time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())))
    apart = sum(c.status == "differs" for row in rows_of(found) for c in row.cells.values())
    numbers = sum(len(entry.measurements) for entry in found)
    note = f", {apart} not comparable" if apart else ""
    print(f"{numbers} numbers of {len(found)} models{note}: {out}")
