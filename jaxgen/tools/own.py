"""Pictures of one's own as arguments: brought to the size, channels and levels of a run's data."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from jaxgen.config import ConfigError

FITS = ("crop", "pad", "stretch")
MOST = 10_000  # pictures


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
    """The pictures that `add_pictures`'s arguments name, [N, H, W, C] in the units of the data.

    Needs the run's directory alone, so that a mistake comes before the checkpoint is read.

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
    import numpy as np

    from jaxgen.rundir import open_existing, read_json

    directory = open_existing(os.path.expanduser(arguments.run))
    spec, section = directory.spec(), read_json(directory.config).get("data", {})
    fit = arguments.fit or (section.get("fit") if section.get("fit") in FITS else "crop")
    sets = [_set(pathlib.Path(os.path.expanduser(p)), spec, fit) for p in arguments.pictures]
    if (count := sum(map(len, sets))) > MOST:
        raise ConfigError(f"{count:,} pictures, expected at most {MOST:,}: name fewer")
    for note in dict.fromkeys(note for one in sets for note in one.notes):
        print(f"note: {note}", file=sys.stderr)
    return np.concatenate([x for one in sets for x in one])


def _set(path: pathlib.Path, spec: Any, fit: str) -> Any:
    """The images of one argument; see `evaluate.sets`."""
    from jaxgen.data import images
    from jaxgen.evaluate.sets import FolderSet, open_set, single_file

    is_picture = path.is_file() and path.name.lower().endswith(images.SUFFIXES)
    found = single_file(path, spec) if is_picture else open_set(path, spec)
    if isinstance(found, FolderSet):
        return dataclasses.replace(found, fit=fit)
    return found


def named(paths: Sequence[str]) -> str | None:
    """Files as part of the name of a picture, None without any: their names and a digest."""
    if not paths:
        return None
    whole = "\n".join(os.path.abspath(os.path.expanduser(path)) for path in paths)
    digest = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return "-".join([*(pathlib.PurePath(path).stem for path in paths[:3]), digest])


def with_class(own: Any, label: int | None) -> Any:
    """A batch of one's own pictures, all of one class; None without any."""
    if own is None:
        return None
    import numpy as np

    given = {} if label is None else {"label": np.full(len(own), label, np.int32)}
    return {"x": own} | given
