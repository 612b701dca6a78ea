"""`jaxgen classes`: whether samples are of the class asked for."""

from __future__ import annotations

import argparse
import json
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, own_options, places
from jaxgen.tools.ranges import COUNT

PYTHON = "jaxgen.classes"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    classes = commands.add_parser("classes", help="whether samples are of the class asked for")
    classes.set_defaults(command=run, takes_knobs=True)
    add_run(classes)
    classes.add_argument(
        "--num", type=COUNT, default=1000, help="samples, of all classes together; default: 1000"
    )
    add_seed(classes, "of the samples")
    add_places(classes)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the shares, as JSON."""
    from jaxgen.evaluate.validation import check_knobs
    from jaxgen.tools import classes

    found = load_run(arguments, arguments.num, drawn=False)
    check_knobs(found.method, knobs, own_options(arguments))
    where = {"run": str(found.directory.path), "step": found.step} | knobs
    found = classes.classes(found, arguments.num, arguments.seed, knobs, **places(arguments))
    print(json.dumps(where | found, indent=1))
