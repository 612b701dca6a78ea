"""When the frames of a film are taken along a path: evenly, or in what is seen of it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.progress import track

TIMINGS = ("even", "perceptual")
FINE = 4  # places a frame at which the path is looked at

Timing = str | Sequence[Any]  # one of `TIMINGS`, or positions [frames] or [rows, frames]
Place = Callable[[np.ndarray], np.ndarray]  # positions [rows] in 0 .. 1 -> [rows, ...] of the data


@dataclasses.dataclass(frozen=True, eq=False)
class Taken:
    """The places of frames.

    Attributes:
        positions: [rows, frames] in 0 .. 1, of the way along each row's path.
        recipe: what of them the options of a film do not say.
    """

    positions: np.ndarray
    recipe: Mapping[str, Any]


def taken(
    run: Any, timing: Timing, at: Place, rows: int, frames: int, closed: bool, **places: Any
) -> Taken:
    """Where on their paths the frames of a film are.

    "perceptual" makes the feature distance that is covered between two frames the same for all of a
    row: the path is cut into `FINE` pieces a frame, whose distances are added up. Features are
    those of the embedded classifier where the data have labels, else pixels: see
    `evaluate.extractors`. A row that shows no change is taken evenly.

    Args:
        run: of the images.
        timing: one of `TIMINGS`, or positions, as those of a film's recipe.
        at: the images at positions, one a row.
        rows: paths.
        frames: of the film.
        closed: the path ends where it begins, and the last frame is before that.
        **places: of the data.

    Raises:
        ConfigError: for another timing, or positions of another number or beyond the path.
    """
    even = np.arange(frames) / max(frames - (not closed), 1)
    if not isinstance(timing, str):
        found = _checked(timing, rows, frames)
        return Taken(found, {"positions": found.tolist()})
    if timing not in TIMINGS:
        raise ConfigError(f"timing={timing!r}, expected one of {', '.join(TIMINGS)}")
    if timing == "even" or frames == 1:
        return Taken(np.tile(even, (rows, 1)), {})
    label, features = _features(run, **places)
    fine = np.linspace(0, 1, FINE * frames + 1)
    looked = (
        features(at(np.full(rows, t))) for t in track(fine, "looking ahead", len(fine), "frames")
    )
    steps = [np.linalg.norm(after - before, axis=1) for before, after in itertools.pairwise(looked)]
    found = np.stack([retimed(row, even) for row in np.stack(steps, axis=1).astype(np.float64)])
    return Taken(found, {"features": label, "positions": found.tolist()})


def retimed(steps: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Positions on a path at which shares of its length are covered.

    Args:
        steps: [S], lengths of equal pieces of the path.
        shares: [F] in 0 .. 1.

    Returns:
        [F] in 0 .. 1; the shares, where there is no length.
    """
    covered = np.concatenate([[0.0], np.cumsum(steps)])
    if covered[-1] == 0:
        return shares
    return np.interp(shares * covered[-1], covered, np.linspace(0, 1, len(covered)))


def _features(run: Any, **places: Any) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """Label and function of the features: images in the units of the data to [B, D]."""
    from jaxgen.evaluate.extractors import classifier
    from jaxgen.evaluate.extractors.pixels import Pixels
    from jaxgen.measure import default_extractor

    if default_extractor(run.spec) == "pixels":
        found: Any = Pixels(run.spec)
    else:
        found = classifier.trained(run.dataset(**places), places.get("data_dir"))
    return found.label, found.of_real_levels


def _checked(timing: Sequence[Any], rows: int, frames: int) -> np.ndarray:
    """Positions as they were given, for every row."""
    try:
        found = np.asarray(timing, np.float64)
    except (TypeError, ValueError):
        found = np.full(0, np.nan)
    if found.shape not in ((frames,), (rows, frames)) or not ((found >= 0) & (found <= 1)).all():
        raise ConfigError(
            f"timing: expected one of {', '.join(TIMINGS)}, or numbers from 0 to 1, [{frames}] or "
            f"[{rows}, {frames}] of them"
        )
    return np.broadcast_to(found, (rows, frames))
