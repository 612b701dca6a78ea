"""`jaxgen sweep`: a row of images for every dimension of the latents."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_latents, add_run, chosen_class, load_run, places, shown_class
from jaxgen.tools.outputs import MOVING, STILL, kind, output
from jaxgen.tools.ranges import DEVIATIONS, SIDE

PYTHON = ("jaxgen.run.Run.sweep", "jaxgen.run.Run.manifold")


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    text = "a row of images for every dimension of the latents"
    command = commands.add_parser("sweep", help=text)
    command.set_defaults(command=run)
    add_run(command)
    add_latents(command, *MOVING)
    command.add_argument(
        "--dims", type=SIDE, default=10, help="rows, most active first; default: 10"
    )
    command.add_argument("--steps", type=SIDE, default=9, help="columns, or frames; default: 9")
    command.add_argument(
        "--span", type=DEVIATIONS, default=3.0, help="in standard deviations; default: 3"
    )
    command.add_argument("--manifold", action="store_true", help="a grid of two latents")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture, and names the dimensions."""
    if arguments.manifold and arguments.out and kind(arguments.out) not in STILL:
        raise ConfigError(f"--out={arguments.out}: a manifold does not move: take .png or .npz")
    found = load_run(arguments, arguments.dims * arguments.steps)
    label = chosen_class(arguments, found)
    asked = {"class": label, "seed": arguments.seed}
    if arguments.manifold:
        asked = {"class": label}
    else:
        asked |= {k: getattr(arguments, k) for k in ("dims", "steps", "span")}
    name = "manifold" if arguments.manifold else "sweep"
    out = output(arguments, found, name, ".png", **asked)
    of = f"step {found.step}{shown_class(label)}"
    if arguments.manifold:
        print(f"manifold of {of}: {found.manifold(label=label, **places(arguments)).save(out)}")
        return
    picture = found.sweep(
        arguments.dims,
        arguments.steps,
        arguments.span,
        arguments.seed,
        label,
        **places(arguments),
    )
    rows = ", ".join(map(str, picture.arrays["dims"]))
    print(f"sweep of {of}, dimensions {rows}: {picture.save(out)}")
