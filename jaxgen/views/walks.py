"""Films of walks: of all latents, of the top group of several, of styles; and sweeps of a knob."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Descends, Latents, Truncates
from jaxgen.config import ConfigError
from jaxgen.evaluate.validation import check_count, check_seed
from jaxgen.progress import track
from jaxgen.views.examples import chosen_class
from jaxgen.views.latents import (
    check_images,
    codes_of,
    decoder_of,
    given_to_all,
    moving_rows,
)
from jaxgen.views.picture import Picture
from jaxgen.views.timing import Timing, taken

Frame = Callable[[np.ndarray], Any]  # angles [num] -> [num, ...] in the units of the data


def walk(
    run: Any,
    num: int = 16,
    frames: int = 60,
    seed: int = 0,
    label: int | None = None,
    top: bool = False,
    temperatures: str | Sequence[float] = "",
    truncation: float | None = None,
    timing: Timing = "even",
    **places: Any,
) -> Picture:
    """A closed random walk of latents along great circles, of `num` images side by side.

    Arrays: "x" [num, frames, ...].

    Args:
        run: with images.
        num: of images.
        frames: of the walk, columns where nothing moves.
        seed: of the walk.
        label: class of all images, of a conditional run; None takes the first.
        top: of latents in several groups move the first alone, and hold the noise of the others. A
            great circle around the prior's mean, of which every point is a draw where the prior of
            the first group is normal.
        temperatures: of the groups, from the first on, as "0.7,1"; the last one is that of all that
            follow. With `top`, which they imply.
        truncation: psi of styles: w is brought towards its mean, to this share of the distance
            (Karras et al. 2019, appendix B). Noise is held.
        timing: of the frames: "even" in the angle, "perceptual" in what is seen of each image, or
            positions; see `timing.taken`.
        **places: of the data.

    Raises:
        ConfigError: for what the run cannot do, or was not given.
    """
    check_images(run)
    num, frames, seed = check_count(num, "num"), check_count(frames, "frames"), check_seed(seed)
    warm = check_temperatures(temperatures)
    if truncation is not None and (top or warm):
        raise ConfigError("truncation is of styles, top and temperatures are of groups")
    if truncation is not None:
        frame = _styles(run, num, seed, label, truncation)
    elif top or warm:
        frame = _top(run, num, seed, warm or [1.0], given_to_all(run, label, **places))
    else:
        frame = _all(run, num, seed, label, **places)

    def at(positions: np.ndarray) -> np.ndarray:
        return np.asarray(frame(2 * math.pi * positions))

    chosen = taken(run, timing, at, num, frames, closed=True, **places)
    positions = track(chosen.positions.T, "drawing", frames, "frames")
    found = moving_rows(run, np.stack([at(t) for t in positions], axis=1))
    return dataclasses.replace(found, milliseconds=60, recipe=lambda: chosen.recipe)


def _circle(middle: Any, east: Any, north: Any, angles: np.ndarray) -> Any:
    """Points [num, ...] of circles, one an example."""
    along = angles.reshape(-1, *[1] * (east.ndim - 1))
    return middle + np.cos(along) * east + np.sin(along) * north


def _all(run: Any, num: int, seed: int, label: int | None, **places: Any) -> Frame:
    """Decodes standard normal latents on a circle."""
    codes, unflatten = codes_of(run, seed, few=2, **places)
    east, north = np.random.RandomState(seed).randn(2, num, codes.shape[1])
    decode = decoder_of(run, label, **places)
    return lambda angles: decode(unflatten(_circle(0, east, north, angles)))


def check_temperatures(temperatures: str | Sequence[float]) -> list[float]:
    """Numbers from 0 on, of text with commas between or of a sequence.

    Raises:
        ConfigError: for anything else.
    """
    parts = temperatures.split(",") if isinstance(temperatures, str) else list(temperatures)
    try:
        found = [float(part) for part in parts if part != ""]
    except (TypeError, ValueError):
        found = [math.nan]
    if not all(0 <= t < math.inf for t in found):
        raise ConfigError(f"temperatures={temperatures}: expected numbers from 0 on, as 0.7,1")
    return found


def _top(
    run: Any, num: int, seed: int, temperatures: Sequence[float], given: dict[str, Any]
) -> Frame:
    """Draws given a first group on a circle through two draws of its prior."""
    method = run.method
    if not isinstance(method, Descends):
        raise ConfigError(f"{type(method).__name__} has no groups of latents: omit --top")
    told = {"given": given} if given else {}
    state, keys = run.state.averaged(), jax.random.split(jax.random.key(seed), 3)

    def descend(warm: Sequence[float]) -> Callable[..., Any]:
        call = functools.partial(method.descend, num=num, temperatures=warm, **told)
        return jax.jit(lambda state, z, key: call(state, z, key))

    draw = descend(temperatures)
    middle = descend([0.0])(state, (), keys[0])[0][0]
    east, north = (draw(state, (), key)[0][0] - middle for key in keys[:2])
    return lambda angles: draw(state, (_circle(middle, east, north, angles),), keys[2])[1]


def _styles(run: Any, num: int, seed: int, label: int | None, psi: float) -> Frame:
    """Images of truncated w of latents on a circle."""
    method = run.method
    if not isinstance(method, Truncates) or not isinstance(method, Latents):
        raise ConfigError(f"{type(method).__name__} has no styles: omit --truncation")
    label = chosen_class(run, label)
    told: dict[str, Any] = {} if label is None else {"given": {"label": label}}
    keys = jax.random.split(jax.random.key(seed))
    east, north = (method.latents(key, num) for key in keys)
    state, render = run.state.averaged(), functools.partial(method.render, rounded=False)

    @jax.jit
    def draw(state: Any, z: Any) -> Any:
        middle = method.middle(state)[None]
        return render(state, middle + psi * (method.styles_of(state, z, **told) - middle))

    return lambda angles: draw(state, _circle(0, east, north, angles))


def knob_sweep(
    run: Any,
    knob: str = "temperature",
    low: float = 0.0,
    high: float = 1.0,
    num: int = 8,
    steps: int = 9,
    seed: int = 0,
    label: int | None = None,
) -> Picture:
    """Samples of the same latents, a row each, from one value of a knob to another.

    Arrays: "x" [num, steps, ...], and "values" [steps].

    Args:
        run: with images.
        knob: of the method's `sample`, a number, as "temperature", "truncation" or "guidance".
        low: its first value.
        high: its last.
        num: rows.
        steps: columns, or frames.
        seed: of the latents.
        label: class of all images, of a conditional run; None takes the first.

    Raises:
        ConfigError: for a knob that the method does not have, or that is no number.
    """
    check_images(run)
    num, steps = check_count(num, "num"), check_count(steps, "steps")
    label = chosen_class(run, label)
    told: dict[str, Any] = {} if label is None else {"label": label}
    values = np.linspace(low, high, steps)
    drawn = (run.sample(num, seed, **{knob: float(v)}, **told) for v in values)
    return moving_rows(run, np.stack(list(drawn), axis=1), values=values)
