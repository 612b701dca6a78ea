"""`jaxgen trajectory`: samples on their way from noise to data."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_run, add_seed, load_run, own_options
from jaxgen.tools.outputs import MOVING, add_picture, output
from jaxgen.tools.ranges import SIDE

PYTHON = "jaxgen.run.Run.trajectory"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "trajectory",
        help="samples on their way from noise to data",
        epilog="Further --NAME=VALUE are the method's own knobs, as --steps=50 --class=3.",
    )
    command.set_defaults(command=run, takes_knobs=True)
    add_run(command)
    command.add_argument("--num", type=SIDE, default=8, help="samples, a row each; default: 8")
    command.add_argument("--frames", type=SIDE, default=10, help="columns, or frames; default: 10")
    add_seed(command, "of the samples")
    add_picture(command, *MOVING)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture, a sample a row, or the film."""
    from jaxgen.evaluate.givens import split_given
    from jaxgen.evaluate.validation import check_knobs
    from jaxgen.views.examples import check_class

    found = load_run(arguments, arguments.num * arguments.frames)
    fields, rest = split_given(found.spec, knobs)
    check_class(found, fields.get("label"))
    check_knobs(found.method, knobs, own_options(arguments))
    named = {"class" if k == "label" else k: v for k, v in sorted((rest | fields).items())}
    asked = {"num": arguments.num, "frames": arguments.frames} | named | {"seed": arguments.seed}
    out = output(arguments, found, "trajectory", ".png", **asked)
    picture = found.trajectory(arguments.num, arguments.frames, arguments.seed, **knobs)
    print(f"trajectories of step {found.step}: {picture.save(out)}")
