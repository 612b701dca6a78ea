"""`jaxgen card`: what a run is, as Markdown."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_run, load_run
from jaxgen.tools.outputs import add_out

PYTHON = "jaxgen.tools.card.card"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("card", help="what a run is, as Markdown")
    command.set_defaults(command=run)
    add_run(command)
    add_out(command, "a .md file; default: README.md in the run", ".md")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Writes it."""
    from jaxgen.tools.card import card

    found = load_run(arguments)
    print(f"card of step {found.step}: {card(found, arguments.out)}")
