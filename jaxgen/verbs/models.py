"""`jaxgen models`: what a config can name, and the configs' presets."""

from __future__ import annotations

import argparse
from typing import Any

PYTHON = ("jaxgen.tools.models.report", "jaxgen.tools.models.describe")


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    models = commands.add_parser("models", help="what a config can name, and the configs' presets")
    models.set_defaults(command=run)
    models.add_argument("config", nargs="?", help="describe this one and its presets")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the list, or one config's own words."""
    from jaxgen.tools.models import describe, report

    print(describe(arguments.config) if arguments.config else report())
