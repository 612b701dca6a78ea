"""Pictures of styles: grids of mixtures, and images found in the space of w."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Mixes, Projects
from jaxgen.config import ConfigError
from jaxgen.pictures import curve, grid, stacked, to_uint8
from jaxgen.progress import counted, is_shown, stage
from jaxgen.run import Run
from jaxgen.tools.latents import examples


def mixed(
    run: Run, rows: int, columns: int, coarse: int, seed: int = 0, label: int | None = None
) -> np.ndarray:
    """A grid of samples, [H, W, 3] uint8: the first `coarse` layers' styles are of the row.

    Args:
        run: with styles.
        rows: of the grid.
        columns: of the grid.
        coarse: layers whose style is the row's.
        seed: of the latents.
        label: class of all samples, of a conditional run.

    Raises:
        ConfigError: for a run without styles.
    """
    if not isinstance(run.method, Mixes):
        raise _unstyled(run, "mix")
    chosen = {} if label is None else {"given": {"label": label}}
    key = jax.random.key(seed)
    with stage("drawing"):
        x = run.method.mix(run.state.averaged(), key, rows, columns, coarse, **chosen)
    return grid(to_uint8(np.asarray(x), run.spec.levels, run.spec.x.range), columns)


def projected(
    run: Run,
    num: int = 8,
    steps: int = 400,
    seed: int = 0,
    own: np.ndarray | None = None,
    **where: Any,
) -> tuple[np.ndarray, float]:
    """Test images above what is found for them, and below the distance at every step.

    Args:
        run: with styles.
        num: test images, evenly spaced.
        steps: of the search.
        seed: of its noise.
        own: images instead of test images, [N, H, W, C] in the units of the data.
        **where: `manual_dir`, `data_dir` where the data have moved.

    Returns:
        The picture, and the last distance: the mean squared error in [-1, 1].

    Raises:
        ConfigError: for a run without styles.
    """
    if not isinstance(run.method, Projects):
        raise _unstyled(run, "project")
    x = examples(run, num, **where) if own is None else own
    with counted("searching", steps, "steps") as advance:
        tell = (lambda step: advance(1)) if is_shown() else None
        search = jax.jit(functools.partial(run.method.project, steps=steps, tell=tell))
        done = search(run.state.averaged(), x, jax.random.key(seed))
        _, distances, found = jax.block_until_ready(done)
    pairs = [to_uint8(np.asarray(v), run.spec.levels, run.spec.x.range) for v in (x, found)]
    picture = grid(np.concatenate(pairs), len(x))
    distances = np.asarray(distances)
    return stacked(picture, curve(distances, "step", "mean squared error")), float(distances[-1])


def _unstyled(run: Run, what: str) -> ConfigError:
    name = type(run.method).__name__
    return ConfigError(f"{name} has no styles: there is nothing to {what}")
