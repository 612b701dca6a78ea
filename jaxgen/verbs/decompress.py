"""`jaxgen decompress`: the pictures of a file that `jaxgen compress` wrote."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_run, load_run
from jaxgen.tools.outputs import add_out, kind, output
from jaxgen.verbs.sample import write_pictures

PYTHON = "jaxgen.run.Run.decompress"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("decompress", help="the pictures of a file of `jaxgen compress`")
    command.set_defaults(command=run)
    add_run(command)
    command.add_argument("file", type=pathlib.Path, help="that was written by the same run")
    text = ".npz of arrays, or FOLDER/ of single .png; default: an .npz in the run"
    add_out(command, text, ".npz", folder=True)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Writes them."""
    from jaxgen.coding import contents, inspect
    from jaxgen.files import write_arrays

    path, data = arguments.file, contents(arguments.file)
    try:
        inspect(data)  # before the checkpoint
        found = load_run(arguments)
        x = found.decompress(data)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    out = output(arguments, found, "decompressed", ".npz", of=path.stem)
    if kind(out) == ".npz":
        write_arrays(out, x=x)
    elif found.spec.x.kind != "image":
        raise ConfigError(f"--out={out}/: {found.spec.name} has no images; name an .npz")
    else:
        write_pictures(out, [x], found.spec)
    print(f"{len(x)} {found.spec.unit} of {path}: {out}")
