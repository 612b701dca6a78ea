"""The commands of `jaxgen`, one a file: each gives itself to the parser with `add(commands)`."""

from __future__ import annotations

import importlib
import pkgutil

from jaxgen import __version__
from jaxgen.tools.parser import Parser

ABOUT = "Deep generative models: train, sample, evaluate, compare. Begin with: jaxgen train glow"
FIRST = f"""jaxgen {__version__}: deep generative models. To begin with:

  jaxgen train glow                  a flow on digits that need no download, into runs/glow-digits
  jaxgen runs                        the runs that there are, and how they stand
  jaxgen sample runs/glow-digits     draw samples, as .png, .npz or single pictures
  jaxgen eval runs/glow-digits       evaluate on its test split; --metrics=fd,pr of samples
  jaxgen models                      all models and their presets: jaxgen train NAME:PRESET
  jaxgen --help                      all commands; jaxgen COMMAND --help is about one

Your own images, table or arrays: jaxgen train glow --config.data.name=FOLDER. From Python:
jaxgen.fit, jaxgen.load. The documentation begins with docs/index.md of the source."""


def parser() -> Parser:
    """The commands and their options; every module of this package is asked for its own."""
    top = Parser(prog="jaxgen", description=ABOUT)
    top.add_argument("--version", action="version", version=f"jaxgen {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("train", help="jaxgen train NAME[:PRESET]: see jaxgen train --help")
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{name}").add(commands)
    return top
