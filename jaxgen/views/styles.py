"""Pictures of styles: grids of mixtures, and images found in the space of w."""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Mixes, Projects
from jaxgen.config import ConfigError
from jaxgen.evaluate.validation import check_count, check_seed
from jaxgen.pictures import curve, grid, stacked, to_uint8
from jaxgen.progress import counted, is_shown, stage, track
from jaxgen.views.examples import chosen_class, examples, read
from jaxgen.views.picture import Picture


def mix(
    run: Any,
    rows: int = 6,
    columns: int = 8,
    coarse: int = 2,
    seed: int = 0,
    label: int | None = None,
    frames: int = 60,
) -> Picture:
    """A grid of samples: the first `coarse` layers' styles are of the row.

    As a film, the others walk along great circles, and end where they began. Arrays: "x" [rows,
    columns, H, W, C].

    Args:
        run: with styles.
        rows: of the grid.
        columns: of the grid.
        coarse: layers whose style is the row's.
        seed: of the latents.
        label: class of all samples, of a conditional run; None takes the first.
        frames: of a film.

    Raises:
        ConfigError: for a run without styles.
    """
    label = chosen_class(run, label)
    if not isinstance(run.method, Mixes):
        raise _unstyled(run, "mix")
    rows, columns = check_count(rows, "rows"), check_count(columns, "columns")
    chosen: dict[str, Any] = {} if label is None else {"given": {"label": label}}
    frames, key = check_count(frames, "frames"), jax.random.key(check_seed(seed))
    mixed = functools.partial(run.method.mix, rows=rows, columns=columns, coarse=coarse, **chosen)
    draw = jax.jit(lambda state, key, angle: mixed(state, key, angle=angle))
    state = run.state.averaged()
    with stage("drawing"):
        x = np.asarray(draw(state, key, 0.0))

    def film() -> list[np.ndarray]:
        angles = np.arange(frames) * 2 * math.pi / frames
        moved = (draw(state, key, a) for a in track(angles, "drawing", frames, "frames"))
        return [grid(_shown(run, x), columns) for x in moved]

    arrays = {"x": x.reshape(rows, columns, *x.shape[1:])}
    return Picture(arrays, lambda: grid(_shown(run, x), columns), film, 60)


def project(
    run: Any,
    pictures: Any = None,
    num: int = 8,
    steps: int = 400,
    seed: int = 0,
    fit: str | None = None,
    **places: Any,
) -> Picture:
    """Test images above what is found for them, and below the distance at every step.

    Arrays: "x" and "found", [num, H, W, C] each; "w" [num, style]; "distance" [steps], the mean
    squared error in [-1, 1], the last of which is `about["distance"]`.

    Args:
        run: with styles.
        pictures: instead of test images: see `examples.read`.
        num: test images, evenly spaced.
        steps: of the search.
        seed: of its noise.
        fit: of `pictures`.
        **places: of the data.

    Raises:
        ConfigError: for a run without styles.
    """
    if not isinstance(run.method, Projects):
        raise _unstyled(run, "project")
    num, steps = check_count(num, "num"), check_count(steps, "steps")
    own = pictures is not None
    x = read(run.directory, pictures, fit).x if own else examples(run, num, **places)
    with counted("searching", steps, "steps") as advance:
        tell = (lambda step: advance(1)) if is_shown() else None
        search = jax.jit(functools.partial(run.method.project, steps=steps, tell=tell))
        done = search(run.state.averaged(), x, jax.random.key(check_seed(seed)))
        w, distance, found = map(np.asarray, jax.block_until_ready(done))

    def draw() -> np.ndarray:
        pairs = np.concatenate([_shown(run, v) for v in (x, found)])
        return stacked(grid(pairs, len(x)), curve(distance, "step", "mean squared error"))

    arrays = {"x": x, "found": found, "w": w, "distance": distance}
    return Picture(arrays, draw, about={"distance": float(distance[-1])})


def _shown(run: Any, x: Any) -> np.ndarray:
    return to_uint8(np.asarray(x), run.spec.levels, run.spec.x.range)


def _unstyled(run: Any, what: str) -> ConfigError:
    name = type(run.method).__name__
    return ConfigError(f"{name} has no styles: there is nothing to {what}")
