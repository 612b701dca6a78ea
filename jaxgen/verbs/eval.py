"""`jaxgen eval`: the objective of a run on its own data, or named metrics of its samples."""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import shlex
import sys
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.arguments import (
    add_allow,
    add_classifier,
    add_places,
    add_seed,
    add_state,
    load_run,
    places,
)
from jaxgen.tools.outputs import add_out, kind, save_npz, save_text
from jaxgen.tools.ranges import COUNT

OBJECTIVE = ("per_example", "draws")  # options of the evaluation without --metrics alone

PYTHON = (
    "jaxgen.run.Run.evaluate",
    "jaxgen.run.Run.per_example",
    "jaxgen.run.Run.measure",
    "jaxgen.run.Run.guided_by",
    "jaxgen.measure.measure_images",
)


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    evaluate = commands.add_parser(
        "eval",
        help="evaluate a run, or images of another tool",
        epilog="With --metrics further --NAME=VALUE are knobs of the sampling, as "
        "--temperature=0.7; for images of another tool they are options of the data, as --size=64.",
    )
    evaluate.set_defaults(command=run)
    evaluate.add_argument("run", help="a run directory; a folder of images, .npz or .npy")
    add_state(evaluate)
    add_allow(evaluate)
    evaluate.add_argument("--splits", default="test", help="comma-separated, as train,test")
    evaluate.add_argument("--max_examples", type=COUNT, help="of each split; default: all")
    evaluate.add_argument(
        "--draws", type=COUNT, metavar="K", help="of noise for each example; default: the config's"
    )
    add_places(evaluate)
    evaluate.add_argument(
        "--importance_samples",
        type=COUNT,
        metavar="K",
        help="draws of latents, or dequantisation",
    )
    text = ".csv or .npz of every example's values, one split"
    add_out(evaluate, text, ".csv", ".npz", name="--per_example", metavar="FILE")
    metrics = evaluate.add_argument_group("metrics of samples (docs/evaluation.md)")
    metrics.add_argument("--metrics", help="comma-separated, as fd,pr,likelihood; or all")
    metrics.add_argument("--num", type=COUNT, help="images of each set; default: 10000 at most")
    add_seed(metrics, "of the samples")
    add_classifier(metrics)
    metrics.add_argument("--sets", type=COUNT, help="independent ones, for intervals; default: 3")
    metrics.add_argument(
        "--reference",
        "--split",
        help="split to compare with, or all; default: train, for images of another tool all data "
        "that came without a test split",
    )
    metrics.add_argument("--extractor", help="classifier[:DATA], pixels, inception, ...")
    metrics.add_argument("--weights", help="file of the extractor's weights")
    metrics.add_argument("--batch", type=COUNT, help="images that a device draws at once")
    metrics.add_argument("--page", action="store_true", help="also write what jaxgen compare shows")
    metrics.add_argument("--workdir", help="of images of another tool: where to write")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints what was measured, as JSON."""
    if arguments.metrics:
        _measure(arguments, knobs)
        return
    names = ("workdir", "extractor", "num", "sets", "classifier")
    given = [n for n in names if getattr(arguments, n) is not None]
    if given:
        raise ConfigError(f"--{given[0]} needs --metrics=..., as --metrics=fd,pr")
    found = load_run(arguments)
    options: dict[str, Any] = {"splits": tuple(arguments.splits.split(","))}
    options["max_examples"] = arguments.max_examples
    options |= places(arguments)
    if arguments.draws is not None:
        options["draws"] = arguments.draws
    if arguments.importance_samples is not None:
        options["importance_samples"] = arguments.importance_samples
    if arguments.per_example:
        _write_examples(found, arguments.per_example, options)
        return
    estimates = found.evaluate(**options)
    rows = {k: {"mean": v.mean, "stderr": v.stderr, "count": v.count} for k, v in estimates.items()}
    print(json.dumps({"run": str(found.directory.path), "step": found.step} | rows, indent=1))


def _write_examples(found: Any, out: pathlib.Path, options: dict[str, Any]) -> None:
    if len(options["splits"]) != 1:
        raise ConfigError("--per_example takes one split: add --splits=test")
    columns = found.per_example(options.pop("splits")[0], **options)
    if kind(out) == ".npz":
        save_npz(out, **columns)
    else:
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
        save_text(out, "\n".join(lines) + "\n")
    print(f"{len(columns['index'])} examples of step {found.step}: {out}")


def _measure(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    from jaxgen.measure import Request, measure_images, measure_run
    from jaxgen.progress import remark

    for name in OBJECTIVE:
        if getattr(arguments, name) is not None:
            raise ConfigError(f"--{name} is of the evaluation without --metrics")
    names = ("num", "sets", "extractor", "weights", "batch", "max_examples", "importance_samples")
    options = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
    request = Request(
        arguments.metrics,
        seed=arguments.seed,
        reference=arguments.reference,
        page=arguments.page,
        knobs=knobs,
        command=shlex.join(["jaxgen", *sys.argv[1:]]),
        **options,
    )
    path = pathlib.Path(arguments.run).expanduser()
    is_run = (path / "config.json").exists() or not (path.exists() or path.suffix)
    if is_run and arguments.workdir is not None:
        raise ConfigError(f"{path} is a run: --workdir is for images of another tool")
    if is_run:
        request = dataclasses.replace(request, **places(arguments))
        found = load_run(arguments, arguments.batch or 0, drawn=False)
        out = measure_run(found, request, remark)
    elif arguments.classifier is not None:
        raise ConfigError(f"{path} is no run directory: --classifier guides the samples of a run")
    elif arguments.data is None or arguments.workdir is None:
        raise ConfigError(
            f"{path} is no run directory; to measure its images add --data=NAME --workdir=DIR"
        )
    else:
        request = dataclasses.replace(request, manual_dir=arguments.manual_dir)
        out = measure_images(arguments.run, arguments.data, arguments.workdir, request, remark)
    source = {k: out["source"][k] for k in ("name", "kind", "path", "step", "data")}
    print(json.dumps(out | {"source": source}, indent=1))
