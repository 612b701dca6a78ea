"""`jaxgen molecules`: molecules of a run, between two of one's own, or better ones."""

from __future__ import annotations

import argparse
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import STILL, add_picture, output
from jaxgen.tools.ranges import COUNT, SIDE

PYTHON = ("jaxgen.run.Run.molecules", "jaxgen.run.Run.between", "jaxgen.run.Run.optimise")


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    command = commands.add_parser(
        "molecules",
        help="molecules: drawn and judged, between two, or better ones",
        epilog="Further --NAME=VALUE are the method's own knobs, as --temperature=0.8.",
    )
    command.set_defaults(command=run, takes_knobs=True)
    add_run(command)
    command.add_argument("--num", type=COUNT, default=1000, help="texts; default: 1000")
    text = "two SMILES, comma-separated: what is between their latents"
    command.add_argument("--between", metavar="SMILES,SMILES", help=text)
    command.add_argument("--points", type=SIDE, default=8, help="of --between; default: 8")
    text = "qed, SAS, logP or 5qed-SAS: molecules that a Gaussian process finds for it"
    command.add_argument("--optimise", metavar="OBJECTIVE", help=text)
    add_seed(command, "of the draws")
    add_places(command)
    add_picture(command, *STILL, default=".png")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints a table, and draws a sheet."""
    chosen = [n for n in ("between", "optimise") if getattr(arguments, n) is not None]
    if len(chosen) > 1 or (chosen and knobs):
        named = [f"--{name}" for name in (*chosen, *knobs)]
        raise ConfigError(f"{' and '.join(named)}: one at a time")
    between: str = arguments.between or ""
    pair = between.split(",") if arguments.between is not None else []
    if pair and len(pair) != 2:
        raise ConfigError(f"--between={between[:60]}, expected two SMILES and a comma")
    found = load_run(arguments)
    if pair:
        picture = found.between(*pair, points=arguments.points)
        lines = [text or "(nothing)" for text in picture.about["texts"]]
    elif arguments.optimise is not None:
        options = {"num": arguments.num, "seed": arguments.seed, **places(arguments)}
        picture = found.optimise(arguments.optimise, **options)
        lines = _table(picture.about)
    else:
        options = {**knobs, **places(arguments)}
        picture = found.molecules(arguments.num, arguments.seed, **options)
        lines = [f"{name:8} {value:.3f}" for name, value in picture.about.items()]
    asked = {name: getattr(arguments, name) for name in ("between", "optimise", "num", "seed")}
    asked = {name: value for name, value in asked.items() if value is not None} | knobs
    print("\n".join(lines))
    out = output(arguments, found, "molecules", ".png", **asked)
    print(f"molecules of step {found.step}: {picture.save(out)}")


def _table(about: Any) -> list[str]:
    """A search a line, then its best molecules."""
    lines = [f"{'search':10}{'asked':>8}{'new':>8}{'mean of best 50':>18}{'best':>9}"]
    for name in ("process", "random", "genetic"):
        of = about[name]
        best = of.values[0] if len(of.values) else float("nan")
        lines.append(f"{name:10}{of.asked:8,}{len(of.texts):8,}{of.best:18.3f}{best:9.3f}")
    lines.append(f"99th percentile of train molecules: {about['percentile']:.3f}")
    best = about["process"]
    return lines + [f"{v:9.3f}  {t}" for t, v in zip(best.texts[:5], best.values[:5], strict=False)]
