"""The commands that draw pictures of runs and count what is in them."""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import (
    add_allow,
    add_class,
    add_places,
    add_run,
    allowed,
    chosen_class,
    load_run,
    picture_path,
    places,
    shown_class,
)


def add(commands: Any) -> None:
    """Adds the commands to the parser of `jaxgen`."""
    _add_latents(commands)
    _add_styles(commands)

    modes = commands.add_parser("modes", help="count the modes that samples of runs cover")
    modes.set_defaults(command=_modes)
    modes.add_argument("runs", nargs="+", metavar="run", help="run directories")
    add_allow(modes)
    modes.add_argument("--num", type=int, default=2500, help="samples of each")
    modes.add_argument("--seed", type=int, default=0)
    modes.add_argument("--out", help=".png of real and generated points; default: none")

    classes = commands.add_parser("classes", help="whether samples are of the class asked for")
    classes.set_defaults(command=_classes, takes_knobs=True)
    add_run(classes)
    classes.add_argument("--num", type=int, default=1000, help="samples, of all classes together")
    classes.add_argument("--seed", type=int, default=0)
    add_places(classes)

    study = commands.add_parser("study", help="games of two numbers: who converges, and how")
    study.set_defaults(command=_study)
    study.add_argument("name", help="dirac or bilinear")
    study.add_argument("--out", help=".png of the trajectories; default: NAME.png")


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
        add_run(command)
        command.add_argument("--seed", type=int, default=0)
        add_places(command)
        if name in ("sweep", "interpolate", "walk"):
            add_class(command)
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
            else:
                command.add_argument("--groups", type=int, help="of latents to keep, from the top")
    scores = commands.add_parser("disentangle", help="score latents against known factors")
    scores.set_defaults(command=_disentangle)
    add_run(scores)
    scores.add_argument("--num", type=int, default=5000, help="test images")
    scores.add_argument("--seed", type=int, default=0)


def _add_styles(commands: Any) -> None:
    """Verbs of generators with styles."""
    mix = commands.add_parser("mix", help="a grid of styles: coarse ones by row, fine by column")
    mix.set_defaults(command=_mix)
    add_run(mix)
    add_class(mix)
    mix.add_argument("--rows", type=int, default=6)
    mix.add_argument("--columns", type=int, default=8)
    mix.add_argument("--coarse", type=int, default=2, help="layers whose style is the row's")
    mix.add_argument("--seed", type=int, default=0)
    mix.add_argument("--out", help=".png; default: in the run")

    project = commands.add_parser("project", help="find the w of test images, with its loss curve")
    project.set_defaults(command=_project)
    add_run(project)
    project.add_argument("--num", type=int, default=8, help="test images")
    project.add_argument("--steps", type=int, default=400)
    project.add_argument("--seed", type=int, default=0)
    add_places(project)
    project.add_argument("--out", help=".png; default: in the run")


def _reconstruct(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    run = load_run(arguments)
    out = picture_path(arguments, run, "reconstructions")
    image = latents.reconstructions(
        run, arguments.num, arguments.seed, arguments.groups, **places(arguments)
    )
    save_png(out, image)
    print(f"reconstructions of step {run.step}: {out}")


def _sweep(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    run = load_run(arguments)
    name = "manifold" if arguments.manifold else "sweep"
    out, label = picture_path(arguments, run, name), chosen_class(arguments, run)
    of = f"step {run.step}{shown_class(label)}"
    if arguments.manifold:
        save_png(out, latents.manifold(run, label=label))
        print(f"manifold of {of}: {out}")
        return
    image, rows = latents.sweep(
        run,
        arguments.dims,
        arguments.steps,
        arguments.span,
        arguments.seed,
        label,
        **places(arguments),
    )
    save_png(out, image)
    print(f"sweep of {of}, dimensions {', '.join(map(str, rows))}: {out}")


def _interpolate(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    run = load_run(arguments)
    out = picture_path(arguments, run, f"interpolation_{arguments.path}")
    label = chosen_class(arguments, run)
    image = latents.interpolation(
        run, 8, arguments.steps, arguments.path, arguments.seed, label, **places(arguments)
    )
    save_png(out, image)
    print(f"interpolation of step {run.step}{shown_class(label)}: {out}")


def _walk(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_gif

    run = load_run(arguments)
    out = picture_path(arguments, run, "walk", ".gif")
    label = chosen_class(arguments, run)
    save_gif(out, latents.walk(run, arguments.num, arguments.frames, arguments.seed, label))
    print(f"walk of step {run.step}{shown_class(label)}: {out}")


def _evolve(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_gif

    run = load_run(arguments)
    out = picture_path(arguments, run, "evolution", ".gif")
    save_gif(out, latents.evolution(run), milliseconds=300)
    print(f"evolution up to step {run.step}: {out}")


def _disentangle(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.factors import report

    run = load_run(arguments)
    where = {"run": str(run.directory.path), "step": run.step}
    print(json.dumps(where | report(run, arguments.num, arguments.seed), indent=1))


def _modes(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.modes import report

    out = pathlib.Path(arguments.out) if arguments.out else None
    if out is not None and out.suffix != ".png":
        raise ConfigError(f"--out={out}, expected a name that ends in .png")
    print(report(arguments.runs, arguments.num, arguments.seed, out, allowed(arguments)))


def _classes(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.classes import report

    run = load_run(arguments)
    where = {"run": str(run.directory.path), "step": run.step} | knobs
    found = report(run, arguments.num, arguments.seed, knobs, **places(arguments))
    print(json.dumps(where | found, indent=1))


def _study(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.studies import report

    out = pathlib.Path(arguments.out or f"{arguments.name}.png")
    if out.suffix != ".png":
        raise ConfigError(f"--out={out}, expected a name that ends in .png")
    print(report(arguments.name, out))


def _mix(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import styles
    from jaxgen.train.pictures import save_png

    run = load_run(arguments)
    out, label = picture_path(arguments, run, "mix"), chosen_class(arguments, run)
    sides = (arguments.rows, arguments.columns)
    save_png(out, styles.mixed(run, *sides, arguments.coarse, arguments.seed, label))
    print(f"mixed styles of step {run.step}{shown_class(label)}: {out}")


def _project(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import styles
    from jaxgen.train.pictures import save_png

    run = load_run(arguments)
    out = picture_path(arguments, run, "projection")
    image, last = styles.projected(
        run, arguments.num, arguments.steps, arguments.seed, **places(arguments)
    )
    save_png(out, image)
    print(f"projection by step {run.step}, mean squared error {last:.4g}: {out}")
