"""The range of images of floats: people save them from 0 to 1, from -1 to 1, and up to 255."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset

USUAL = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0))
LOOKED_AT = 1024  # examples of a split that is not in memory


def ranged(dataset: Dataset, wanted: Any) -> Dataset:
    """The data set, with the range of its images in the spec where they are floats.

    The values stay as they are: the range is for pictures.

    Args:
        dataset: any.
        wanted: (lowest, highest), also as "0,255"; None takes the narrowest of `USUAL` that
            holds all values, else their own.

    Raises:
        DataError: for a range of what has none, or values outside of it.
    """
    spec = dataset.spec
    if spec.levels is not None or spec.x.kind != "image":
        if _pair(wanted) is not None:
            raise DataError(f"data.range is of images of floats; {spec.name} holds none")
        return dataset
    low, high = _ends(dataset)
    found = _pair(wanted)
    if found is None:
        found = next(((a, b) for a, b in USUAL if a <= low and high <= b), (low, high))
        how = "found; --config.data.range=LOW,HIGH sets another"
    else:
        how = "as asked for"
        if low < found[0] or high > found[1]:
            raise DataError(
                f"data.range={found[0]:g},{found[1]:g}, but values of {spec.name} go from {low:g} "
                f"to {high:g}"
            )
    return dataclasses.replace(
        dataset,
        spec=spec.with_field("x", range=found),
        ranged=f"{found[0]:g} to {found[1]:g} ({how})",
    )


def _ends(dataset: Dataset) -> tuple[float, float]:
    """Lowest and highest value, of all examples in memory and of some that are not."""
    ends = []
    for split in dataset.splits.values():
        if isinstance(split, ArraySplit):
            x = split.x
        else:
            x = split.take(np.unique(np.linspace(0, len(split) - 1, LOOKED_AT).astype(int)))["x"]
        ends += [float(x.min()), float(x.max())]
    return min(ends), max(ends)


def _pair(wanted: Any) -> tuple[float, float] | None:
    if wanted is None or wanted == ():
        return None
    parts = wanted.strip("()[]").split(",") if isinstance(wanted, str) else wanted
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (low < high and np.isfinite(high - low)):
        raise DataError(f"expected data.range as LOW,HIGH, e.g. 0,255; got {wanted!r}")
    return low, high
