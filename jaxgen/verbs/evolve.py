"""`jaxgen evolve`: a GIF of the sample grids of a training."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_run, load_run
from jaxgen.tools.outputs import add_out, output


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("evolve", help="a GIF of the sample grids of a training")
    command.set_defaults(command=run)
    add_run(command)
    add_out(command, ".gif; default: in the run", ".gif")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Joins the grids that the training drew."""
    from jaxgen.pictures import save_gif
    from jaxgen.tools import latents

    found = load_run(arguments)
    out = output(arguments, found, "evolution", ".gif")
    save_gif(out, latents.evolution(found), milliseconds=300)
    print(f"evolution up to step {found.step}: {out}")
