"""`jaxgen project`: the w of test images, or of pictures of one's own, by search."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import STILL, add_picture, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import COUNT, SIDE

PYTHON = "jaxgen.run.Run.project"


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
    add_picture(project, *STILL)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Searches, draws what was found and how the distance fell."""
    own = pictures(arguments)
    num = arguments.num if own is None else len(own)
    found = load_run(arguments, 2 * num)
    asked = {"of": named(arguments.pictures), "fit": arguments.fit, "num": num}
    asked |= {k: getattr(arguments, k) for k in ("steps", "seed")}
    out = output(arguments, found, "projection", ".png", **asked)
    picture = found.project(
        own, arguments.num, arguments.steps, arguments.seed, **places(arguments)
    )
    last = picture.about["distance"]
    print(f"projection by step {found.step}, mean squared error {last:.4g}: {picture.save(out)}")
