"""`jaxgen spectrum`: slices of a run beside the cosmic web."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import STILL, add_picture, output
from jaxgen.tools.ranges import COUNT, Whole

PYTHON = "jaxgen.run.Run.spectrum"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("spectrum", help="slices of a run beside the cosmic web")
    command.set_defaults(command=run)
    add_run(command)
    command.add_argument("--num", type=COUNT, default=384, help="slices; default: 384")
    command.add_argument(
        "--boxes",
        type=Whole(0, 1000),
        default=0,
        help="new boxes that join those of the test; default: 0",
    )
    add_seed(command, "of the samples")
    add_places(command)
    add_picture(command, *STILL)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the table, draws power, masses, peaks and slices."""
    found = load_run(arguments, arguments.num)
    asked = {"num": arguments.num, "seed": arguments.seed}
    out = output(arguments, found, "spectrum", ".png", boxes=arguments.boxes or None, **asked)
    picture = found.spectrum(boxes=arguments.boxes, **asked, **places(arguments))
    print("\n".join(picture.about["table"]))
    print(picture.save(out))
