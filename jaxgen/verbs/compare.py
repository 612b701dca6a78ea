"""`jaxgen compare`: reads the runs and writes the page."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from jaxgen.tools.outputs import add_out

DEFAULT = "report.html"

PYTHON = "jaxgen.compare"


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
    from jaxgen.report.page import compare, rows_of

    out = arguments.out or pathlib.Path(DEFAULT)
    found = compare(arguments.runs, out, arguments.allow)
    apart = sum(c.status == "differs" for row in rows_of(found) for c in row.cells.values())
    numbers = sum(len(entry.measurements) for entry in found)
    note = f", {apart} not comparable" if apart else ""
    print(f"{numbers} numbers of {len(found)} models{note}: {out}")
