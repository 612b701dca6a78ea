"""`jaxgen doctor`: versions, devices, and what is missing."""

from __future__ import annotations

import argparse
from typing import Any

PYTHON = "jaxgen.machine.report"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    doctor = commands.add_parser("doctor", help="versions, devices, and what is missing")
    doctor.set_defaults(command=run)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the report."""
    from jaxgen.machine import report

    print(report())
