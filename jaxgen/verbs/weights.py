"""`jaxgen weights`: fetches the published weights of an extractor."""

from __future__ import annotations

import argparse
from typing import Any

PYTHON = "jaxgen.weights.published.fetch"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    files = commands.add_parser("weights", help="fetch the published weights of an extractor")
    files.set_defaults(command=run)
    files.add_argument("name", help="inception; lpips_vgg, or its two: vgg16, lpips")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Fetches, checks, says where they are."""
    from jaxgen.progress import remark
    from jaxgen.weights.published import fetch

    for name, path in fetch(arguments.name, remark).items():
        print(f"{name}: {path}")
