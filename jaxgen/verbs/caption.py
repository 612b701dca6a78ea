"""`jaxgen caption`: what a run says of pictures."""

from __future__ import annotations

import argparse
import os
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.own import add_pictures
from jaxgen.tools.ranges import COUNT, Whole

PYTHON = "jaxgen.run.Run.caption"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("caption", help="captions of pictures")
    command.set_defaults(command=run)
    add_run(command)
    add_pictures(command, "pictures")
    command.add_argument("--num", type=COUNT, default=5, help="captions of each; default: 5")
    text = "beginnings that a search for the likeliest captions keeps; default: 0, which draws"
    command.add_argument("--beam", type=Whole(least=0), default=0, help=text)
    add_seed(command, "of the draws")
    add_places(command)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints a picture a paragraph."""
    from jaxgen.rundir import open_existing
    from jaxgen.views.captions import read

    own = None
    if arguments.pictures:
        directory = open_existing(os.path.expanduser(arguments.run))
        own = read(directory, arguments.pictures, arguments.fit)
    found = load_run(arguments)
    said = found.caption(
        own, arguments.num, arguments.beam, arguments.seed, arguments.fit, **places(arguments)
    )
    single = len(said) == len(arguments.pictures)
    for i, texts in enumerate(said):
        print(arguments.pictures[i] if single else f"picture {i + 1}")
        for text in texts:
            print(f"  {text}")
