"""`jaxgen sweep`: a row of images for every dimension of the latents."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_latents, add_run, chosen_class, load_run, places, shown_class
from jaxgen.tools.outputs import MOVING, STILL, kind, output
from jaxgen.tools.ranges import DEVIATIONS, SIDE, VALUE

PYTHON = ("jaxgen.run.Run.sweep", "jaxgen.run.Run.manifold", "jaxgen.run.Run.knob_sweep")


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
    text = "a row for each sample instead, over values of a knob, as temperature or truncation"
    command.add_argument("--knob", metavar="NAME", help=text)
    command.add_argument("--low", type=VALUE, default=0.0, help="of the knob; default: 0")
    command.add_argument("--high", type=VALUE, default=1.0, help="of the knob; default: 1")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture, and names the dimensions."""
    if arguments.manifold and arguments.out and kind(arguments.out) not in STILL:
        raise ConfigError(f"--out={arguments.out}: a manifold does not move: take .png or .npz")
    if arguments.manifold and arguments.knob:
        raise ConfigError("--manifold and --knob: name one of them")
    found = load_run(arguments, arguments.dims * arguments.steps)
    label = chosen_class(arguments, found)
    of = f"step {found.step}{shown_class(label)}"
    if arguments.manifold:
        out = output(arguments, found, "manifold", ".png", **{"class": label})
        print(f"manifold of {of}: {found.manifold(label=label, **places(arguments)).save(out)}")
        return
    asked = {"class": label, "seed": arguments.seed}
    if arguments.knob:
        asked |= {k: getattr(arguments, k) for k in ("knob", "low", "high", "dims", "steps")}
        out = output(arguments, found, "sweep", ".png", **asked)
        ends = (arguments.knob, arguments.low, arguments.high)
        picture = found.knob_sweep(*ends, arguments.dims, arguments.steps, arguments.seed, label)
        print(f"sweep of {of}, {arguments.knob}: {picture.save(out)}")
        return
    asked |= {k: getattr(arguments, k) for k in ("dims", "steps", "span")}
    out = output(arguments, found, "sweep", ".png", **asked)
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
