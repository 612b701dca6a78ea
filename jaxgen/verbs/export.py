"""`jaxgen export`: a run as programs that need JAX alone."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

from jaxgen.tools.arguments import add_run, load_run
from jaxgen.tools.outputs import add_out

PYTHON = "jaxgen.tools.exporting.export"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "export",
        help="a run as programs that need JAX alone",
        epilog="Further --NAME=VALUE are knobs of the method, for which `sample` is compiled.",
    )
    command.set_defaults(command=run, takes_knobs=True)
    add_run(command)
    add_out(command, "a folder that does not exist yet; default: RUN-export", "")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Writes the folder, and names what is in it."""
    from jaxgen.progress import stage
    from jaxgen.tools.exporting import export

    found = load_run(arguments)
    out = arguments.out or pathlib.Path(f"{found.directory.path.name}-export")
    if out.is_file():  # by --force
        out.unlink()
    with stage("exporting"):
        about = export(found, out, **knobs)
    for name, said in about["functions"].items():
        fixed = said.get("fixed_because")
        print(f"{name}: of {said['results'][0]['shape'][0]} examples alone" if fixed else name)
    for name, why in about["not_available"].items():
        print(f"{name} is not there: {why}")
    print(f"export of step {found.step}: {out}")
