"""The command `jaxgen`: train, sample, eval, look at latents, calibrate, doctor, models."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from jaxgen.boundary import guarded
from jaxgen.config import ConfigError, unknown
from jaxgen.signals import interruptible
from jaxgen.tools import drawing, evaluating, looking
from jaxgen.tools.arguments import add_places, add_run, add_seed, load_run, places
from jaxgen.tools.outputs import Output, output
from jaxgen.tools.parser import Parser, parse
from jaxgen.tools.ranges import COUNT
from jaxgen.tools.report import command as report


def main(argv: list[str] | None = None) -> None:
    """Runs one command; see `boundary.guarded` for how it ends."""
    if argv is None:
        interruptible()
        argv = sys.argv[1:]
    if argv[:1] == ["train"]:
        from jaxgen.main import cli

        named = len(argv) > 1 and not argv[1].startswith("-")
        sys.argv = ["jaxgen.main", *([f"--config={argv[1]}"] if named else []), *argv[1 + named :]]
        cli()
        return
    guarded(lambda: _run(argv), unopened=2)


def _run(argv: list[str]) -> None:
    top = parser()
    if not argv:
        top.print_help()
        return
    arguments, knobs = parse(top, argv)
    from jaxgen.platform import set_defaults

    set_defaults()
    arguments.command(arguments, knobs)


def parser() -> Parser:
    """The commands and their options."""
    from jaxgen import __version__

    top = Parser(prog="jaxgen", description=__doc__)
    top.add_argument("--version", action="version", version=f"jaxgen {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("train", help="jaxgen train NAME[:PRESET]: see jaxgen train --help")
    drawing.add(commands)
    evaluating.add(commands)
    looking.add(commands)
    report.add(commands)

    calibrate = commands.add_parser("calibrate", help="test and plot a run's posteriors")
    calibrate.set_defaults(command=_calibrate)
    add_run(calibrate)
    calibrate.add_argument("--num", type=COUNT, default=500, help="data sets, of the test split")
    calibrate.add_argument("--draws", type=COUNT, default=99, help="from each posterior")
    add_seed(calibrate, "of the draws")
    add_places(calibrate)
    calibrate.add_argument(
        "--out", type=Output((".png",)), help=".png of the plot; default: in the run"
    )

    weights = commands.add_parser("import", help="official StyleGAN2 weights (.pkl) as a run")
    weights.set_defaults(command=_import)
    weights.add_argument("file", help="of NVlabs/stylegan2-ada-pytorch; its code is not run")
    weights.add_argument("--workdir", required=True, help="a new run directory")

    data = commands.add_parser("data", help="fetch a data set: mnist, cifar10 and more")
    data.set_defaults(command=_data)
    data.add_argument("name", help="mnist, fashion_mnist, kmnist, cifar10")

    files = commands.add_parser("weights", help="fetch the published weights of an extractor")
    files.set_defaults(command=_weights)
    files.add_argument("name", help="inception; lpips_vgg, or its two: vgg16, lpips")

    doctor = commands.add_parser("doctor", help="versions, devices, and what is missing")
    doctor.set_defaults(command=_doctor)
    models = commands.add_parser("models", help="what a config can name, and the configs' presets")
    models.set_defaults(command=_models)
    models.add_argument("config", nargs="?", help="describe this one and its presets")
    return top


def _calibrate(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.abilities import Infers
    from jaxgen.evaluate.calibration import calibration_picture
    from jaxgen.train.pictures import save_png

    run = load_run(arguments)
    if not isinstance(run.method, Infers):
        raise ConfigError(
            f"{arguments.run} infers no parameters, so it has no posteriors to test: calibrate is "
            "of runs of configs/npe.py; use jaxgen eval"
        )
    asked = {"num": arguments.num, "draws": arguments.draws, "seed": arguments.seed}
    out = output(arguments, run, "calibration", ".png", **asked)
    result = run.calibrate(arguments.num, arguments.draws, arguments.seed, **places(arguments))
    save_png(out, calibration_picture(result))
    where = {"run": str(run.directory.path), "step": run.step, "plot": str(out)}
    print(json.dumps(where | result.report(), indent=1))


def _import(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.import_stylegan2 import import_pickle

    print(f"imported: {import_pickle(arguments.file, arguments.workdir, print).path}")


def _data(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.data.published import NAMES, fetch

    if arguments.name not in NAMES:
        raise ConfigError(unknown("data set to fetch", arguments.name, NAMES))
    print(f"{arguments.name}: {fetch(arguments.name, None, print)}")


def _weights(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.weights import fetch

    fetch(arguments.name)


def _doctor(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.doctor import report

    print(report())


def _models(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.models import describe, report

    print(describe(arguments.config) if arguments.config else report())


if __name__ == "__main__":
    main()
