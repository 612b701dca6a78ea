"""`jaxgen reveal`: samples, group by group of their latents."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_latents, add_run, chosen_class, load_run, places, shown_class
from jaxgen.tools.outputs import MOVING, output
from jaxgen.tools.ranges import SIDE

PYTHON = "jaxgen.run.Run.reveal"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("reveal", help="samples, group by group of their latents")
    command.set_defaults(command=run)
    add_run(command)
    add_latents(command, *MOVING)
    command.add_argument("--num", type=SIDE, default=16, help="samples; default: 16")
    text = "of the groups, from the first on, as 0.7,1; the last is that of all that follow"
    command.add_argument("--temperatures", metavar="LIST", default="", help=text)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture, a sample a row, or the film."""
    found = load_run(arguments, arguments.num)
    label = chosen_class(arguments, found)
    asked = {"class": label} | {k: getattr(arguments, k) for k in ("num", "seed")}
    warm = arguments.temperatures
    out = output(arguments, found, "reveal", ".png", **asked, temperatures=warm or None)
    picture = found.reveal(arguments.num, arguments.seed, label, warm, **places(arguments))
    print(f"groups of step {found.step}{shown_class(label)}: {picture.save(out)}")
