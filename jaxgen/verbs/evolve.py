"""`jaxgen evolve`: a film of the sample grids of a training."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_run, load_run
from jaxgen.tools.outputs import MOVING, add_picture, output

PYTHON = "jaxgen.run.Run.evolve"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("evolve", help="a film of the sample grids of a training")
    command.set_defaults(command=run)
    add_run(command)
    add_picture(command, *MOVING, default=".webp")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Joins the grids that the training drew."""
    found = load_run(arguments)
    out = output(arguments, found, "evolution", ".webp")
    print(f"evolution up to step {found.step}: {found.evolve().save(out)}")
