"""`jaxgen palette`: the colours of the classes, with which one paints a layout."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_run, load_run
from jaxgen.tools.outputs import STILL, add_picture, output

PYTHON = "jaxgen.run.Run.palette"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "palette",
        help="the colours of classes, with which one paints a layout",
        epilog="jaxgen translate RUN painted.png makes a picture of it.",
    )
    command.set_defaults(command=run)
    add_run(command)
    add_picture(command, *STILL)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Writes the picture, and prints number and colour of each class."""
    found = load_run(arguments)
    picture = found.palette()
    out = output(arguments, found, "palette", ".png")
    for number, (red, green, blue) in enumerate(picture.arrays["colours"].tolist()):
        print(f"class {number}: #{red:02x}{green:02x}{blue:02x}")
    print(f"palette of {found.spec.name}: {picture.save(out)}")
