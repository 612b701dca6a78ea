"""`jaxgen reconstruct`: test images, or pictures of one's own, above their reconstructions."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_latents, add_run, load_run, places
from jaxgen.tools.outputs import STILL, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import SIDE

PYTHON = "jaxgen.run.Run.reconstructions"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("reconstruct", help="test images above their reconstructions")
    command.set_defaults(command=run)
    add_run(command)
    add_pictures(command, "pictures")
    add_latents(command, *STILL)
    command.add_argument("--num", type=SIDE, default=32, help="test images; default: 32")
    command.add_argument("--groups", type=SIDE, help="of latents to keep, from the top")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture."""
    own = pictures(arguments)
    found = load_run(arguments, 2 * arguments.num)
    asked = {"of": named(arguments.pictures), "class": arguments.label, "fit": arguments.fit}
    if own is None:
        asked |= {"num": arguments.num}
        if arguments.label is not None:
            raise ConfigError("--class is of your own pictures: test images have theirs")
    asked |= {"groups": arguments.groups, "seed": arguments.seed}
    out = output(arguments, found, "reconstructions", ".png", **asked)
    picture = found.reconstructions(
        own,
        arguments.num,
        arguments.seed,
        arguments.groups,
        arguments.label,
        **places(arguments),
    )
    print(f"reconstructions of step {found.step}: {picture.save(out)}")
