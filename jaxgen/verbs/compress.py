"""`jaxgen compress`: pictures into a file, by the probabilities of a model."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, load_run, places
from jaxgen.tools.outputs import add_out, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import COUNT, SEED, Whole

PYTHON = "jaxgen.run.Run.compress"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("compress", help="pictures into a file, by a model's bits")
    command.set_defaults(command=run)
    add_run(command)
    add_pictures(command, "pictures")
    add_places(command)
    command.add_argument("--num", type=COUNT, help="test images, the first ones; default: all")
    text = "coded beside each other; the file says how many; default: 32, with latents 1"
    command.add_argument("--batch", type=COUNT, help=text)
    text = "images that are decoded each for itself; default: 1024"
    command.add_argument("--chunk", type=COUNT, help=text)
    text = "write the file without decoding it first"
    command.add_argument("--no_verify", dest="verify", action="store_false", help=text)
    text = "bits of a latent, 4 to 14, of models with latents"
    command.add_argument("--precision", type=Whole(4, 14), help=text)
    lossy = command.add_argument_group("lossy files, of models with groups of latents")
    lossy.add_argument("--groups", type=COUNT, help="of latents to keep, from the top")
    text = "bins in a deviation of a latent, 1 to 64; default: 2"
    lossy.add_argument("--fineness", type=Whole(1, 64), help=text)
    text = "of latents that are not kept; default: 0, their means"
    lossy.add_argument("--seed", type=SEED, help=text)
    add_out(command, "the file; default: in the run", ".jxg")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Writes the file, and says how large it is."""
    from jaxgen.coding import chosen, inspect
    from jaxgen.files import write

    own = pictures(arguments)
    found = load_run(arguments)
    x = chosen(found, own, arguments.num, arguments.fit, **places(arguments))
    names = ("precision", "groups", "fineness", "seed")
    asked = {name: getattr(arguments, name) for name in names}
    of = {"of": named(arguments.pictures), "num": len(x)}
    out = output(arguments, found, "compressed", ".jxg", **of, **asked)
    options = {name: getattr(arguments, name) for name in ("batch", "chunk", "verify")}
    data = found.compress(x, **options, **asked)
    write(out, data)
    _tell(found, x, inspect(data))
    print(f"{len(x)} {found.spec.unit} in {len(data):,} bytes, by step {found.step}: {out}")


def _tell(found: Any, x: Any, about: dict[str, Any]) -> None:
    """A table: the model's own bits, those of the file's parts, and of other formats."""
    from jaxgen.coding import bits_per_dim
    from jaxgen.coding.rivals import sizes

    rows = {name: bits / 8 for name, bits in about["bits"].items()} | {"file": about["bytes"]}
    if about["kind"] != "groups":
        rows = {"model": bits_per_dim(found, x) * x.size / 8} | rows
    rows |= {f"{name}, one picture": size for name, size in sizes(x).items()}
    print(f"{'':20} {'bytes':>10}  bits/dim")
    for name, size in rows.items():
        print(f"{name:20} {size:10,.0f}  {8 * size / x.size:.4f}")
