"""`jaxgen mix`: a grid of styles, coarse ones by row and fine ones by column."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_class, add_run, add_seed, chosen_class, load_run, shown_class
from jaxgen.tools.outputs import MOVING, add_picture, output
from jaxgen.tools.ranges import SIDE

PYTHON = "jaxgen.run.Run.mix"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    mix = commands.add_parser("mix", help="a grid of styles: coarse ones by row, fine by column")
    mix.set_defaults(command=run)
    add_run(mix)
    add_class(mix)
    mix.add_argument("--rows", type=SIDE, default=6, help="default: 6")
    mix.add_argument("--columns", type=SIDE, default=8, help="default: 8")
    mix.add_argument(
        "--coarse", type=SIDE, default=2, help="layers whose style is the row's; default: 2"
    )
    add_seed(mix, "of the latents")
    add_picture(mix, *MOVING)
    mix.add_argument("--frames", type=SIDE, default=60, help="of a film; default: 60")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the grid."""
    found = load_run(arguments, arguments.rows * arguments.columns)
    label = chosen_class(arguments, found)
    names = ("rows", "columns", "coarse", "seed")
    asked = {"class": label} | {k: getattr(arguments, k) for k in names}
    out = output(arguments, found, "mix", ".png", **asked)
    sides = (arguments.rows, arguments.columns)
    picture = found.mix(*sides, arguments.coarse, arguments.seed, label, arguments.frames)
    print(f"mixed styles of step {found.step}{shown_class(label)}: {picture.save(out)}")
