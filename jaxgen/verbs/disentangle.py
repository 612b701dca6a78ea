"""`jaxgen disentangle`: scores of latents against known factors."""

from __future__ import annotations

import argparse
import json
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.ranges import COUNT

PYTHON = "jaxgen.disentangle"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    scores = commands.add_parser("disentangle", help="score latents against known factors")
    scores.set_defaults(command=run)
    add_run(scores)
    scores.add_argument("--num", type=COUNT, default=5000, help="test images; default: 5000")
    add_seed(scores, "of the scores' samplers")
    add_places(scores)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the scores, as JSON."""
    from jaxgen.tools.factors import disentangle

    found = load_run(arguments)
    where = {"run": str(found.directory.path), "step": found.step}
    print(
        json.dumps(
            where | disentangle(found, arguments.num, arguments.seed, **places(arguments)), indent=1
        )
    )
