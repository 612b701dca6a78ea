"""`jaxgen inspect`: what a file of `jaxgen compress` says of itself."""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from jaxgen.config import ConfigError

PYTHON = "jaxgen.coding.inspect"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    text = "what a file of `jaxgen compress` holds, without its model"
    command = commands.add_parser("inspect", help=text)
    command.set_defaults(command=run)
    command.add_argument("file", type=pathlib.Path, help="a .jxg")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Checks all checksums, and prints the header and the bits of its parts, as JSON."""
    from jaxgen.coding import contents, inspect

    data = contents(arguments.file)
    try:
        print(json.dumps(inspect(data), indent=1))
    except ConfigError as error:
        raise ConfigError(f"{arguments.file}: {error}") from error
