"""What a run directory holds, and how its small files are written and read.

config.json      the resolved config
manifest.json    command, versions, devices, seed, data, times of start and of each resume
metrics.jsonl    one object a line, append-only
checkpoints/     state and data position
samples/         grids of samples, from the same latents at every step
summary.json     final metrics and the state's digest
tensorboard/     event files
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxgen.config import ConfigError, flatten
from jaxgen.stored import read_json

if TYPE_CHECKING:
    from jaxgen.types import DataSpec  # imports JAX: seconds before a mistake is pointed out

# what may differ between a run and its resumption without making it another run
FREE = (
    "checkpoint.",
    "data.data_dir",
    "data.in_memory_mb",
    "data.manual_dir",
    "evaluate.",
    "mesh.",
    "train.log_every_steps",
    "train.max_rollbacks",
    "train.on_nan",
    "train.save_every",
    "train.steps",
)


@dataclasses.dataclass(frozen=True)
class RunDir:
    """Paths of one run."""

    path: pathlib.Path

    @property
    def config(self) -> pathlib.Path:
        """The resolved config."""
        return self.path / "config.json"

    @property
    def manifest(self) -> pathlib.Path:
        """What ran, on what, with which data."""
        return self.path / "manifest.json"

    @property
    def metrics(self) -> pathlib.Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> pathlib.Path:
        """Orbax checkpoints."""
        return self.path / "checkpoints"

    @property
    def samples(self) -> pathlib.Path:
        """Grids of samples."""
        return self.path / "samples"

    @property
    def summary(self) -> pathlib.Path:
        """Final metrics."""
        return self.path / "summary.json"

    @property
    def tensorboard(self) -> pathlib.Path:
        """Event files."""
        return self.path / "tensorboard"

    def spec(self) -> DataSpec:
        """The DataSpec of the data that the run was trained on.

        Raises:
            ConfigError: for a manifest that does not describe such data.
        """
        from jaxgen.types import DataSpec

        try:
            spec = dict(read_json(self.manifest)["data"]["spec"])
            return DataSpec(**spec | {"shape": tuple(spec["shape"])})
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            reason = str(error).removeprefix("DataSpec.__init__() ")
            raise ConfigError(f"{self.manifest}: no description of the data: {reason}") from None


def open_existing(path: str | os.PathLike[str]) -> RunDir:
    """A run directory that must exist.

    Raises:
        ConfigError: when `path` is not a run directory; names those beside it.
    """
    run = RunDir(pathlib.Path(path).expanduser().absolute())
    if not run.config.exists() or not run.manifest.exists():
        beside = sorted(p.parent.name for p in run.path.parent.glob("*/config.json"))
        raise ConfigError(
            f"{path} is not a run directory (no config.json and manifest.json in it); "
            f"runs beside it: {', '.join(beside) or 'none'}"
        )
    return run


def claim(path: str | os.PathLike[str], config: Mapping[str, Any]) -> RunDir:
    """The run directory for a config: a new one, or that of the same run.

    Writes nothing. What may differ from the run's own config is listed in `FREE`, and data that
    are a file or folder may lie elsewhere now: whether they are the same, their content tells.

    Raises:
        ConfigError: when the directory belongs to another config; shows the difference.
    """
    run = RunDir(pathlib.Path(path).expanduser().absolute())
    if not run.config.exists():
        return run
    old, new = flatten(read_json(run.config)), flatten(config)
    free = FREE
    if _may_be_moved(old.get("data.name"), new.get("data.name")):
        free += ("data.name",)
    differences = [
        f"  {key}: {old.get(key, '(absent)')!r} in the run, {new.get(key, '(absent)')!r} now"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and not key.startswith(free)
    ]
    if differences:
        raise ConfigError(
            f"{run.path} belongs to another config:\n"
            + "\n".join(differences)
            + "\ngive another --workdir, or the run's own config to resume it"
        )
    return run


def _may_be_moved(old: Any, new: Any) -> bool:
    """Whether the new name of the data is a file or folder that is there, or the old place."""
    place = os.path.expanduser(str(new).removeprefix("folder:"))
    return os.path.exists(place) or os.path.abspath(place) == old


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes atomically: a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w") as f:
        json.dump(value, f, indent=1, allow_nan=False)
        f.write("\n")
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)
