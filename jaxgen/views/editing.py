"""Pictures of edits: one attribute of examples changed, and the rest kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data.loader import evenly
from jaxgen.evaluate.validation import check_count, check_seed
from jaxgen.pictures import grid, to_uint8
from jaxgen.views import attributes
from jaxgen.views.codes import Space
from jaxgen.views.directions import Direction, load
from jaxgen.views.examples import read
from jaxgen.views.picture import Picture


def edit(
    run: Any,
    attribute: str | Direction,
    pictures: Any = None,
    strength: Sequence[float] = (-2.0, 2.0),
    num: int = 8,
    steps: int = 5,
    seed: int = 0,
    fit: str | None = None,
    **places: Any,
) -> Picture:
    """A row for each test image: itself, then with less to more of an attribute.

    Of a data set that has a picture of every edit, these are beneath, white where there is none.
    Arrays: "x" [num, ...], "edited" [num, steps, ...], "strength" [steps], and where they are
    known "truth" [num, steps, ...] and "known", bool [num, steps].

    Args:
        run: whose direction it is.
        attribute: see `directions.load`; or what `directions` gave.
        pictures: instead of test images: see `examples.read`.
        strength: the least and the most, in units of the attribute.
        num: of test images, evenly spaced.
        steps: columns, both ends among them.
        seed: of what an encoder or a search draws.
        fit: of `pictures`.
        **places: of the data, where they have moved.

    Raises:
        ConfigError: for what the run cannot do, or a direction of another model.
        DataError: for a damaged file.
    """
    check_seed(seed)
    num, steps = check_count(num, "num"), check_count(steps, "steps")
    ends = np.asarray(strength, np.float64)
    if ends.shape != (2,) or not np.isfinite(ends).all() or not ends[0] <= ends[1]:
        raise ConfigError(f"strength={strength}, expected the least and the most, as -2..2")
    found = attribute if isinstance(attribute, Direction) else load(run, attribute)
    strengths = np.linspace(ends[0], ends[1], steps) if steps > 1 else ends[1:]
    space, index = Space(run, seed, channels=found.about["method"] == "stylespace"), None
    if pictures is not None:
        x = read(run.directory, pictures, fit).x
    else:
        test = run.dataset(**places).splits["test"]
        index = evenly(len(test), num)
        x = test.take(index)["x"]
    codes = space.encode(x)
    if codes.shape[1] != found.size:
        raise ConfigError(
            f"a direction of {found.size:,} numbers, codes of this run have {codes.shape[1]:,}"
        )
    edited = [space.decode(found.moved(codes, step)) for step in strengths]
    arrays = {"x": x, "edited": np.stack(edited, axis=1), "strength": strengths}
    name = found.about["attribute"]
    if index is not None and attributes.is_factor(run, name):
        truth, known = attributes.true_edits(run, name, index, strengths, **places)
        arrays |= {"truth": truth, "known": known}
    return Picture(arrays, lambda: _strip(run, arrays), about=dict(found.about))


def _strip(run: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[2 rows an example where the truth is known, the example and a column a strength]."""

    def shown(x: np.ndarray) -> np.ndarray:
        return to_uint8(np.asarray(x), run.spec.levels, run.spec.x.range)

    rows = []
    for k, x in enumerate(arrays["x"]):
        rows += [shown(x[None]), shown(arrays["edited"][k])]
        if "truth" in arrays:
            truth = shown(arrays["truth"][k])
            truth[~arrays["known"][k]] = 255
            rows += [shown(x[None]), truth]
    return grid(np.concatenate(rows), 1 + arrays["edited"].shape[1])
