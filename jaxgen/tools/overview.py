"""What run directories hold, at a glance: read from their small files, nothing is loaded."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxgen import lock, rows
from jaxgen.claim import steps
from jaxgen.config import ConfigError
from jaxgen.machine import size
from jaxgen.progress import remark, track
from jaxgen.rundir import RunDir, open_existing, read_json

SEEN = 3  # folders deep that runs are looked for


@dataclasses.dataclass(frozen=True)
class Overview:
    """A run at a glance.

    Attributes:
        path: of the run directory.
        model: dotted name of the network.
        method: dotted name of the objective.
        data: name of the data.
        step: the last that was logged.
        of: steps that the config asks for.
        state: "finished", "stopped", "training" or "new".
        writer: who trains it now, in words, or None.
        metric: what marks the best checkpoint, as "test/bpd"; "" without evaluations.
        value: the last of it, None without.
        best: the lowest of it, and its step.
        final: the last evaluation, "split/metric" -> value.
        checkpoints: their steps.
        changed: time of the last change, seconds since the epoch.
        sizes: bytes of each file and folder in it.
    """

    path: pathlib.Path
    model: str
    method: str
    data: str
    step: int
    of: int
    state: str
    writer: str | None
    metric: str
    value: float | None
    best: tuple[float, int] | None
    final: Mapping[str, float]
    checkpoints: list[int]
    changed: float
    sizes: Mapping[str, int]


def overview(run: RunDir) -> Overview:
    """Of one run.

    Raises:
        ConfigError: for files that are damaged, or say less than every run says.
    """
    config, manifest = read_json(run.config), read_json(run.manifest)
    try:
        wanted = config["evaluate"].get("best", "")
        model, method = config["model"]["name"], config["method"]["name"]
        of, data = config["train"]["steps"], manifest["data"]["spec"]["name"]
        facts = {"model": str(model), "method": str(method), "data": str(data), "of": int(of)}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(f"{run.path}: no config of a run: {error!r}") from None
    logged = rows.read(run.metrics, lambda text: None)
    evaluated = _evaluations(logged)
    metric = wanted or next((k for k in evaluated if k.startswith("test/")), "")
    series = [(v, s) for s, v in evaluated.get(metric, []) if isinstance(v, float | int)]
    step = max((row["step"] for row in logged), default=0)
    writer = lock.writer(run.path)
    finished = run.summary.exists() and step >= of
    state = "training" if writer else "finished" if finished else "stopped" if logged else "new"
    return Overview(
        path=run.path,
        step=step,
        state=state,
        writer=writer,
        metric=metric,
        value=series[-1][0] if series else None,
        best=min(series) if series else None,
        final={k: values[-1][1] for k, values in evaluated.items()},
        checkpoints=steps(run),
        changed=max(_times(run)),
        sizes={p.name: size_of(p) for p in sorted(run.path.iterdir())},
        **facts,
    )


def _evaluations(logged: list[dict[str, Any]]) -> dict[str, list[tuple[int, Any]]]:
    """`split/metric` -> (step, value) in order."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for row in logged:
        if row["split"].startswith("eval_"):
            split = row["split"].removeprefix("eval_")
            for name, value in row.items():
                if name not in ("step", "split"):
                    found.setdefault(f"{split}/{name}", []).append((row["step"], value))
    return found


def _times(run: RunDir) -> Iterator[float]:
    for path in (run.config, run.manifest, run.metrics, run.checkpoints, run.summary):
        if path.exists():
            yield path.stat().st_mtime


def size_of(path: pathlib.Path) -> int:
    """Bytes of a file, or of all files below a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    found = 0
    for place, _, names in os.walk(path):
        for name in names:
            try:
                found += os.lstat(os.path.join(place, name)).st_size
            except OSError:  # a run that trains has moved it meanwhile
                continue
    return found


def runs_below(folder: pathlib.Path) -> list[RunDir]:
    """The run directories in a folder, SEEN deep, not those inside of runs."""
    found, left = [], [(folder, 0)]
    while left:
        place, depth = left.pop()
        run = RunDir(place)
        if run.config.exists() and run.manifest.exists():
            found.append(run)
        elif depth < SEEN:
            inside = (p for p in place.iterdir() if p.is_dir() and not p.is_symlink())
            left += [(p, depth + 1) for p in inside if os.access(p, os.R_OK | os.X_OK)]
    return sorted(found, key=lambda run: run.path)


def ago(when: float, now: float | None = None) -> str:
    """How long ago, in one unit: "3 hours"."""
    seconds = max((time.time() if now is None else now) - when, 0)
    units = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
    for name, length in units:
        if seconds >= length or length == 1:
            count = int(seconds // length)
            return f"{count} {name}{'' if count == 1 else 's'}"
    raise AssertionError


def runs(
    folder: str | os.PathLike[str] = "runs", say: Callable[[str], None] = remark
) -> list[Overview]:
    """The runs in a folder, the one that changed last at the end.

    Args:
        folder: that holds them, up to three folders deep.
        say: is told of those that cannot be read.

    Raises:
        ConfigError: for no folder.
    """
    place = pathlib.Path(folder).expanduser()
    if not place.is_dir():
        raise ConfigError(f"{place} is no folder; runs are in runs/ by default: jaxgen runs FOLDER")
    found: list[Overview] = []
    below = runs_below(place)
    for run in track(below, "reading", len(below), "runs"):
        try:
            found.append(overview(run))
        except (ConfigError, OSError) as error:
            say(f"{run.path}: {' '.join(str(error).split())}")
    return sorted(found, key=lambda one: one.changed)


def show(run: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """A run's summary, and where its files are: (name, what is said of it), in order.

    Args:
        run: its directory.

    Raises:
        ConfigError: as `overview` does.
    """
    return list(_facts(open_existing(run)))


def _facts(directory: RunDir) -> Iterator[tuple[str, str]]:
    """See `show`."""
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


def _measured(directory: RunDir) -> Iterator[tuple[str, str]]:
    """What `jaxgen eval --metrics` has measured."""
    path = directory.path / "evaluation" / "measurements.json"
    if not path.exists():
        return
    try:
        for found in read_json(path)["measurements"]:
            value, low, high = (float(found[key]) for key in ("value", "low", "high"))
            yield str(found["name"]), f"{value:.4g} ({low:.4g} to {high:.4g})"
    except (ConfigError, LookupError, TypeError, ValueError) as error:
        yield "measured", f"{path} cannot be read: {' '.join(str(error).split())}"
