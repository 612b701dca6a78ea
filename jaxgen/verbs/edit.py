"""`jaxgen edit`: test images, or pictures of one's own, with one attribute changed."""

from __future__ import annotations

import argparse
import hashlib
import pathlib
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import STILL, add_picture, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import SIDE, Span

PYTHON = "jaxgen.run.Run.edit"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "edit", help="images with one attribute changed, above the true edits where they are known"
    )
    command.set_defaults(command=run)
    add_run(command)
    add_pictures(command, "pictures")
    text = "that jaxgen directions has found, or the path of its .npz"
    command.add_argument("--attribute", required=True, help=text)
    text = "least and most, in units of the attribute; default: -2..2"
    command.add_argument("--strength", type=Span(), default=(-2.0, 2.0), help=text)
    command.add_argument("--num", type=SIDE, default=8, help="test images; default: 8")
    command.add_argument("--steps", type=SIDE, default=5, help="columns; default: 5")
    add_seed(command, "of what an encoder or a search draws")
    add_places(command)
    add_picture(command, *STILL)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws the strips."""
    own = pictures(arguments)
    num = arguments.num if own is None else len(own)
    found = load_run(arguments, 2 * num * (arguments.steps + 1))
    attribute, (least, most) = arguments.attribute, arguments.strength
    name = attribute
    if pathlib.PurePath(attribute).suffix == ".npz":
        digest = hashlib.sha256(attribute.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        name = f"{pathlib.PurePath(attribute).stem}-{digest}"
    asked = {"of": named(arguments.pictures), "fit": arguments.fit, "attribute": name}
    asked |= {"strength": f"{least:g}..{most:g}", "num": num}
    asked |= {"steps": arguments.steps, "seed": arguments.seed}
    out = output(arguments, found, "edit", ".png", **asked)
    picture = found.edit(
        attribute,
        own,
        arguments.strength,
        arguments.num,
        arguments.steps,
        arguments.seed,
        **places(arguments),
    )
    method = picture.about["method"]
    print(f"{attribute} of step {found.step}, by {method}: {picture.save(out)}")
