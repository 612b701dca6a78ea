"""Pictures of one's own as arguments."""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from jaxgen.config import ConfigError

FITS = ("crop", "pad", "stretch")


def add_pictures(command: argparse.ArgumentParser, what: str) -> None:
    """Files of pictures, and how they are brought to the size of the data."""
    text = f"{what}, instead of test images: image files, folders, .zip, .npz or .npy"
    command.add_argument("pictures", nargs="*", metavar="picture", help=text)
    command.add_argument(
        "--fit",
        choices=FITS,
        help="how pictures of another size are brought to the run's; default: as the data were, "
        "or crop",
    )


def pictures(arguments: argparse.Namespace) -> Any:
    """The pictures that `add_pictures`'s arguments name; see `views.examples.read`.

    Returns:
        None where there are no such arguments.

    Raises:
        ConfigError: for what is no picture, or cannot be brought to what the run's data are.
        DataError: for a damaged file.
    """
    if not arguments.pictures:
        if arguments.fit is not None:
            raise ConfigError(f"--fit={arguments.fit} is of pictures: name some after the run")
        return None
    from jaxgen.rundir import open_existing
    from jaxgen.views.examples import read

    directory = open_existing(os.path.expanduser(arguments.run))
    return read(directory, arguments.pictures, arguments.fit)


def named(paths: Sequence[str]) -> str | None:
    """Files as part of the name of a picture, None without any: their names and a digest."""
    if not paths:
        return None
    whole = "\n".join(os.path.abspath(os.path.expanduser(path)) for path in paths)
    digest = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return "-".join([*(pathlib.PurePath(path).stem for path in paths[:3]), digest])
