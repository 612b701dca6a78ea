"""`jaxgen prune`: frees the disk of what a run can make again, or has set aside."""

from __future__ import annotations

import argparse
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

ASIDE = ("before-restart-*", "checkpoints/corrupt-*")  # moved there by --restart, or as damaged
AGAIN = {"evaluation/generated": "samples that were measured; drawn again when asked for"}


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
    from jaxgen.files import WriteError
    from jaxgen.lock import Lock
    from jaxgen.machine import size
    from jaxgen.rundir import open_existing
    from jaxgen.tools.overview import size_of

    directory = open_existing(arguments.run)
    found = list(removable(directory.path, arguments.set_aside))
    total = size(sum(size_of(path) for path, _ in found))
    for path, why in found:
        print(f"{size(size_of(path))}  {path}  ({why})")
    if not found:
        print(f"nothing to free in {directory.path}")
    elif not arguments.yes:
        print(f"{total} together; add --yes to delete")
    else:
        lock = Lock(directory.path)
        try:
            for path, _ in found:
                shutil.rmtree(path)
        except OSError as error:
            raise WriteError(pathlib.Path(error.filename or directory.path), error) from error
        finally:
            lock.release()
        print(f"{total} freed")


def removable(path: pathlib.Path, set_aside: bool) -> Iterator[tuple[pathlib.Path, str]]:
    """Folders of a run, and why each may go; what a link leads to is not the run's."""
    for name, why in AGAIN.items():
        if _own(path / name):
            yield path / name, why
    for pattern in ASIDE if set_aside else ():
        for place in sorted(path.glob(pattern)):
            if _own(place):
                yield place, "set aside"


def _own(place: pathlib.Path) -> bool:
    return place.is_dir() and not place.is_symlink() and not place.parent.is_symlink()
