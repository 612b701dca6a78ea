"""`jaxgen pack`: a run without its optimiser's state as one file, to be given away."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_run, load_run
from jaxgen.tools.outputs import add_out

PYTHON = "jaxgen.tools.packing.pack"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("pack", help="a run as one file, to be given away")
    command.set_defaults(command=run)
    add_run(command)
    add_out(command, "a .tar.gz file; default: RUN.tar.gz", ".tar.gz")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Writes the file."""
    from jaxgen.machine import size
    from jaxgen.tools.packing import pack

    found = load_run(arguments)
    path = pack(found, arguments.out or f"{found.directory.path.name}.tar.gz")
    print(f"pack of step {found.step}, {size(path.stat().st_size)}: {path}")
