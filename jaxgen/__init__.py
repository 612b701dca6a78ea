"""jaxgen: deep generative models of every family, trained and compared in one codebase."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

__version__ = "0.2.0"


def load(
    run: str | os.PathLike[str],
    step: int | str | None = None,
    allow: Iterable[str] = (),
    average: str | None = None,
) -> Any:
    """A trained run: see `jaxgen.run.Run`.

    Args:
        run: its directory.
        step: of the checkpoint, or "best"; None takes the newest.
        allow: names of modules, trusted, whose classes the run's config may name beside jaxgen's.
        average: the name of the averaged params to take, "none" for those that are trained; None
            takes those named as their player.

    Example:
        >>> run = load("runs/nice-digits", step="best")
        >>> run.sample(4, seed=0).shape
        (4, 8, 8, 1)
    """
    from jaxgen.run import Run

    return Run(run, step, allow, average)
