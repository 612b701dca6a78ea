"""`jaxgen show`: what a run is, how it stands, what was measured, and where its files are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from jaxgen.config import ConfigError


def add(commands: Any) -> None:
    """Adds the command to the parser of `jaxgen`."""
    show = commands.add_parser("show", help="a run's summary, and where its files are")
    show.set_defaults(command=run)
    show.add_argument("run", help="a run directory")


def run(arguments: argparse.Namespace, knobs: dict[str, Any]) -> None:
    """Prints it, a fact a line."""
    from jaxgen.rundir import open_existing

    found = list(facts(open_existing(arguments.run)))
    width = max(len(name) for name, _ in found)
    for name, said in found:
        print(f"{name:<{width}}  {said}")


def facts(directory: Any) -> Iterator[tuple[str, str]]:
    """(name, what is said of it), in order.

    Raises:
        ConfigError: as `overview` does.
    """
    from jaxgen.machine import size
    from jaxgen.rundir import read_json
    from jaxgen.tools.overview import ago, overview

    one, manifest = overview(directory), read_json(directory.manifest)
    yield "run", str(one.path)
    yield "model", one.model
    yield "method", one.method
    yield "data", f"{one.data}{_counts(manifest)}"
    writer = f" by {one.writer}" if one.writer else ""
    yield "step", f"{one.step:,} of {one.of:,}, {one.state}{writer}, {ago(one.changed)} ago"
    yield "command", str(manifest.get("command", "not recorded"))
    versions = manifest.get("versions") or {}
    made = ", ".join(f"{k} {versions[k]}" for k in ("jaxgen", "jax", "python") if k in versions)
    yield "made with", f"{made}; {manifest.get('devices', '?')}; seed {manifest.get('seed')}"
    for name, value in one.final.items():
        marks = ""
        if name == one.metric and one.best:
            marks = f"    best {one.best[0]:.5g} at step {one.best[1]:,}"
        yield name, f"{value:.5g}{marks}" if isinstance(value, float) else str(value)
    for name, said in _measured(directory):
        yield name, said
    listed = ", ".join(f"{step:,}" for step in one.checkpoints) or "none"
    yield "checkpoints", f"{directory.checkpoints}: step {listed}"
    for name, count in sorted(one.sizes.items(), key=lambda item: -item[1]):
        yield size(count), str(one.path / name)
    yield size(sum(one.sizes.values())), "together"


def _counts(manifest: Any) -> str:
    try:
        splits = manifest["data"]["fingerprint"]["splits"]
        return ": " + ", ".join(f"{k} {v['count']:,}" for k, v in splits.items())
    except (LookupError, TypeError, ValueError, AttributeError):
        return ""


def _measured(directory: Any) -> Iterator[tuple[str, str]]:
    """What `jaxgen eval --metrics` has measured."""
    from jaxgen.rundir import read_json

    path = directory.path / "evaluation" / "measurements.json"
    if not path.exists():
        return
    try:
        for found in read_json(path)["measurements"]:
            value, low, high = (float(found[key]) for key in ("value", "low", "high"))
            yield str(found["name"]), f"{value:.4g} ({low:.4g} to {high:.4g})"
    except (ConfigError, LookupError, TypeError, ValueError) as error:
        yield "measured", f"{path} cannot be read: {' '.join(str(error).split())}"
