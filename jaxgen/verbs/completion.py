"""`jaxgen completion`: commands and options, completed by the shell."""

from __future__ import annotations

import argparse
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")

PYTHON = "jaxgen.verbs.parser"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    completion = commands.add_parser(
        "completion",
        help="a script that completes commands and options",
        epilog='For this shell: eval "$(jaxgen completion bash)"; for all, that line in ~/.bashrc.',
    )
    completion.set_defaults(command=run)
    completion.add_argument("shell", choices=SHELLS, help="bash, zsh or tcsh")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the script."""
    import shtab

    from jaxgen.verbs import parser

    print(shtab.complete(parser(), shell=arguments.shell))
