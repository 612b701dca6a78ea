"""What a run directory holds, and how its small files are written and read.

config.json      the resolved config
manifest.json    command, versions, devices, seed, data, times of start and of each resume
metrics.jsonl    one object a line, append-only
metrics.again.jsonl, metrics.rejected.jsonl   what was moved out of it, see `rows`
checkpoints/     state and data position
samples/         grids of samples, from the same latents at every step
summary.json     final metrics and the state's digest; summary.step_N.json, those of a shorter run
lock.json        who writes here at this time, see `lock`
tensorboard/     event files
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

from jaxgen.config import ConfigError
from jaxgen.files import WriteError, free_name, write
from jaxgen.stored import read_json

if TYPE_CHECKING:
    from jaxgen.types import DataSpec  # imports JAX: seconds before a mistake is pointed out


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

    def set_summary_aside(self) -> None:
        """Gives the summary of a run that goes on the name of its step: it is not the last one.

        Raises:
            WriteError: when it cannot be renamed.
        """
        if not self.summary.exists():
            return
        try:
            step = f"step_{int(read_json(self.summary)['step']):08}"
        except (ConfigError, LookupError, TypeError, ValueError):
            step = "damaged"
        aside = free_name(self.path / f"summary.{step}.json")
        try:
            os.rename(self.summary, aside)
        except OSError as error:
            raise WriteError(aside, error) from error

    def spec(self) -> DataSpec:
        """The DataSpec of the data that the run was trained on.

        Raises:
            ConfigError: for a manifest that does not describe such data.
        """
        from jaxgen.types import DataSpec

        try:
            return DataSpec.from_json(read_json(self.manifest)["data"]["spec"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
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


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes atomically: a reader sees the old file or the new one, never a part.

    Raises:
        WriteError: when it cannot be written.
    """
    write(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
