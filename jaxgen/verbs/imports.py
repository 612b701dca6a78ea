"""`jaxgen import`: official weights as a run."""

from __future__ import annotations

import argparse
from typing import Any

PYTHON = "jaxgen.tools.import_stylegan2.import_pickle"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    weights = commands.add_parser("import", help="official StyleGAN2 weights (.pkl) as a run")
    weights.set_defaults(command=run)
    weights.add_argument("file", help="of NVlabs/stylegan2-ada-pytorch; its code is not run")
    weights.add_argument("--workdir", required=True, help="a new run directory")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Reads the file, writes the run."""
    from jaxgen.progress import remark, stage
    from jaxgen.tools.import_stylegan2 import import_pickle

    with stage(f"importing {arguments.file}"):
        found = import_pickle(arguments.file, arguments.workdir, remark)
    print(f"imported: {found.path}")
