"""The commands that draw pictures of runs and count what is in them."""

from __future__ import annotations

import argparse
import json
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import (
    add_allow,
    add_class,
    add_places,
    add_run,
    add_seed,
    allowed,
    chosen_class,
    load_run,
    own_options,
    places,
    shown_class,
)
from jaxgen.tools.outputs import Output, output
from jaxgen.tools.own import add_pictures, named, pictures
from jaxgen.tools.ranges import COUNT, DEVIATIONS, SIDE

PNG = Output((".png",))


def add(commands: Any) -> None:
    """Adds the commands to the parser of `jaxgen`."""
    _add_latents(commands)
    _add_styles(commands)

    modes = commands.add_parser("modes", help="count the modes that samples of runs cover")
    modes.set_defaults(command=_modes)
    modes.add_argument("runs", nargs="+", metavar="run", help="run directories")
    add_allow(modes)
    modes.add_argument("--num", type=COUNT, default=2500, help="samples of each; default: 2500")
    add_seed(modes, "of the samples")
    modes.add_argument("--out", type=PNG, help=".png of real and generated points; default: none")

    classes = commands.add_parser("classes", help="whether samples are of the class asked for")
    classes.set_defaults(command=_classes, takes_knobs=True)
    add_run(classes)
    classes.add_argument(
        "--num", type=COUNT, default=1000, help="samples, of all classes together; default: 1000"
    )
    add_seed(classes, "of the samples")
    add_places(classes)

    study = commands.add_parser("study", help="games of two numbers: who converges, and how")
    study.set_defaults(command=_study)
    study.add_argument("study", choices=("dirac", "bilinear"), help="dirac or bilinear")
    study.add_argument("--out", type=PNG, help=".png of the trajectories; default: NAME.png")


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
        if name in ("reconstruct", "interpolate"):
            add_pictures(command, "pictures" if name == "reconstruct" else "pairs of pictures")
        if name != "evolve":
            add_class(command)
        kind = "gif" if name in ("walk", "evolve") else "png"
        out = Output((f".{kind}",))
        command.add_argument("--out", type=out, help=f".{kind}; default: in the run")
        if name != "evolve":
            add_seed(command, "of the latents")
            add_places(command)
        _add_sizes(command, name)
    scores = commands.add_parser("disentangle", help="score latents against known factors")
    scores.set_defaults(command=_disentangle)
    add_run(scores)
    scores.add_argument("--num", type=COUNT, default=5000, help="test images; default: 5000")
    add_seed(scores, "of the scores' samplers")
    add_places(scores)


def _add_sizes(command: Any, name: str) -> None:
    """What the verbs of `_add_latents` count."""
    if name == "sweep":
        command.add_argument(
            "--dims", type=SIDE, default=10, help="rows, most active first; default: 10"
        )
        command.add_argument("--steps", type=SIDE, default=9, help="columns; default: 9")
        command.add_argument(
            "--span", type=DEVIATIONS, default=3.0, help="in standard deviations; default: 3"
        )
        command.add_argument("--manifold", action="store_true", help="a grid of two latents")
    elif name == "interpolate":
        command.add_argument(
            "--path", choices=("linear", "spherical"), default="linear", help="default: linear"
        )
        command.add_argument("--steps", type=SIDE, default=10, help="columns; default: 10")
    elif name == "reconstruct":
        command.add_argument("--num", type=SIDE, default=32, help="test images; default: 32")
        command.add_argument("--groups", type=SIDE, help="of latents to keep, from the top")
    elif name == "walk":
        command.add_argument("--num", type=SIDE, default=16, help="side by side; default: 16")
        command.add_argument("--frames", type=SIDE, default=60, help="of the GIF; default: 60")


def _add_styles(commands: Any) -> None:
    """Verbs of generators with styles."""
    mix = commands.add_parser("mix", help="a grid of styles: coarse ones by row, fine by column")
    mix.set_defaults(command=_mix)
    add_run(mix)
    add_class(mix)
    mix.add_argument("--rows", type=SIDE, default=6, help="default: 6")
    mix.add_argument("--columns", type=SIDE, default=8, help="default: 8")
    mix.add_argument(
        "--coarse", type=SIDE, default=2, help="layers whose style is the row's; default: 2"
    )
    add_seed(mix, "of the latents")
    mix.add_argument("--out", type=PNG, help=".png; default: in the run")

    project = commands.add_parser("project", help="find the w of test images, with its loss curve")
    project.set_defaults(command=_project)
    add_run(project)
    add_pictures(project, "pictures")
    project.add_argument("--num", type=SIDE, default=8, help="test images; default: 8")
    project.add_argument("--steps", type=COUNT, default=400, help="of the search; default: 400")
    add_seed(project, "of the search")
    add_places(project)
    project.add_argument("--out", type=PNG, help=".png; default: in the run")


def _reconstruct(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    own = pictures(arguments)
    run = load_run(arguments, 2 * arguments.num)
    asked = {"of": named(arguments.pictures), "class": arguments.label, "fit": arguments.fit}
    if own is None:
        asked |= {"num": arguments.num}
        if arguments.label is not None:
            raise ConfigError("--class is of your own pictures: test images have theirs")
    asked |= {"groups": arguments.groups, "seed": arguments.seed}
    out = output(arguments, run, "reconstructions", ".png", **asked)
    image = latents.reconstructions(
        run,
        arguments.num,
        arguments.seed,
        arguments.groups,
        _with_class(own, chosen_class(arguments, run)),
        **places(arguments),
    )
    save_png(out, image)
    print(f"reconstructions of step {run.step}: {out}")


def _with_class(own: Any, label: int | None) -> Any:
    """A batch of one's own pictures, None without any."""
    if own is None:
        return None
    import numpy as np

    given = {} if label is None else {"label": np.full(len(own), label, np.int32)}
    return {"x": own} | given


def _sweep(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_png

    run = load_run(arguments, arguments.dims * arguments.steps)
    label = chosen_class(arguments, run)
    asked = {"class": label, "seed": arguments.seed}
    if arguments.manifold:
        asked = {"class": label}
    else:
        asked |= {k: getattr(arguments, k) for k in ("dims", "steps", "span")}
    name = "manifold" if arguments.manifold else "sweep"
    out = output(arguments, run, name, ".png", **asked)
    of = f"step {run.step}{shown_class(label)}"
    if arguments.manifold:
        save_png(out, latents.manifold(run, label=label, **places(arguments)))
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

    own = pictures(arguments)
    pairs = 8 if own is None else len(own) // 2
    if own is not None and len(own) % 2:
        raise ConfigError(f"{len(own)} pictures, expected pairs: the first two, the next two, ...")
    run = load_run(arguments, pairs * arguments.steps)
    label = chosen_class(arguments, run)
    asked = {"of": named(arguments.pictures), "fit": arguments.fit}
    asked |= {"class": label, "steps": arguments.steps, "seed": arguments.seed}
    out = output(arguments, run, f"interpolation_{arguments.path}", ".png", **asked)
    image = latents.interpolation(
        run,
        pairs,
        arguments.steps,
        arguments.path,
        arguments.seed,
        label,
        _with_class(own, label),
        **places(arguments),
    )
    save_png(out, image)
    print(f"interpolation of step {run.step}{shown_class(label)}: {out}")


def _walk(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_gif

    run = load_run(arguments, arguments.num * arguments.frames)
    label = chosen_class(arguments, run)
    asked = {"class": label} | {k: getattr(arguments, k) for k in ("num", "frames", "seed")}
    out = output(arguments, run, "walk", ".gif", **asked)
    sizes = (arguments.num, arguments.frames, arguments.seed)
    save_gif(out, latents.walk(run, *sizes, label, **places(arguments)))
    print(f"walk of step {run.step}{shown_class(label)}: {out}")


def _evolve(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import latents
    from jaxgen.train.pictures import save_gif

    run = load_run(arguments)
    out = output(arguments, run, "evolution", ".gif")
    save_gif(out, latents.evolution(run), milliseconds=300)
    print(f"evolution up to step {run.step}: {out}")


def _disentangle(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.factors import report

    run = load_run(arguments)
    where = {"run": str(run.directory.path), "step": run.step}
    print(
        json.dumps(
            where | report(run, arguments.num, arguments.seed, **places(arguments)), indent=1
        )
    )


def _modes(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.modes import report

    print(report(arguments.runs, arguments.num, arguments.seed, arguments.out, allowed(arguments)))


def _classes(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.evaluate.knobs import check_knobs
    from jaxgen.tools.classes import report

    run = load_run(arguments, arguments.num, drawn=False)
    check_knobs(run.method, knobs, own_options(arguments))
    where = {"run": str(run.directory.path), "step": run.step} | knobs
    found = report(run, arguments.num, arguments.seed, knobs, **places(arguments))
    print(json.dumps(where | found, indent=1))


def _study(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools.studies import report

    print(report(arguments.study, arguments.out or PNG(f"{arguments.study}.png")))


def _mix(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import styles
    from jaxgen.train.pictures import save_png

    run = load_run(arguments, arguments.rows * arguments.columns)
    label = chosen_class(arguments, run)
    names = ("rows", "columns", "coarse", "seed")
    asked = {"class": label} | {k: getattr(arguments, k) for k in names}
    out, sides = output(arguments, run, "mix", ".png", **asked), (arguments.rows, arguments.columns)
    save_png(out, styles.mixed(run, *sides, arguments.coarse, arguments.seed, label))
    print(f"mixed styles of step {run.step}{shown_class(label)}: {out}")


def _project(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.tools import styles
    from jaxgen.train.pictures import save_png

    own = pictures(arguments)
    num = arguments.num if own is None else len(own)
    run = load_run(arguments, 2 * num)
    asked = {"of": named(arguments.pictures), "fit": arguments.fit, "num": num}
    asked |= {k: getattr(arguments, k) for k in ("steps", "seed")}
    out = output(arguments, run, "projection", ".png", **asked)
    image, last = styles.projected(
        run, arguments.num, arguments.steps, arguments.seed, own, **places(arguments)
    )
    save_png(out, image)
    print(f"projection by step {run.step}, mean squared error {last:.4g}: {out}")
