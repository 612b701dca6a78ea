"""`jaxgen show`: what a run is, how it stands, what was measured, and where its files are."""

from __future__ import annotations

import argparse
from typing import Any

PYTHON = "jaxgen.show"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    show = commands.add_parser("show", help="a run's summary, and where its files are")
    show.set_defaults(command=run)
    show.add_argument("run", help="a run directory")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints it, a fact a line."""
    from jaxgen.tools.overview import show

    found = show(arguments.run)
    width = max(len(name) for name, _ in found)
    for name, said in found:
        print(f"{name:<{width}}  {said}")
