"""`jaxgen data`: fetches a published data set."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.config import ConfigError, unknown

PYTHON = "jaxgen.data.published.fetch"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    data = commands.add_parser("data", help="fetch a data set: mnist, cifar10 and more")
    data.set_defaults(command=run)
    data.add_argument("name", help="mnist, fashion_mnist, kmnist, cifar10, celeb_a")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Fetches, checks, says where it is."""
    from jaxgen.data.published import NAMES, fetch
    from jaxgen.progress import remark

    if arguments.name not in NAMES:
        raise ConfigError(unknown("data set to fetch", arguments.name, NAMES))
    print(f"{arguments.name}: {fetch(arguments.name, None, remark)}")
