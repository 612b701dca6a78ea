"""`jaxgen runs`: the runs in a folder, the newest last, with what they are and how they stand."""

from __future__ import annotations

import argparse
import json
import pathlib
from typing import Any

HEAD: tuple[str, ...] = ("run", "model", "data", "step", "last", "best", "changed", "size", "")

PYTHON = "jaxgen.runs"


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    runs = commands.add_parser("runs", help="list runs: data, model, step, best value, age, size")
    runs.set_defaults(command=run)
    runs.add_argument("folder", nargs="?", default="runs", help="that holds them; default: runs")
    runs.add_argument("--json", action="store_true", help="a list of objects instead of a table")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints the table; a run that cannot be read is a line with the reason."""
    from jaxgen.machine import size
    from jaxgen.tools.overview import ago, runs

    folder = pathlib.Path(arguments.folder).expanduser()
    found = runs(folder, say=print)
    if arguments.json:
        print(json.dumps([as_json(one) for one in found], indent=1))
        return
    if not found:
        print(f"no runs in {folder}; jaxgen train glow makes the first")
        return
    table = [HEAD]
    for one in found:
        last = f"{one.metric} {one.value:.5g}" if one.value is not None else ""
        best = f"{one.best[0]:.5g} at {one.best[1]:,}" if one.best else ""
        model = one.model.rpartition(".")[2]
        space, age = size(sum(one.sizes.values())), f"{ago(one.changed)} ago"
        name = str(one.path.relative_to(folder)) if one.path != folder else one.path.name
        step = f"{one.step:,}/{one.of:,}"
        table.append((name, model, one.data, step, last, best, age, space, one.state))
    widths = [max(len(row[i]) for row in table) for i in range(len(HEAD))]
    for row in table:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def as_json(one: Any) -> dict[str, Any]:
    """An `Overview` as JSON."""
    return {
        "run": str(one.path),
        "model": one.model,
        "method": one.method,
        "data": one.data,
        "step": one.step,
        "of": one.of,
        "state": one.state,
        "metric": one.metric,
        "last": one.value,
        "best": None if one.best is None else {"value": one.best[0], "step": one.best[1]},
        "changed": one.changed,
        "bytes": sum(one.sizes.values()),
    }
