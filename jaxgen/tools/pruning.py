"""What of a run can be made again, or was set aside: found, and deleted when that is said."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Iterator

from jaxgen.files import WriteError
from jaxgen.lock import Lock
from jaxgen.rundir import open_existing

ASIDE = ("before-restart-*", "checkpoints/corrupt-*")  # moved there by --restart, or as damaged
AGAIN = {"evaluation/generated": "samples that were measured; drawn again when asked for"}


def prune(
    run: str | os.PathLike[str], set_aside: bool = False, yes: bool = False
) -> list[tuple[pathlib.Path, str]]:
    """Lists the folders that a run can do without, or deletes them.

    Args:
        run: its directory.
        set_aside: also what `--restart` moved away, and damaged checkpoints, which nothing makes
            again.
        yes: delete.

    Returns:
        (folder, why it may go) of each.

    Raises:
        ConfigError: for no run, or one that is being trained.
        WriteError: for what cannot be deleted.
    """
    directory = open_existing(run)
    found = list(removable(directory.path, set_aside))
    if not (found and yes):
        return found
    lock = Lock(directory.path)
    try:
        for path, _ in found:
            shutil.rmtree(path)
    except OSError as error:
        raise WriteError(pathlib.Path(error.filename or directory.path), error) from error
    finally:
        lock.release()
    return found


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
