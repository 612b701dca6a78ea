"""The command `jaxgen`: train, sample, eval, look at latents, calibrate, doctor, models."""

from __future__ import annotations

import argparse
import ast
import json
import os
import pathlib
import sys
from typing import Any

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
    if knobs and not getattr(arguments, "takes_knobs", False):
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
    _add_run(sample)
    sample.add_argument("--num", type=int, default=64)
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument("--out", help=".png of a grid or .npz of arrays; default: in the run")

    evaluate = commands.add_parser("eval", help="evaluate a run on its own data")
    evaluate.set_defaults(command=_eval)
    _add_run(evaluate)
    evaluate.add_argument("--splits", default="test", help="comma-separated, as train,test")
    evaluate.add_argument("--max_examples", type=int, help="of each split; default: all")
    evaluate.add_argument("--manual_dir", help="where the data are now")
    evaluate.add_argument(
        "--importance_samples", type=int, metavar="K", help="draws of latents, or dequantisation"
    )
    evaluate.add_argument(
        "--per_example", metavar="FILE", help=".csv or .npz of every example's values, one split"
    )

    _add_latents(commands)

    modes = commands.add_parser("modes", help="count the modes that samples of runs cover")
    modes.set_defaults(command=_modes)
    modes.add_argument("runs", nargs="+", metavar="run", help="run directories")
    modes.add_argument("--num", type=int, default=2500, help="samples of each")
    modes.add_argument("--seed", type=int, default=0)
    modes.add_argument("--out", help=".png of real and generated points; default: none")

    study = commands.add_parser("study", help="games of two numbers: who converges, and how")
    study.set_defaults(command=_study)
    study.add_argument("name", help="dirac or bilinear")
    study.add_argument("--out", help=".png of the trajectories; default: NAME.png")

    calibrate = commands.add_parser("calibrate", help="test and plot a run's posteriors")
    calibrate.set_defaults(command=_calibrate)
    _add_run(calibrate)
    calibrate.add_argument("--num", type=int, default=500, help="data sets, of the test split")
    calibrate.add_argument("--draws", type=int, default=99, help="from each posterior")
    calibrate.add_argument("--seed", type=int, default=0)
    calibrate.add_argument("--out", help=".png of the plot; default: in the run")

    doctor = commands.add_parser("doctor", help="versions, devices, and what is missing")
    doctor.set_defaults(command=_doctor)
    models = commands.add_parser("models", help="what can be named in a config")
    models.set_defaults(command=_models)
    return top


def _add_latents(commands: Any) -> None:
    """Verbs that draw pictures of latents, and score them."""
    for name, function, text in (
        ("reconstruct", _reconstruct, "test images above their reconstructions"),
        ("sweep", _sweep, "a row of images for every dimension of the latents"),
        ("interpolate", _interpolate, "images between the codes of test images"),
        ("walk", _walk, "a GIF of a random walk of the latents"),
        ("evolve", _evolve, "a GIF of the sample grids of a training"),
    ):
        command = commands.add_parser(name, help=text)
        command.set_defaults(command=function)
        _add_run(command)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--manual_dir", help="where the data are now")
        kind = "gif" if name in ("walk", "evolve") else "png"
        command.add_argument("--out", help=f".{kind}; default: in the run")
        if name == "sweep":
            command.add_argument("--dims", type=int, default=10, help="rows, most active first")
            command.add_argument("--steps", type=int, default=9)
            command.add_argument("--span", type=float, default=3.0, help="in standard deviations")
            command.add_argument("--manifold", action="store_true", help="a grid of two latents")
        elif name == "interpolate":
            command.add_argument("--path", default="linear", help="linear or spherical")
            command.add_argument("--steps", type=int, default=10)
        elif name != "evolve":
            command.add_argument("--num", type=int, default=32 if name == "reconstruct" else 16)
            if name == "walk":
                command.add_argument("--frames", type=int, default=60)
    scores = commands.add_parser("disentangle", help="score latents against known factors")
    scores.set_defaults(command=_disentangle)
    _add_run(scores)
    scores.add_argument("--num", type=int, default=5000, help="test images")
    scores.add_argument("--seed", type=int, default=0)


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("run", help="a run directory")
    command.add_argument("--step", help="of the checkpoint, or best; default: the newest")


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


def _load(arguments: argparse.Namespace) -> Any:
    from jaxgen.config import ConfigError
    from jaxgen.tools.run import Run

    step = arguments.step
    if step not in (None, "best") and not step.isdigit():
        raise ConfigError(f"--step={step}, expected a number or best")
    return Run(arguments.run, step)


def _sample(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    import numpy as np

    from jaxgen.config import ConfigError
    from jaxgen.train.pictures import picture, save_png

    run = _load(arguments)
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


def _eval(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    run = _load(arguments)
    options: dict[str, Any] = {"splits": tuple(arguments.splits.split(","))}
    options["max_examples"] = arguments.max_examples
    for name in ("manual_dir", "importance_samples"):
        if getattr(arguments, name) is not None:
            options[name] = getattr(arguments, name)
    if arguments.per_example:
        _write_examples(run, pathlib.Path(arguments.per_example), options)
        return
    estimates = run.evaluate(**options)
    rows = {k: {"mean": v.mean, "stderr": v.stderr, "count": v.count} for k, v in estimates.items()}
    print(json.dumps({"run": str(run.directory.path), "step": run.step} | rows, indent=1))


def _write_examples(run: Any, out: pathlib.Path, options: dict[str, Any]) -> None:
    import numpy as np

    from jaxgen.config import ConfigError

    if out.suffix not in (".csv", ".npz"):
        raise ConfigError(f"--per_example={out}, expected a name that ends in .csv or .npz")
    if len(options["splits"]) != 1:
        raise ConfigError("--per_example takes one split: add --splits=test")
    columns = run.per_example(options.pop("splits")[0], **options)
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npz":
        np.savez(out, **columns)
    else:
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        out.write_text("\n".join(lines) + "\n")
    print(f"{len(columns['index'])} examples of step {run.step}: {out}")


def _calibrate(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.config import ConfigError
    from jaxgen.evaluate.calibration import calibration_picture
    from jaxgen.train.pictures import save_png

    run = _load(arguments)
    default = run.directory.samples / f"calibration_step{run.step:08}.png"
    out = pathlib.Path(arguments.out or default)
    if out.suffix != ".png":
        raise ConfigError(f"--out={out}, expected a name that ends in .png")
    result = run.calibrate(arguments.num, arguments.draws, arguments.seed)
    save_png(out, calibration_picture(result))
    where = {"run": str(run.directory.path), "step": run.step, "plot": str(out)}
    print(json.dumps(where | result.report(), indent=1))


def _picture_path(arguments: argparse.Namespace, run: Any, name: str, suffix: str = ".png") -> Any:
    from jaxgen.config import ConfigError

    default = run.directory.samples / f"{name}_step{run.step:08}{suffix}"
    out = pathlib.Path(arguments.out or default)
    if out.suffix != suffix:
        raise ConfigError(f"--out={out}, expected a name that ends in {suffix}")
    return out


def _places(arguments: argparse.Namespace) -> dict[str, Any]:
    return {"manual_dir": arguments.manual_dir} if arguments.manual_dir else {}


def _reconstruct(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    run = _load(arguments)
    out = _picture_path(arguments, run, "reconstructions")
    image = latents.reconstructions(run, arguments.num, arguments.seed, **_places(arguments))
    save_png(out, image)
    print(f"reconstructions of step {run.step}: {out}")


def _sweep(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    run = _load(arguments)
    name = "manifold" if arguments.manifold else "sweep"
    out = _picture_path(arguments, run, name)
    if arguments.manifold:
        save_png(out, latents.manifold(run))
        print(f"manifold of step {run.step}: {out}")
        return
    image, rows = latents.sweep(
        run,
        arguments.dims,
        arguments.steps,
        arguments.span,
        arguments.seed,
        **_places(arguments),
    )
    save_png(out, image)
    print(f"sweep of step {run.step}, dimensions {', '.join(map(str, rows))}: {out}")


def _interpolate(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    run = _load(arguments)
    out = _picture_path(arguments, run, f"interpolation_{arguments.path}")
    image = latents.interpolation(
        run, 8, arguments.steps, arguments.path, arguments.seed, **_places(arguments)
    )
    save_png(out, image)
    print(f"interpolation of step {run.step}: {out}")


def _walk(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_gif

    run = _load(arguments)
    out = _picture_path(arguments, run, "walk", ".gif")
    save_gif(out, latents.walk(run, arguments.num, arguments.frames, arguments.seed))
    print(f"walk of step {run.step}: {out}")


def _evolve(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_gif

    run = _load(arguments)
    out = _picture_path(arguments, run, "evolution", ".gif")
    save_gif(out, latents.evolution(run), milliseconds=300)
    print(f"evolution up to step {run.step}: {out}")


def _disentangle(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.factors import report

    run = _load(arguments)
    where = {"run": str(run.directory.path), "step": run.step}
    print(json.dumps(where | report(run, arguments.num, arguments.seed), indent=1))


def _modes(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.config import ConfigError
    from jaxgen.tools.modes import report

    out = pathlib.Path(arguments.out) if arguments.out else None
    if out is not None and out.suffix != ".png":
        raise ConfigError(f"--out={out}, expected a name that ends in .png")
    print(report(arguments.runs, arguments.num, arguments.seed, out))


def _study(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.config import ConfigError
    from jaxgen.tools.studies import report

    out = pathlib.Path(arguments.out or f"{arguments.name}.png")
    if out.suffix != ".png":
        raise ConfigError(f"--out={out}, expected a name that ends in .png")
    print(report(arguments.name, out))


def _doctor(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.doctor import report

    print(report())


def _models(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.models import report

    print(report())


if __name__ == "__main__":
    main()
