"""Pictures of how samples come about in models that bring noise to data in steps."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.evaluate.validation import check_count, check_knobs
from jaxgen.pictures import view
from jaxgen.progress import track
from jaxgen.views.latents import moving_rows
from jaxgen.views.picture import Picture


def trajectory(run: Any, num: int = 8, frames: int = 10, seed: int = 0, **knobs: Any) -> Picture:
    """Samples on their way from noise to data: a row each, or a film.

    The last of them are `run.sample(num, seed, **knobs)`, those before are what there was after
    shares of the steps, noise and all. Arrays: "x" [num, frames, ...], "shares" [frames].

    Args:
        run: whose method draws in steps.
        num: of samples.
        frames: columns, or frames, 2 or more.
        seed: of the samples.
        **knobs: of the method, as `steps=50`; `label` of a conditional run.

    Raises:
        ConfigError: for a method that draws at once, or a knob that it does not have.
    """
    num, frames = check_count(num, "num"), check_count(frames, "frames")
    if frames < 2:
        raise ConfigError("frames=1: expected an integer of 2 or more")
    try:
        check_knobs(run.method, {"until": 1.0})
    except ConfigError as error:
        who = type(run.method).__name__
        raise ConfigError(
            f"{who} does not bring noise to data in steps: there is no trajectory"
        ) from error
    shares = np.linspace(0, 1, frames)
    x = [
        run.sample(num, seed, until=float(share), **knobs)
        for share in track(shares, "drawing", frames, "frames")
    ]
    arrays = {"x": np.stack(x, axis=1), "shares": shares}
    if run.spec.x.kind == "image":
        return moving_rows(run, arrays["x"], shares=shares)

    def film() -> list[np.ndarray]:
        return [view(run.spec.x, step) for step in x]

    return Picture(arrays, lambda: np.concatenate(film(), axis=1), film)
