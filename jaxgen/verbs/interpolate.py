"""`jaxgen interpolate`: images between the codes of test images, or of pictures of one's own."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_latents, add_run, chosen_class, load_run, places, shown_class
from jaxgen.tools.outputs import MOVING, add_timing, output, told_timing
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import SIDE

PYTHON = "jaxgen.run.Run.interpolate"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("interpolate", help="images between the codes of test images")
    command.set_defaults(command=run)
    add_run(command)
    add_pictures(command, "pairs of pictures")
    add_latents(command, *MOVING)
    command.add_argument(
        "--path", choices=("linear", "spherical"), default="linear", help="default: linear"
    )
    command.add_argument("--steps", type=SIDE, default=10, help="columns, or frames; default: 10")
    add_timing(command)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture, a pair a row."""
    from jaxgen.views.latents import check_pairs

    own = pictures(arguments)
    pairs = 8 if own is None else check_pairs(len(own)) // 2
    found = load_run(arguments, pairs * arguments.steps)
    label = chosen_class(arguments, found)
    asked = {"of": named(arguments.pictures), "fit": arguments.fit}
    asked |= {"class": label, "steps": arguments.steps, "seed": arguments.seed}
    asked |= {"timing": told_timing(arguments.timing)}
    out = output(arguments, found, f"interpolation_{arguments.path}", ".png", **asked)
    picture = found.interpolate(
        own,
        pairs,
        arguments.steps,
        arguments.path,
        arguments.seed,
        label,
        timing=arguments.timing,
        **places(arguments),
    )
    print(f"interpolation of step {found.step}{shown_class(label)}: {picture.save(out)}")
