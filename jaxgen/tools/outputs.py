"""Files that commands write: names that tell everything, and places that can be written."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import importlib.util
import os
import pathlib
import tempfile
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.files import pictures_in, write, write_arrays

STILL = (".png", ".npz")  # of a `views.Picture`, and of one with frames
MOVING = (".png", ".webp", ".gif", ".mp4", ".npz")
LONGEST = 150  # characters of a name, without step and suffix: file systems take 255 bytes


@dataclasses.dataclass(frozen=True)
class Output:
    """The type of an option that names a file to write; checked before any work is done.

    Attributes:
        kinds: suffixes that the command can write; "" is a folder, which must not be there.
        folder: whether a directory may be named too, by a slash at the end.
    """

    kinds: tuple[str, ...]
    folder: bool = False

    def taken(self, path: pathlib.Path) -> bool:
        """Whether something is there that would be written over."""
        return any(pictures_in(path)) if path.is_dir() else os.path.lexists(path)

    def __call__(self, text: str) -> pathlib.Path:
        """The path, with ~ expanded.

        Raises:
            argparse.ArgumentTypeError: for another kind of file, or one that cannot be written.
        """
        path = pathlib.Path(os.path.expanduser(text))
        if str(path).startswith("~"):
            raise argparse.ArgumentTypeError(f"={text}: there is no such home directory")
        if self.folder and text.endswith(os.sep):
            why = unwritable(path / "0") if kind(path) not in self.kinds else "of this name"
        elif os.path.isdir(path) and "" in self.kinds:
            why = "it exists: name another"
        elif os.path.isdir(path):
            why = f"it is a directory: name a file, as {path / ('x' + self.kinds[0])}"
        elif kind(path) not in self.kinds:
            kinds = " or ".join(kind or "no suffix, as of a folder" for kind in self.kinds)
            raise argparse.ArgumentTypeError(f"={text}, expected a name that ends in {kinds}")
        elif kind(path) == ".mp4" and importlib.util.find_spec("av") is None:
            raise argparse.ArgumentTypeError(f"={text}: films need PyAV: pip install av, or .gif")
        else:
            why = unwritable(path)
        if why:
            raise argparse.ArgumentTypeError(f"={text} cannot be written: {why}")
        return path


def kind(path: pathlib.Path) -> str:
    """Its suffix in small letters, which says how it is written; ".tar.gz" is one."""
    name = path.name.lower()
    return ".tar.gz" if name.endswith(".tar.gz") else path.suffix.lower()


def add_out(command: argparse.ArgumentParser, help: str, *kinds: str, **options: Any) -> None:
    """The option that says where a command writes, and the one that lets it write over a file.

    Args:
        command: that writes.
        help: what is written; the default place.
        *kinds: suffixes that it can write.
        **options: `name` of the option, by default --out; `folder`, see `Output`; others are those
            of `add_argument`.
    """
    name, folder = options.pop("name", "--out"), options.pop("folder", False)
    command.add_argument(name, type=Output(kinds, folder), help=help, **options)
    command.add_argument("--force", action="store_true", help=f"write over what {name} names")


def add_picture(command: argparse.ArgumentParser, *kinds: str, default: str = ".png") -> None:
    """`add_out` of what is a `views.Picture`; by default it is in the run."""
    named = [f"{kind} of arrays" if kind == ".npz" else kind for kind in kinds]
    folder = ".webp" in kinds
    frames = ", FOLDER/ of frames" if folder else ""
    text = f"{', '.join(named)}{frames}; default: {default} in the run"
    add_out(command, text, *kinds, folder=folder)


def add_timing(command: argparse.ArgumentParser) -> None:
    """When the frames of a film are taken: see `views.timing`."""
    text = "of frames: even along the path, or in what is seen of each row; default: even"
    command.add_argument("--timing", choices=("even", "perceptual"), default="even", help=text)


def told_timing(timing: str) -> str | None:
    """As part of the name of a file: the usual one is left out."""
    return None if timing == "even" else timing


def check_free(arguments: argparse.Namespace, command: argparse.ArgumentParser) -> None:
    """Refuses to write over a file that was named, before any work: `add_out` of all commands.

    Raises:
        ConfigError: naming it.
    """
    for action in command._actions:
        path = getattr(arguments, action.dest, None)
        if isinstance(action.type, Output) and path is not None and not arguments.force:
            if action.type.taken(path):
                what = f"{path}/ holds pictures already" if path.is_dir() else f"{path} exists"
                raise ConfigError(
                    f"{action.option_strings[0]}: {what}: name another, or add --force to write "
                    "over it"
                )


def unwritable(path: pathlib.Path) -> str | None:
    """Why no file can be made at `path`, by trying one beside it; None if it can."""
    parent = path.absolute().parent
    if "\0" in str(path):
        return "a name holds no null byte"
    try:
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            return f"{parent} is a file"
        if path.exists() and not path.is_file():
            return "it is not a file"
        with tempfile.TemporaryFile(dir=parent):
            return None
    except OSError as error:
        return f"{parent}: {error.strerror or error}"


def output(
    arguments: argparse.Namespace, run: Any, name: str, suffix: str, **knobs: Any
) -> pathlib.Path:
    """Where a command writes: `--out`, or into the run under a name that holds every knob.

    Args:
        arguments: with `out`.
        run: loaded; its step is in the name.
        name: of what is written.
        suffix: of the file.
        **knobs: all that the file depends on; those that are None are left out.

    Raises:
        ConfigError: when the run's own directory cannot be written.
    """
    if arguments.out is not None:
        return arguments.out
    knobs |= {"average": arguments.average}
    parts = [
        name,
        *(f"{k}{spelt(v)}" for k, v in knobs.items() if v is not None and v is not False),
    ]
    told = "_".join(parts)
    if len(told) > LONGEST:
        told = f"{told[:LONGEST]}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"
    path = run.directory.samples / f"{told}_step{run.step:08}{suffix}"
    if why := unwritable(path):
        raise ConfigError(f"{path} cannot be written ({why}): name another place with --out=FILE")
    return path


def spelt(value: Any) -> str:
    """A value as part of a file's name: letters, digits, dots and dashes."""
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in str(value))


def save_npz(path: pathlib.Path, **arrays: Any) -> None:
    """Writes arrays atomically."""
    write_arrays(path, **arrays)


def save_text(path: pathlib.Path, text: str) -> None:
    """Writes text atomically."""
    write(path, text.encode("utf-8", errors="backslashreplace"))
