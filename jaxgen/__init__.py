"""jaxgen: deep generative models of every family, trained and compared in one codebase."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable
from typing import Any

__version__ = "0.2.0"
PACKAGES = ("bijectors", "data", "methods", "models", "ops")  # of Python, imported when asked for
# commands as functions -> where they are; those of one run are its methods
COMMANDS = {
    "compare": "jaxgen.report.page",
    "modes": "jaxgen.tools.modes",
    "prune": "jaxgen.tools.pruning",
    "runs": "jaxgen.tools.overview",
    "show": "jaxgen.tools.overview",
}


def __getattr__(name: str) -> Any:
    """A package or command, as `jaxgen.data` and `jaxgen.runs`, imported only when asked for."""
    if name in PACKAGES:
        return importlib.import_module(f"jaxgen.{name}")
    if name in COMMANDS:
        return getattr(importlib.import_module(COMMANDS[name]), name)
    raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *PACKAGES, *COMMANDS})


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


def fit(
    method: Any,
    data: Any = None,
    /,
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    workdir: str | os.PathLike[str] | None = None,
    quiet: bool = False,
    **changes: Any,
) -> Any:
    """Trains, as the command line does, and gives back what `load` gives.

    The same trainer, run directory and numbers as `jaxgen train`, whose compilation cache and
    flags of XLA are set, too, where JAX has not been used before.
    Ctrl-C saves and raises KeyboardInterrupt; the same call with its `workdir` goes on from there,
    bit for bit, and one with more steps extends a run that is over.

    Args:
        method: the name of a preset, as "glow" or "vae:mnist"; a config with all its sections; or
            a method, as `Likelihood(network, spec)` with the spec of `jaxgen.data.from_arrays`,
            whose players each take Adam at 1e-3 unless `changes` say otherwise.
        data: images [N, H, W, C] or [N, H, W], or points [N, D]; or a mapping `{"x": ...}` with
            "label" [N] or "context" [N, C], or with both splits as "x_train", "x_test" and so on;
            or a `jaxgen.data.Dataset` in memory; or a name or path, as "digits"; None takes that of
            the config. Arrays are held to the rules of a `.npz` file (docs/data.md): uint8 are
            grey levels, floats continuous, a tenth is held out where there is no test split. They
            are written once, as `arrays.npz` in the run directory, which the run needs to be
            resumed and evaluated.
        steps: of the run; a schedule of the learning rate keeps its own `decay_steps`.
        batch_size: of all devices together.
        seed: of parameters, order and noise, 0 to 2**32 - 1.
        workdir: the run directory; the same one resumes. None makes a new one,
            `runs/<config>-<data>`, or the first of `.2`, `.3` and on that is free.
        quiet: print nothing.
        **changes: fields of the config, as `**{"model.depth": 4}` or `model={"depth": 4}`; so
            `data={"flip": True}` are options of the data, which are the second argument.

    Raises:
        ConfigError: for what cannot be trained, in one line; of data it is a `DataError`.
        CheckpointError: when a run cannot be resumed.

    Example:
        >>> import numpy as np
        >>> x = np.random.RandomState(0).randn(500, 2) @ np.array([[2.0, 1.0], [0.0, 0.5]])
        >>> run = fit("realnvp:ring8", x, steps=20, quiet=True, model={"depth": 2, "hidden": (16,)})
        >>> run.sample(4).shape, run.log_prob(x[:3]).shape
        ((4, 2), (3,))
    """
    from jaxgen.platform import set_flags

    set_flags()
    from jaxgen.fitting import trained

    return trained(
        method,
        data,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        workdir=workdir,
        quiet=quiet,
        changes=changes,
    )
