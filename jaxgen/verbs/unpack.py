"""`jaxgen unpack`: a run directory of what `jaxgen pack` wrote."""

from __future__ import annotations

import argparse
from typing import Any

PYTHON = "jaxgen.tools.packing.unpack"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("unpack", help="a run directory of a pack")
    command.set_defaults(command=run)
    command.add_argument("file", help="a .tar.gz of jaxgen pack")
    command.add_argument("--workdir", required=True, help="a new run directory")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Checks the file and writes the run."""
    from jaxgen.tools.packing import unpack

    print(f"unpacked: {unpack(arguments.file, arguments.workdir).path}")
