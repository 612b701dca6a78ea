"""Whether a run directory may be trained in: by this config, over this work, by this process."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from jaxgen import rows
from jaxgen.config import ConfigError, flatten
from jaxgen.files import WriteError, clear_temporaries, free_name
from jaxgen.lock import Lock
from jaxgen.rundir import RunDir, read_json
from jaxgen.stored import parse, read_bytes

# what may differ between a run and its resumption without making it another run
FREE = (
    "checkpoint.",
    "data.data_dir",
    "data.download",
    "data.in_memory_mb",
    "data.manual_dir",
    "data.threads",
    "data.workers",
    "evaluate.",
    "frozen.",
    "mesh.",
    "train.log_every_steps",
    "train.max_rollbacks",
    "train.on_nan",
    "train.save_every",
    "train.steps",
)
SECTIONS = {"seed", "data", "model", "method"}  # that every config of a run has had
OWN = (
    "config.json",
    "manifest.json",
    "metrics*",
    "summary*",
    "checkpoints",
    "evaluation",
    "samples",
    "tensorboard",
    "weights.safetensors",
)
RESTART = "start anew with --restart, which moves what is there to a folder before-restart-<time>"


def _quiet(text: str) -> None:
    pass


@contextlib.contextmanager
def owned(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    restart: bool = False,
    say: Callable[[str], None] = print,
) -> Iterator[Lock]:
    """Holds the run directory for a config, which nobody else writes meanwhile.

    Args:
        path: of the directory; it is made if there is none.
        config: resolved.
        restart: move the work that is there aside.
        say: where messages go.

    Raises:
        ConfigError: when another process writes it, or see `claim`.
        WriteError: when it cannot be written.
    """
    run = RunDir(pathlib.Path(path).expanduser().absolute())
    lock = Lock(run.path, say)
    try:
        if restart:
            set_aside(run, say)
        claim(path, config)
        clear_temporaries(run.path)
        clear_temporaries(run.samples)
        yield lock
    finally:
        lock.release()


def set_aside(run: RunDir, say: Callable[[str], None] = print) -> pathlib.Path | None:
    """Moves all of a run to a folder inside its directory; returns the folder, None if it is empty.

    Raises:
        WriteError: when it cannot be.
    """
    found = sorted({path for pattern in OWN for path in run.path.glob(pattern)})
    if not found:
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    aside = free_name(run.path / f"before-restart-{stamp}")
    try:
        aside.mkdir()
        for path in found:
            os.rename(path, aside / path.name)
    except OSError as error:
        raise WriteError(aside, error) from error
    say(f"restart: the work of before is in {aside}")
    return aside


def claim(
    path: str | os.PathLike[str],
    config: Mapping[str, Any],
    say: Callable[[str], None] = _quiet,
) -> RunDir:
    """The run directory for a config: a new one, or that of the same run.

    Writes nothing. What may differ from the run's own config is listed in `FREE`, and data that
    are a file or folder may lie elsewhere now: whether they are the same, their content tells.
    Fields that did not exist when the run began take their value of now, and are named.

    Args:
        path: of the directory.
        config: resolved.
        say: where messages go.

    Raises:
        ConfigError: when the directory belongs to another config, showing the difference; when it
            holds work of which nothing tells the config; when its checkpoints are gone.
    """
    run = RunDir(pathlib.Path(path).expanduser().absolute())
    stored = _stored_config(run, say)
    if stored is None:
        return run
    if run.weights.exists():
        raise ConfigError(
            f"{run.path} was packed: it samples and evaluates, and cannot be trained further, for "
            "the optimiser's state is not in it; give another --workdir"
        )
    _compare(run, stored, config, say)
    if (what := lost(run, stored)) is not None:
        raise ConfigError(
            f"{run.checkpoints} holds no checkpoint, but {what}: put the checkpoints back, or "
            f"{RESTART}"
        )
    return run


def _stored_config(run: RunDir, say: Callable[[str], None]) -> Mapping[str, Any] | None:
    """The config of the run, from its file or from its newest checkpoint; None of a new one."""
    about = sealed(run)
    if run.config.exists():
        try:
            return read_json(run.config)
        except ConfigError as error:
            way = f"put it back from a copy, or {RESTART}"
            if about:
                way = "move it away: the newest checkpoint has a copy of the config"
            raise ConfigError(f"{error}; {way}") from None
    if about:
        say(f"{run.config} is missing: the config was taken from the newest checkpoint")
        return about["config"]
    work = [p.name for pattern in OWN for p in run.path.glob(pattern) if _has_something(p)]
    if work:
        raise ConfigError(
            f"{run.path} holds {', '.join(work)} but no config.json: nothing tells whether this "
            f"config began it; put config.json back, or {RESTART}"
        )
    return None


def _has_something(path: pathlib.Path) -> bool:
    return any(path.iterdir()) if path.is_dir() else path.stat().st_size > 0


def _compare(
    run: RunDir, stored: Mapping[str, Any], config: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    old, new = flatten(stored), flatten(config)
    free = FREE
    if _may_be_moved(old.get("data.name"), new.get("data.name")):
        free += ("data.name",)
    bound = [key for key in sorted(old.keys() | new.keys()) if not key.startswith(free)]
    differing = [key for key in bound if old.get(key, KeyError) != new.get(key, KeyError)]
    added = [key for key in differing if key not in old]
    removed = [key for key in differing if key not in new]
    if not differing:
        return
    if len(removed) + len(added) < len(differing) or not stored.keys() >= SECTIONS:
        lines = [
            f"  {key}: {old.get(key, '(absent)')!r} in the run, {new.get(key, '(absent)')!r} now"
            for key in differing
        ]
        raise ConfigError(
            f"{run.path} belongs to another config:\n"
            + "\n".join(lines)
            + "\ngive another --workdir, or the run's own config to resume it"
        )
    if removed:
        raise ConfigError(
            f"{run.config} has fields that this config does not know: "
            f"{', '.join(f'{key}={old[key]!r}' for key in removed)}; resume with the version of "
            f"jaxgen that began the run ({run.manifest.name}: versions, git_commit), or take them "
            f"out of {run.config} to go on without them"
        )
    say(
        f"{run.config} is older than these fields, which now are: "
        f"{', '.join(f'{key}={new[key]!r}' for key in added)}"
    )


def _may_be_moved(old: Any, new: Any) -> bool:
    """Whether the new name of the data is a file or folder that is there, or the old place."""
    place = os.path.expanduser(_place(new))
    return os.path.exists(place) or os.path.abspath(place) == _place(old)


def _place(name: Any) -> str:
    """Of a folder, whatever it holds."""
    kinds = "folder|domains|layouts|captions|captions_reversed|showers|speech|speech_mel"
    return re.sub(f"^(?:{kinds}):", "", str(name))


def steps(run: RunDir) -> list[int]:
    """Of the checkpoints, ascending; not looked into."""
    found = run.checkpoints.iterdir() if run.checkpoints.is_dir() else ()
    named = (p for p in found if p.name.isascii() and p.name.isdigit())
    return sorted(int(p.name) for p in named if p.is_dir())


def sealed(run: RunDir) -> Mapping[str, Any] | None:
    """`{"config": ..., "data": ...}` as the newest checkpoint has them; None of older versions."""
    for step in reversed(steps(run)):
        path = run.checkpoints / str(step) / "integrity" / "metadata"
        try:
            about = parse(read_bytes(path))["about"]
            if isinstance(about["config"], dict) and isinstance(about["data"], dict):
                return about
        except (OSError, ValueError, RecursionError, LookupError, TypeError):
            continue
    return None


def lost(run: RunDir, config: Mapping[str, Any]) -> str | None:
    """What tells that the run once had a checkpoint, where it has none now; else None."""
    if steps(run):
        return None
    if set_apart := sorted(run.checkpoints.glob("corrupt-*")):
        return f"{set_apart[-1].name} is there"
    if summaries := sorted(run.path.glob("summary*.json")):
        return f"{summaries[-1].name} is there"
    manifest = read_json(run.manifest) if run.manifest.exists() else {}
    if "saved" in manifest:
        return f"that of step {manifest['saved']} was saved" if manifest["saved"] else None
    if any(run.checkpoints.glob("*-tmp*")):
        return None  # the first one was being written
    every = (config.get("train") or {}).get("save_every_steps") or 0
    for row in rows.read(run.metrics, _quiet):
        if row["split"].startswith("eval_") or 0 < every < row["step"]:
            return f"{run.metrics.name} has rows up to step {row['step']} and more"
    return None
