"""`jaxgen project`: the w of test images, or of pictures of one's own, by search."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import add_out, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import COUNT, SIDE


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    project = commands.add_parser("project", help="find the w of test images, with its loss curve")
    project.set_defaults(command=run)
    add_run(project)
    add_pictures(project, "pictures")
    project.add_argument("--num", type=SIDE, default=8, help="test images; default: 8")
    project.add_argument("--steps", type=COUNT, default=400, help="of the search; default: 400")
    add_seed(project, "of the search")
    add_places(project)
    add_out(project, ".png; default: in the run", ".png")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Searches, draws what was found and how the distance fell."""
    from jaxgen.pictures import save_png
    from jaxgen.tools import styles

    own = pictures(arguments)
    num = arguments.num if own is None else len(own)
    found = load_run(arguments, 2 * num)
    asked = {"of": named(arguments.pictures), "fit": arguments.fit, "num": num}
    asked |= {k: getattr(arguments, k) for k in ("steps", "seed")}
    out = output(arguments, found, "projection", ".png", **asked)
    image, last = styles.projected(
        found, arguments.num, arguments.steps, arguments.seed, own, **places(arguments)
    )
    save_png(out, image)
    print(f"projection by step {found.step}, mean squared error {last:.4g}: {out}")
