"""The command `jaxgen`: train, sample, eval, look at latents, calibrate, doctor, models."""

from __future__ import annotations

import argparse
import ast
import json
import os
import pathlib
import sys
from typing import Any

from jaxgen.tools import evaluating, looking
from jaxgen.tools.arguments import add_places, add_run, load_run, places
from jaxgen.tools.report import command as report

KNOBS = {"class": "label"}  # what Python does not take as a name


def main(argv: list[str] | None = None) -> None:
    """Runs one command; errors of the user's are one line and exit code 2."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["train"]:
        from jaxgen.main import cli

        sys.argv = ["jaxgen.main", *argv[1:]]
        cli()
        return
    arguments, knobs = parser().parse_known_args(argv)
    takes = getattr(arguments, "takes_knobs", False) or getattr(arguments, "metrics", None)
    if knobs and not takes:
        parser().error(f"unrecognized arguments: {' '.join(knobs)}")
    from jaxgen.platform import set_defaults

    set_defaults()
    from jaxgen.config import ConfigError
    from jaxgen.data.dataset import DataError
    from jaxgen.train.checkpoint import CheckpointError

    try:
        arguments.command(arguments, _knobs(knobs))
    except (ConfigError, DataError, CheckpointError) as error:
        if os.environ.get("JAXGEN_DEBUG"):
            raise
        print(f"jaxgen: error: {error}", file=sys.stderr)
        sys.exit(2)


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="jaxgen", description=__doc__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("train", help="the same as python -m jaxgen.main (see its --help)")

    sample = commands.add_parser(
        "sample",
        help="draw samples from a run",
        epilog="Further --NAME=VALUE are the method's own knobs, as --temperature=0.7 --class=3.",
    )
    sample.set_defaults(command=_sample, takes_knobs=True)
    add_run(sample)
    sample.add_argument("--num", type=int, default=64)
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--out", help=".png of a grid or .npz of arrays; default: in the run")

    evaluating.add(commands)
    looking.add(commands)
    report.add(commands)

    calibrate = commands.add_parser("calibrate", help="test and plot a run's posteriors")
    calibrate.set_defaults(command=_calibrate)
    add_run(calibrate)
    calibrate.add_argument("--num", type=int, default=500, help="data sets, of the test split")
    calibrate.add_argument("--draws", type=int, default=99, help="from each posterior")
    calibrate.add_argument("--seed", type=int, default=0)
    add_places(calibrate)
    calibrate.add_argument("--out", help=".png of the plot; default: in the run")

    weights = commands.add_parser("import", help="official StyleGAN2 weights (.pkl) as a run")
    weights.set_defaults(command=_import)
    weights.add_argument("file", help="of NVlabs/stylegan2-ada-pytorch; its code is not run")
    weights.add_argument("--workdir", required=True, help="a new run directory")

    files = commands.add_parser("weights", help="fetch the published weights of an extractor")
    files.set_defaults(command=_weights)
    files.add_argument("name", help="inception or lpips_vgg")

    doctor = commands.add_parser("doctor", help="versions, devices, and what is missing")
    doctor.set_defaults(command=_doctor)
    models = commands.add_parser("models", help="what can be named in a config")
    models.set_defaults(command=_models)
    return top


def _knobs(arguments: list[str]) -> dict[str, Any]:
    """`--name=value` of the command line to Python values."""
    from jaxgen.config import ConfigError

    knobs = {}
    for argument in arguments:
        name, equals, value = argument.lstrip("-").partition("=")
        if not argument.startswith("--") or not equals:
            raise ConfigError(f"expected --NAME=VALUE, got {argument!r}")
        try:
            knobs[KNOBS.get(name, name)] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            knobs[KNOBS.get(name, name)] = value
    return knobs


def _sample(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    import numpy as np

    from jaxgen.config import ConfigError
    from jaxgen.train.pictures import picture, save_png

    run = load_run(arguments)
    default = run.directory.samples / f"sample_seed{arguments.seed}_step{run.step:08}.png"
    out = pathlib.Path(arguments.out or default)
    if out.suffix not in (".png", ".npz"):
        raise ConfigError(f"--out={out}, expected a name that ends in .png or .npz")
    samples = run.sample(arguments.num, arguments.seed, **knobs)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        np.savez(out, x=samples)
    else:
        save_png(out, picture(samples, run.spec.levels))
    print(f"{arguments.num} samples of step {run.step}: {out}")


def _calibrate(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.config import ConfigError
    from jaxgen.evaluate.calibration import calibration_picture
    from jaxgen.train.pictures import save_png

    run = load_run(arguments)
    default = run.directory.samples / f"calibration_step{run.step:08}.png"
    out = pathlib.Path(arguments.out or default)
    if out.suffix != ".png":
        raise ConfigError(f"--out={out}, expected a name that ends in .png")
    result = run.calibrate(arguments.num, arguments.draws, arguments.seed, **places(arguments))
    save_png(out, calibration_picture(result))
    where = {"run": str(run.directory.path), "step": run.step, "plot": str(out)}
    print(json.dumps(where | result.report(), indent=1))


def _import(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.import_stylegan2 import import_pickle

    print(f"imported: {import_pickle(arguments.file, arguments.workdir).path}")


def _weights(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.weights import fetch

    fetch(arguments.name)


def _doctor(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.doctor import report

    print(report())


def _models(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.models import report

    print(report())


if __name__ == "__main__":
    main()
