"""What a run directory holds, and how its small files are written and read.

config.json      the resolved config
manifest.json    command, versions, devices, seed, data, times of start and of each resume
metrics.jsonl    one object a line, append-only
metrics.again.jsonl, metrics.rejected.jsonl   what was moved out of it, see `rows`
checkpoints/     state and data position
samples/         grids of samples, from the same latents at every step
summary.json     final metrics and the state's digest; summary.step_N.json, those of a shorter run
arrays.npz       the data, where they were given in memory, see `data.kept`
lock.json        who writes here at this time, see `lock`
tensorboard/     event files
weights.safetensors   what is sampled and evaluated, of a run that was packed, for checkpoints
"""

from __future__ import annotations

import dataclasses
import json
import numbers
import os
import pathlib
from typing import TYPE_CHECKING, Any

from jaxgen.config import ConfigError
from jaxgen.files import WriteError, set_aside, write
from jaxgen.stored import read_json

if TYPE_CHECKING:
    from jaxgen.types import DataSpec  # imports JAX: seconds before a mistake is pointed out


SHOWN = 10  # runs that a message names


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
    def weights(self) -> pathlib.Path:
        """Of a run that was packed, in place of checkpoints."""
        return self.path / "weights.safetensors"

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
        try:
            set_aside(self.summary, f"summary.{step}.json")
        except OSError as error:
            raise WriteError(self.summary, error) from error

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
            reason = str(error).rpartition("() ")[2]
            raise ConfigError(f"{self.manifest}: no description of the data: {reason}") from None


def open_existing(path: str | os.PathLike[str]) -> RunDir:
    """A run directory that must exist.

    Raises:
        ConfigError: when `path` is not a run directory; names the runs in it, around it or beside
            it.
    """
    run = RunDir(pathlib.Path(path).expanduser().absolute())
    if not _is_run(run.path):
        raise ConfigError(
            f"{path} is not a run directory (no config.json and manifest.json in it); "
            f"{_nearest(run.path)}"
        )
    return run


def _is_run(path: pathlib.Path) -> bool:
    return RunDir(path).config.exists() and RunDir(path).manifest.exists()


def _nearest(path: pathlib.Path) -> str:
    """What was probably meant by a path that is no run."""
    around = next((parent for parent in path.parents if _is_run(parent)), None)
    if around is not None:
        return f"it lies in the run {around}: name that"
    inside = _runs_in(path) if path.is_dir() else []
    if inside:
        return f"it holds runs, name one: {', '.join(inside)}"
    if path.name.endswith(".tar.gz") and path.is_file():
        return f"it is a pack: jaxgen unpack {path.name} --workdir=DIR makes a run of it"
    what = (
        "it is a file; " if path.is_file() else "it does not exist; " if not path.exists() else ""
    )
    return f"{what}runs beside it: {', '.join(_runs_in(path.parent)) or 'none'}"


def _runs_in(folder: pathlib.Path) -> list[str]:
    found = sorted(file.parent.name for file in folder.glob("*/config.json"))
    return found if len(found) <= SHOWN else [*found[:SHOWN], f"and {len(found) - SHOWN} more"]


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes atomically: a reader sees the old file or the new one, never a part.

    Raises:
        WriteError: when it cannot be written.
    """
    write(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def check_step(step: Any) -> int | str | None:
    """None, "best", or a number that may be text.

    Raises:
        ConfigError: for anything else.
    """
    if step is None or step == "best":
        return step
    text = (
        step if isinstance(step, str) else str(step) if isinstance(step, numbers.Integral) else ""
    )
    if isinstance(step, bool) or not (text.isascii() and text.isdigit()):
        raise ConfigError(f"step={step!r}: expected a number of train steps, or 'best'")
    return int(text)
