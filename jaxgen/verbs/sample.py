"""`jaxgen sample`: draws samples from a run, as a grid, as arrays, or as single pictures."""

from __future__ import annotations

import argparse
import hashlib
import os
import pathlib
from collections.abc import Iterable
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import add_classifier, add_run, add_seed, load_run, own_options
from jaxgen.tools.outputs import add_out, kind, output
from jaxgen.tools.ranges import COUNT

MOST_PIXELS = 2**28  # of a grid

OF_A_TEXT = 8  # samples

PYTHON = (
    "jaxgen.run.Run.sample",
    "jaxgen.run.Run.draws",
    "jaxgen.run.Run.guided_by",
    "jaxgen.evaluate.givens.read_texts",
)


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    sample = commands.add_parser(
        "sample",
        help="draw samples from a run",
        epilog="Further --NAME=VALUE are the method's own knobs, as --temperature=0.7 --class=3.",
    )
    sample.set_defaults(command=run, takes_knobs=True)
    add_run(sample)
    text = f"samples, of each text; default: 64, with --texts {OF_A_TEXT}"
    sample.add_argument("--num", type=COUNT, help=text)
    text = "a file of texts, one a line: samples of each, a row of the grid"
    sample.add_argument("--texts", metavar="FILE", help=text)
    add_seed(sample, "of the latents")
    add_classifier(sample)
    text = ".png of a grid, .npz of arrays, or FOLDER/ of single .png; default: in the run"
    add_out(sample, text, ".png", ".npz", folder=True)


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Draws, and writes them as the suffix of the place says."""
    import numpy as np

    from jaxgen.evaluate.givens import split_given
    from jaxgen.evaluate.validation import check_knobs
    from jaxgen.pictures import save_png, view
    from jaxgen.tools.streamed import save_rows
    from jaxgen.views.examples import check_class

    out: pathlib.Path | None = arguments.out
    arrays = out is not None and kind(out) == ".npz"
    single = out is not None and kind(out) not in (".png", ".npz")
    texts, columns, num = _asked(arguments)
    found = load_run(arguments, 0 if single or arrays else num)
    if not single and not arrays:
        _check_grid(num, found.spec.shape)
    fields, rest = split_given(found.spec, knobs)
    check_class(found, fields.get("label"))
    if twice := next((name for name in texts if name in fields), None):
        raise ConfigError(f"--texts and --{twice}: name one of them")
    knobs |= texts
    check_knobs(found.method, knobs, own_options(arguments))
    if single and found.spec.x.kind != "image":
        raise ConfigError(f"--out={out}/: {found.spec.name} has no images; name a .png or .npz")
    named = {"class" if k == "label" else k: v for k, v in sorted((rest | fields).items())}
    if arguments.classifier:
        named["classifier"] = pathlib.Path(arguments.classifier).name
    if texts:
        named["texts"] = _digest(texts)
    asked = {"num": num} | named | {"seed": arguments.seed}
    out = output(arguments, found, "sample", ".png", **asked)
    chunks = found.draws(num, arguments.seed, **knobs)
    if single:
        write_pictures(out, chunks, found.spec)
    elif arrays:
        save_rows(out, "x", num, chunks)
    else:
        save_png(out, view(found.spec.x, np.concatenate(list(chunks)), columns))
    rows = f", {columns} of each of {num // columns} texts in turn" if columns else ""
    print(f"{num} samples of step {found.step}{rows}: {out}")


def _asked(arguments: argparse.Namespace) -> tuple[dict[str, list[str]], int | None, int]:
    """Texts by field, how many samples each has, and how many all have."""
    from jaxgen.evaluate.givens import read_texts
    from jaxgen.rundir import open_existing

    if arguments.texts is None:
        return {}, None, arguments.num or 64
    spec, columns = open_existing(os.path.expanduser(arguments.run)).spec(), arguments.num
    columns = columns or OF_A_TEXT
    texts = read_texts(arguments.texts, spec, columns)
    return texts, columns, sum(map(len, texts.values()))


def _digest(texts: dict[str, list[str]]) -> str:
    return hashlib.sha256("\n".join(sum(texts.values(), [])).encode()).hexdigest()[:8]


def _check_grid(num: int, shape: tuple[int, ...]) -> None:
    from jaxgen.pictures import pixels

    if len(shape) == 3 and num * pixels(shape) > MOST_PIXELS:
        raise ConfigError(
            f"--num={num}: a grid of more than {MOST_PIXELS // pixels(shape):,} such images opens "
            "nowhere: write arrays with --out=FILE.npz, or single pictures with --out=FOLDER/"
        )


def write_pictures(folder: pathlib.Path, chunks: Iterable[Any], spec: Any) -> None:
    """One file each, 000000.png and so on, and none that was there before."""
    from jaxgen.pictures import save_pngs, to_uint8

    shown = (to_uint8(x, spec.levels, spec.x.range) for chunk in chunks for x in chunk)
    save_pngs(folder, shown)
