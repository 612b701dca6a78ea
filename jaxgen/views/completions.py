"""Pictures of what a run draws where an example is not known."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgen.config import ConfigError, unknown
from jaxgen.evaluate.validation import check_count
from jaxgen.pictures import grid, to_uint8
from jaxgen.views.examples import batch_of, chosen_class, own_batch, own_given
from jaxgen.views.picture import Picture

KEEPS = ("upper", "lower", "left", "right")
PLACES = ("data", "manual_dir", "data_dir")
GREY = 128  # of what is not known


def half(keep: str, shape: tuple[int, ...]) -> np.ndarray:
    """bool [H, W, C], True in that half of an image.

    Raises:
        ConfigError: for another name than `KEEPS`.
    """
    if keep not in KEEPS:
        raise ConfigError(unknown("half", keep, KEEPS))
    height, width = shape[0] // 2, shape[1] // 2
    found = np.zeros(shape, bool)
    part = {
        "upper": np.s_[:height],
        "lower": np.s_[height:],
        "left": np.s_[:, :width],
        "right": np.s_[:, width:],
    }[keep]
    found[part] = True
    return found


def completions(
    run: Any,
    pictures: Any = None,
    num: int = 8,
    keep: str = "upper",
    copies: int = 6,
    seed: int = 0,
    label: int | None = None,
    fit: str | None = None,
    **options: Any,
) -> Picture:
    """Test images a row each: the image, the half of it that is kept, and draws of the rest.

    Arrays: "x" [num, H, W, C], "known" [H, W, C] and "completions" [num, copies, H, W, C].

    Args:
        run: whose method has `complete`.
        pictures: instead of test images: see `examples.read`.
        num: of test images.
        keep: "upper", "lower", "left" or "right": the half that is known.
        copies: draws of each.
        seed: of the draws.
        label: class of `pictures`, of a conditional run; None takes the first.
        fit: of `pictures`.
        **options: knobs of the method, fields that it is given instead of those of the examples,
            and `data`, `manual_dir`, `data_dir` where the data have moved.

    Raises:
        ConfigError: for what the run cannot do, or was not given.
    """
    if run.spec.x.kind != "image":
        raise ConfigError(f"{run.spec.name} has no images: there is no half to keep")
    copies, known = check_count(copies, "copies"), half(keep, run.spec.shape)
    places = {k: v for k, v in options.items() if k in PLACES}
    knobs = {k: v for k, v in options.items() if k not in PLACES}
    own = own_batch(run, pictures, fit, chosen_class(run, label))
    batch = own or batch_of(run, check_count(num, "num"), **places)
    said = {k: knobs.pop(k) for k in list(knobs) if k in run.spec.fields}
    x = np.repeat(batch["x"], copies, axis=0)
    rows = {k: np.repeat(v, copies, axis=0) for k, v in own_given(run, batch, said).items()}
    drawn = run.complete(x, known, seed, given={**rows, **said}, **knobs)
    drawn = drawn.reshape(-1, copies, *x.shape[1:])
    arrays = {"x": batch["x"], "known": known, "completions": drawn}
    return Picture(arrays, lambda: _rows(run, batch["x"], known, drawn))


def _rows(run: Any, x: np.ndarray, known: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The picture [H, W, 3]."""
    shown = to_uint8(x, run.spec.levels, run.spec.x.range)
    every = to_uint8(drawn.reshape(-1, *x.shape[1:]), run.spec.levels, run.spec.x.range)
    kept = np.where(known[..., :1], shown, GREY).astype(np.uint8)
    every = every.reshape(len(x), -1, *every.shape[1:])
    rows = np.concatenate([shown[:, None], kept[:, None], every], axis=1)
    return grid(rows.reshape(-1, *rows.shape[2:]), rows.shape[1])
