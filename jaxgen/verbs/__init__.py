"""The commands of `jaxgen`, one a file: each gives itself to the parser with `add(commands)`."""

from __future__ import annotations

import importlib
import pkgutil

from jaxgen import __version__
from jaxgen.tools.parser import Parser

ABOUT = "Deep generative models: train, sample, evaluate, compare. Begin with: jaxgen train glow"


def parser() -> Parser:
    """The commands and their options; every module of this package is asked for its own."""
    top = Parser(prog="jaxgen", description=ABOUT)
    top.add_argument("--version", action="version", version=f"jaxgen {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("train", help="jaxgen train NAME[:PRESET]: see jaxgen train --help")
    for name in sorted(module.name for module in pkgutil.iter_modules(__path__)):
        importlib.import_module(f"{__name__}.{name}").add(commands)
    return top
