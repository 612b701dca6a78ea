"""`jaxgen complete`: halves of test images, or of pictures of one's own, with draws of the rest."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_latents, add_run, load_run, own_options, places
from jaxgen.tools.outputs import STILL, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import SIDE

PYTHON = "jaxgen.run.Run.completions"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "complete",
        help="halves of test images, with draws of the rest",
        epilog="Further --NAME=VALUE are the method's own knobs, as --temperature=0.9.",
    )
    command.set_defaults(command=run, takes_knobs=True)
    add_run(command)
    add_pictures(command, "pictures")
    add_latents(command, *STILL)
    command.add_argument("--num", type=SIDE, default=8, help="test images; default: 8")
    command.add_argument(
        "--keep",
        choices=("upper", "lower", "left", "right"),
        default="upper",
        help="the half that is known; default: upper",
    )
    command.add_argument("--copies", type=SIDE, default=6, help="draws of each; default: 6")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture, an image a row."""
    from jaxgen.evaluate.validation import check_knobs

    own = pictures(arguments)
    found = load_run(arguments, arguments.num * (arguments.copies + 2))
    check_knobs(found.method, knobs, own_options(arguments))
    asked = {"of": named(arguments.pictures), "fit": arguments.fit, "class": arguments.label}
    if own is None:
        asked |= {"num": arguments.num}
    asked |= {"keep": arguments.keep, "copies": arguments.copies, **dict(sorted(knobs.items()))}
    out = output(arguments, found, "completions", ".png", **asked, seed=arguments.seed)
    picture = found.completions(
        own,
        arguments.num,
        arguments.keep,
        arguments.copies,
        arguments.seed,
        arguments.label,
        **places(arguments),
        **knobs,
    )
    print(f"completions of step {found.step}: {picture.save(out)}")
