"""`jaxgen sweep`: a row of images for every dimension of the latents."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_latents, add_run, chosen_class, load_run, places, shown_class
from jaxgen.tools.outputs import output
from jaxgen.tools.ranges import DEVIATIONS, SIDE


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    text = "a row of images for every dimension of the latents"
    command = commands.add_parser("sweep", help=text)
    command.set_defaults(command=run)
    add_run(command)
    add_latents(command)
    command.add_argument(
        "--dims", type=SIDE, default=10, help="rows, most active first; default: 10"
    )
    command.add_argument("--steps", type=SIDE, default=9, help="columns; default: 9")
    command.add_argument(
        "--span", type=DEVIATIONS, default=3.0, help="in standard deviations; default: 3"
    )
    command.add_argument("--manifold", action="store_true", help="a grid of two latents")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the picture, and names the dimensions."""
    from jaxgen.pictures import save_png
    from jaxgen.tools import latents

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
        save_png(out, latents.manifold(found, label=label, **places(arguments)))
        print(f"manifold of {of}: {out}")
        return
    image, rows = latents.sweep(
        found,
        arguments.dims,
        arguments.steps,
        arguments.span,
        arguments.seed,
        label,
        **places(arguments),
    )
    save_png(out, image)
    print(f"sweep of {of}, dimensions {', '.join(map(str, rows))}: {out}")
