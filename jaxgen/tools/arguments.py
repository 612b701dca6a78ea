"""What several commands take, and how they find their run and their file."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any


def add_run(command: argparse.ArgumentParser) -> None:
    """A run directory, a step of it, and what its config may name."""
    command.add_argument("run", help="a run directory")
    command.add_argument("--step", help="of the checkpoint, or best; default: the newest")
    add_allow(command)


def add_allow(command: argparse.ArgumentParser) -> None:
    """Modules beside jaxgen's whose classes a stored config may name (docs/security.md)."""
    text = "trusted modules whose classes the run's config may name, comma-separated"
    command.add_argument("--allow", metavar="MODULE", help=text)


def allowed(arguments: argparse.Namespace) -> tuple[str, ...]:
    """What `add_allow`'s argument names."""
    return tuple((arguments.allow or "").split(","))


def add_class(command: argparse.ArgumentParser) -> None:
    """The class of all images of a picture."""
    text = "of all images, of a conditional run; default: the first"
    command.add_argument("--class", type=int, dest="label", metavar="CLASS", help=text)


def chosen_class(arguments: argparse.Namespace, run: Any) -> int | None:
    """The class that `add_class`'s argument names: the first by default, None if there are none.

    Raises:
        ConfigError: for a run that is not conditional, or a class that there is not.
    """
    from jaxgen.config import ConfigError

    label, known = arguments.label, run.spec.num_classes
    if not getattr(run.method, "conditional", False):
        if label is not None:
            raise ConfigError(f"--class={label}: {run.directory.path} is not conditional: omit it")
        return None
    if label is not None and not 0 <= label < known:
        raise ConfigError(f"--class={label}, expected 0 to {known - 1}, the classes of the data")
    return label or 0


def shown_class(label: int | None) -> str:
    """What a command prints of it."""
    return "" if label is None else f", class {label}"


def load_run(arguments: argparse.Namespace) -> Any:
    """The run that `add_run`'s arguments name.

    Raises:
        ConfigError: for a step that is no number, or no run.
    """
    from jaxgen.config import ConfigError
    from jaxgen.tools.run import Run

    step = arguments.step
    if step not in (None, "best") and not step.isdigit():
        raise ConfigError(f"--step={step}, expected a number or best")
    return Run(arguments.run, step, allowed(arguments))


def picture_path(arguments: argparse.Namespace, run: Any, name: str, suffix: str = ".png") -> Any:
    """Where a picture goes: `--out`, or into the run.

    Raises:
        ConfigError: for another kind of file.
    """
    from jaxgen.config import ConfigError

    default = run.directory.samples / f"{name}_step{run.step:08}{suffix}"
    out = pathlib.Path(arguments.out or default)
    if out.suffix != suffix:
        raise ConfigError(f"--out={out}, expected a name that ends in {suffix}")
    return out


def add_places(command: argparse.ArgumentParser) -> None:
    """Where the data of a run are now."""
    command.add_argument("--data", help="the folder or file of the data, where it was moved")
    command.add_argument("--manual_dir", help="the folder of files fetched by hand, as of MNIST")


def places(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where the data are now, as far as that was said."""
    given = {name: getattr(arguments, name) for name in ("data", "manual_dir")}
    return {name: value for name, value in given.items() if value}
