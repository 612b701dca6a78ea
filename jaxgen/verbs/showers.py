"""`jaxgen showers`: showers of a run beside simulated ones, as physicists compare them."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import add_out, output
from jaxgen.tools.ranges import COUNT, Real

PYTHON = "jaxgen.run.Run.showers"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("showers", help="showers of a run beside simulated ones")
    command.set_defaults(command=run)
    add_run(command)
    text = "GeV; test showers within a tenth of it are taken; default: all"
    command.add_argument("--energy", type=Real(), help=text)
    text = "name of the class, as photon; default: all"
    command.add_argument("--particle", metavar="NAME", help=text)
    text = "showers, as many as there are at most; default: 2000"
    command.add_argument("--num", type=COUNT, default=2000, help=text)
    add_seed(command, "of the samples")
    add_places(command)
    text = ".png; .npz of showers; .hdf5 of them, as of CaloGAN; default: .png in the run"
    add_out(command, text, ".png", ".npz", ".hdf5")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the table, draws histograms and mean layers."""
    from jaxgen.data import shower_files

    found = load_run(arguments)
    names = ("energy", "particle", "num", "seed")
    asked = {name: getattr(arguments, name) for name in names}
    out = output(arguments, found, "showers", ".png", **asked)
    picture = found.showers(**asked, **places(arguments))
    print("\n".join(picture.about["table"]))
    print(f"{picture.about['milliseconds']:.3g} ms a shower, compiled before")
    if out.suffix.lower() == ".hdf5":
        shower_files.write(out, picture.arrays["x"], picture.arrays["energy"])
    else:
        picture.save(out)
    print(out)
