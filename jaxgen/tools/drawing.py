"""`jaxgen sample`: draws samples from a run, as a grid, as arrays, or as single pictures."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Iterable
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_run, add_seed, check_class, load_run, own_options
from jaxgen.tools.outputs import Output, output, save_npz
from jaxgen.tools.ranges import COUNT

EVERY = 1000  # pictures between two lines of progress


def add(commands: Any) -> None:
    """Adds `sample` to the parser of `jaxgen`."""
    sample = commands.add_parser(
        "sample",
        help="draw samples from a run",
        epilog="Further --NAME=VALUE are the method's own knobs, as --temperature=0.7 --class=3.",
    )
    sample.set_defaults(command=_sample, takes_knobs=True)
    add_run(sample)
    sample.add_argument("--num", type=COUNT, default=64, help="samples; default: 64")
    add_seed(sample, "of the latents")
    sample.add_argument(
        "--out",
        type=Output((".png", ".npz"), folder=True),
        help=".png of a grid, .npz of arrays, or FOLDER/ of single .png; default: in the run",
    )


def _sample(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.evaluate.knobs import check_knobs
    from jaxgen.train.pictures import picture, save_png

    out = arguments.out
    single = out is not None and out.suffix not in (".png", ".npz")
    if single and any(out.glob("[0-9]" * 6 + ".png")):
        raise ConfigError(f"--out={out}/ holds pictures already: name another folder")
    run = load_run(arguments, 0 if single else arguments.num, out is None or out.suffix == ".png")
    check_class(run, knobs.get("label"))
    check_knobs(run.method, knobs, own_options(arguments))
    if single and len(run.spec.shape) != 3:
        raise ConfigError(f"--out={out}/: {run.spec.name} has no images; name a .png or .npz")
    named = {"class" if k == "label" else k: v for k, v in sorted(knobs.items())}
    asked = {"num": arguments.num} | named | {"seed": arguments.seed}
    out = output(arguments, run, "sample", ".png", **asked)
    if single:
        _write_pictures(out, run.draws(arguments.num, arguments.seed, **knobs), run.spec.levels)
    elif out.suffix == ".npz":
        save_npz(out, x=run.sample(arguments.num, arguments.seed, **knobs))
    else:
        samples = run.sample(arguments.num, arguments.seed, **knobs)
        save_png(out, picture(samples, run.spec.levels))
    print(f"{arguments.num} samples of step {run.step}: {out}")


def _write_pictures(folder: pathlib.Path, chunks: Iterable[Any], levels: int | None) -> None:
    """One file each, 000000.png and so on; says how far it is where there are many."""
    from jaxgen.train.pictures import save_png, to_uint8

    made = 0
    for chunk in chunks:
        for image in chunk:
            save_png(folder / f"{made:06}.png", to_uint8(image, levels))
            made += 1
            if made % EVERY == 0:
                print(f"wrote {made:,} pictures", file=sys.stderr, flush=True)
