"""What several commands take, and how they find their run."""

from __future__ import annotations

import argparse
import os
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.tools.outputs import add_picture, unwritable
from jaxgen.tools.ranges import CLASS, SEED, STEP


def add_run(command: argparse.ArgumentParser) -> None:
    """A run directory, a step of it, and what its config may name."""
    command.add_argument("run", help="a run directory")
    add_state(command)
    add_allow(command)


def add_state(command: argparse.ArgumentParser) -> None:
    """The step of the checkpoint, and which params of it."""
    command.add_argument(
        "--step", type=STEP, help="of the checkpoint, or best; default: the newest"
    )
    text = "of averaged parameters, by the config's ema, or none; default: their player's"
    command.add_argument("--average", metavar="NAME", help=text)


def add_seed(command: Any, what: str) -> None:
    """The seed of what is drawn."""
    command.add_argument("--seed", type=SEED, default=0, help=f"{what}; default: 0")


def add_classifier(command: Any) -> None:
    """A run that guides the samples."""
    text = "of noised data, that guides: --scale=1 --class=3"
    command.add_argument("--classifier", metavar="RUN", help=text)


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
    command.add_argument("--class", type=CLASS, dest="label", metavar="CLASS", help=text)


def add_latents(command: argparse.ArgumentParser, *kinds: str, default: str = ".png") -> None:
    """What pictures of latents take: a class, a place, a seed, and where the data are."""
    add_class(command)
    add_picture(command, *kinds, default=default)
    add_seed(command, "of the latents")
    add_places(command)


def own_options(arguments: argparse.Namespace) -> list[str]:
    """Names of the command's options, without dashes: a misspelt knob may have meant one."""
    return [name for name in vars(arguments) if name not in ("command", "takes_knobs", "run")]


def chosen_class(arguments: argparse.Namespace, run: Any) -> int | None:
    """The class that `add_class`'s argument names: see `views.examples.chosen_class`."""
    from jaxgen.views.examples import chosen_class

    return chosen_class(run, arguments.label)


def shown_class(label: int | None) -> str:
    """What a command prints of it."""
    return "" if label is None else f", class {label}"


def load_run(arguments: argparse.Namespace, num: int = 0, drawn: bool = True) -> Any:
    """The run that `add_run`'s arguments name, guided where `add_classifier`'s say so.

    Args:
        arguments: of the command.
        num: examples that it will make; what cannot fit is refused before anything is loaded.
        drawn: whether they become one picture.

    Raises:
        ConfigError: for no run, a place that cannot be written, or too many examples.
    """
    from jaxgen.rundir import open_existing

    directory = open_existing(os.path.expanduser(arguments.run))
    if getattr(arguments, "out", "") is None and (why := unwritable(directory.samples / "x.png")):
        raise ConfigError(f"{directory.path} cannot be written ({why}): add --out=FILE")
    if num:
        from jaxgen.train.memory import check_examples

        check_examples(directory.spec(), num, drawn)
    from jaxgen.run import Run

    found = Run(arguments.run, arguments.step, allowed(arguments), arguments.average)
    classifier = getattr(arguments, "classifier", None)
    return found if classifier is None else found.guided_by(classifier)


def add_places(command: argparse.ArgumentParser) -> None:
    """Where the data of a run are now."""
    command.add_argument("--data", help="the folder or file of the data, where it was moved")
    command.add_argument("--manual_dir", help="the folder of files fetched by hand, as of MNIST")


def places(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where the data are now, as far as that was said."""
    given = {name: getattr(arguments, name) for name in ("data", "manual_dir")}
    return {name: value for name, value in given.items() if value}
