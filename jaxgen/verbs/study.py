"""`jaxgen study`: games of two numbers, who converges and how."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.outputs import Output, add_out

PYTHON = "jaxgen.tools.studies.paths"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    study = commands.add_parser("study", help="games of two numbers: who converges, and how")
    study.set_defaults(command=run)
    study.add_argument("study", choices=("dirac", "bilinear"), help="dirac or bilinear")
    add_out(study, ".png of the trajectories; default: NAME.png", ".png")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Follows the games, prints and draws them."""
    from jaxgen.tools.studies import report

    print(report(arguments.study, arguments.out or Output((".png",))(f"{arguments.study}.png")))
