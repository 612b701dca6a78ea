"""`jaxgen ood`: how well a run tells other data from its own."""

from __future__ import annotations

import argparse
import json
from typing import Any

from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.own import FITS
from jaxgen.tools.ranges import COUNT, Real, Whole

MEMBERS = Whole(2, 10_000, word="all")
PYTHON = "jaxgen.run.Run.ood"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser("ood", help="how well a run tells other data from its own")
    command.set_defaults(command=run)
    add_run(command)
    text = (
        "a folder or file of pictures, or transform:NAME of test images, invert, turn, shuffle, "
        "constant or black; may be repeated; default: these five"
    )
    command.add_argument("--against", action="append", metavar="SET", help=text)
    text = "a run on noised data, as of data.resampled=0.2: scores are ratios of likelihoods, too"
    command.add_argument("--background", metavar="RUN", help=text)
    command.add_argument("--num", type=COUNT, default=1000, help="images of a set; default: 1000")
    command.add_argument("--draws", type=COUNT, default=4, help="of a bound; default: 4")
    command.add_argument("--gradient", action="store_true", help="norms of gradients, too")
    text = "of groups of latents, as 1,2 or all: ratios to bounds that leave so many to the prior"
    command.add_argument("--llr", metavar="LIST", default="", help=text)
    text = "of the run, the last so many or all: mean less variance of log p, too (WAIC)"
    command.add_argument("--checkpoints", type=MEMBERS, metavar="NUMBER", help=text)
    text = "advise thresholds above which this share of the data lies, as 0.05"
    command.add_argument("--alarms", type=Real(0.0, 1.0), help=text)
    command.add_argument("--fit", choices=FITS, help="how pictures are brought to the run's size")
    command.add_argument("--json", action="store_true", help="an object instead of a table")
    add_seed(command, "of draws, transforms and intervals")
    add_places(command)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints a table: a row for each set and score."""
    from jaxgen.views.ood import AGAINST

    found = load_run(arguments)
    names = ("background", "num", "draws", "seed", "gradient", "llr", "checkpoints", "alarms")
    options = {name: getattr(arguments, name) for name in (*names, "fit")}
    result = found.ood(arguments.against or AGAINST, **options, **places(arguments))
    if arguments.json:
        where = {"run": str(found.directory.path), "step": found.step}
        print(json.dumps(where | result.report(), indent=1))
        return
    print(f"{'set':24} {'score':12} {'AUROC':20} {'AUPR':20} {'FPR at 95 %':20} p <= 0.05")
    for name, of in result.told.items():
        for score, one in of.items():
            cells = " ".join(f"{shown(value):20}" for value in one)
            share = (result.p_values[name][score] <= 0.05).mean()
            print(f"{name:24} {score:12} {cells} {share:.3f}")
    for score, value in result.thresholds.items():
        print(f"{score} above {value:.4g}: {arguments.alarms:g} of the data")
    for warning in result.warnings:
        print(f"note: {warning}")


def shown(value: Any) -> str:
    """An estimate with its interval."""
    return f"{value.value:.3f} ({value.low:.3f}-{value.high:.3f})"
