"""`jaxgen compress`: pictures into a file without loss, by the probabilities of a model."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, load_run, places
from jaxgen.tools.outputs import add_out, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import COUNT

PYTHON = "jaxgen.run.Run.compress"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "compress", help="pictures into a file without loss, by an autoregressive model"
    )
    command.set_defaults(command=run)
    add_run(command)
    add_pictures(command, "pictures")
    add_places(command)
    command.add_argument("--num", type=COUNT, help="test images, the first ones; default: all")
    text = "coded beside each other; the file says how many; default: 32"
    command.add_argument("--batch", type=COUNT, default=32, help=text)
    add_out(command, "the file; default: in the run", ".jxg")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Writes the file, and says how large it is."""
    from jaxgen.coding import bits_per_dim, chosen
    from jaxgen.files import write

    own = pictures(arguments)
    found = load_run(arguments)
    x = chosen(found, own, arguments.num, arguments.fit, **places(arguments))
    asked = {"of": named(arguments.pictures), "num": len(x)}
    out = output(arguments, found, "compressed", ".jxg", **asked)
    data = found.compress(x, batch=arguments.batch)
    write(out, data)
    model = bits_per_dim(found, x)
    print(
        f"{len(x)} {found.spec.unit} in {len(data):,} bytes, {8 * len(data) / x.size:.4f} bits a "
        f"value (the model's own {model:.4f}), by step {found.step}: {out}"
    )
