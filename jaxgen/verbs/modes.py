"""`jaxgen modes`: counts the modes that samples of runs cover."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_allow, add_seed, allowed
from jaxgen.tools.outputs import add_out
from jaxgen.tools.ranges import COUNT

PYTHON = "jaxgen.modes"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    modes = commands.add_parser("modes", help="count the modes that samples of runs cover")
    modes.set_defaults(command=run)
    modes.add_argument("runs", nargs="+", metavar="run", help="run directories")
    add_allow(modes)
    modes.add_argument("--num", type=COUNT, default=2500, help="samples of each; default: 2500")
    add_seed(modes, "of the samples")
    add_out(modes, ".png of real and generated points; default: none", ".png")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the table, draws the points."""
    from jaxgen.tools.modes import modes, table

    asked = (arguments.num, arguments.seed, arguments.out, allowed(arguments))
    print(table(arguments.runs, modes(arguments.runs, *asked)))
    if arguments.out is not None:
        print(arguments.out)
