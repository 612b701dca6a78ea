"""`jaxgen directions`: how the codes of a run change with an attribute of its data."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import add_out
from jaxgen.tools.own import FITS
from jaxgen.tools.ranges import COUNT

PYTHON = "jaxgen.run.Run.directions"
# `views.directions.METHODS`, which is not imported for the sake of --help
METHODS = (
    "shift",
    "mean",
    "hyperplane",
    "conditional",
    "pattern",
    "sefa",
    "ganspace",
    "stylespace",
)


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "directions", help="find how codes change with an attribute, for jaxgen edit"
    )
    command.set_defaults(command=run)
    add_run(command)
    command.add_argument(
        "--attribute", required=True, help="a factor of the data set, or a column of --table"
    )
    command.add_argument("--keep", help="attributes that are kept, A,B; default: all others")
    text = "default: shift where other attributes are known, else mean"
    command.add_argument("--method", choices=METHODS, help=text)
    text = "of attributes: a column of names of pictures beside it, then a column an attribute"
    command.add_argument("--table", metavar="FILE", help=text)
    text = "pictures that have the attribute: a folder, .zip, .npz or .npy"
    command.add_argument("--having", metavar="PICTURES", help=text)
    command.add_argument("--lacking", metavar="PICTURES", help="pictures that have it not")
    command.add_argument("--num", type=COUNT, default=5000, help="examples, at most; default: 5000")
    text = "how pictures of another size are brought to the run's"
    command.add_argument("--fit", choices=FITS, help=text)
    add_seed(command, "of what is drawn")
    add_places(command)
    add_out(command, ".npz; default: directions/ATTRIBUTE.npz in the run", ".npz")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Finds it, keeps it, says how well it tells held-out examples apart."""
    import pathlib

    from jaxgen.config import ConfigError

    name = arguments.attribute
    if arguments.out is None and pathlib.PurePath(name).name != name:
        raise ConfigError(f"--attribute={name}: a name with a slash needs --out=FILE.npz")
    found = load_run(arguments)
    taken = ("keep", "method", "table", "having", "lacking", "num", "seed", "fit")
    options = {key: getattr(arguments, key) for key in taken}
    direction = found.directions(name, **options, **places(arguments))
    about = direction.about
    path = direction.save(arguments.out or found.directory.path / "directions" / f"{name}.npz")
    kept = ", ".join(about["names"][1:])
    print(
        f"{name} by {about['method']}{f', keeping {kept}' if kept else ''}, of "
        f"{about['examples']:,} {about['source']}: accuracy {about['accuracy']:.3f} on those held "
        f"out: {path}"
    )
