"""`jaxgen prune`: frees the disk of what a run can make again, or has set aside."""

from __future__ import annotations

import argparse
from typing import Any

PYTHON = "jaxgen.prune"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    prune = commands.add_parser("prune", help="free the disk of what a run can make again")
    prune.set_defaults(command=run)
    prune.add_argument("run", help="a run directory")
    prune.add_argument(
        "--set_aside",
        action="store_true",
        help="also what --restart moved away, and damaged checkpoints: nothing makes them again",
    )
    prune.add_argument("--yes", action="store_true", help="delete; otherwise only listed")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Lists what would go, or deletes it; a run that trains is refused."""
    from jaxgen.machine import size
    from jaxgen.tools.overview import size_of
    from jaxgen.tools.pruning import prune

    found = prune(arguments.run, arguments.set_aside)
    sizes = [size_of(path) for path, _ in found]
    for (path, why), count in zip(found, sizes, strict=True):
        print(f"{size(count)}  {path}  ({why})")
    if not found:
        print(f"nothing to free in {arguments.run}")
    elif not arguments.yes:
        print(f"{size(sum(sizes))} together; add --yes to delete")
    else:
        prune(arguments.run, arguments.set_aside, yes=True)
        print(f"{size(sum(sizes))} freed")
