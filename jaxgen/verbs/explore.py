"""`jaxgen explore`: a page with sliders for what a run, or two beside each other, can do."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_run, allowed, load_run
from jaxgen.tools.ranges import Whole

PYTHON = "jaxgen.explorer.serving.explore"
PORT = Whole(1, 65535)


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("explore", help="sliders for a run of images, in the browser")
    command.set_defaults(command=run)
    add_run(command)
    command.add_argument("second", nargs="?", help="a run that is shown beside it")
    text = "where it listens, or the next free one; default: 8787"
    command.add_argument("--port", type=PORT, default=8787, help=text)
    text = "address that it listens at, others than the default with a token; default: 127.0.0.1"
    command.add_argument("--host", default="127.0.0.1", help=text)
    command.add_argument("--token", help="that the page asks for; default: one is made for --host")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Serves until Ctrl-C."""
    import os

    from jaxgen.explorer.serving import check, explore

    check(arguments.host, arguments.token)
    first, second = load_run(arguments), None
    if arguments.second is not None:
        from jaxgen.run import Run

        place = os.path.expanduser(arguments.second)
        second = Run(place, arguments.step, allowed(arguments), arguments.average)
    given = {"average": arguments.average, "allow": arguments.allow}
    words = [f"--{name}={value}" for name, value in given.items() if value]
    explore(first, second, arguments.port, arguments.host, arguments.token, words)
