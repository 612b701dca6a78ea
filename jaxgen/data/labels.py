"""Labels as people save them, to class numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from jaxgen.data.dataset import DataError

MOST_CLASSES = 1_000_000  # one-hot, counted and embedded: more are no classes


def checked_labels(label: Any, count: int, where: str) -> np.ndarray:
    """int32 [N] of 0 .. classes - 1, from whole numbers [N] or [N, 1] of any type.

    Args:
        label: what was saved.
        count: N.
        where: what it was saved in, for messages.

    Raises:
        DataError: for labels of another shape, names, fractions, and numbers out of range.
    """
    label = np.asarray(label)
    got = f"{where}: expected integer labels [N], got {label.dtype} {list(label.shape)}"
    if label.ndim == 2 and label.shape[1] == 1:
        label = label[:, 0]
    if label.ndim != 1:
        raise DataError(got + ("; save labels.argmax(1) of one-hot labels" * (label.ndim == 2)))
    if label.dtype.kind not in "iufb":
        raise DataError(f"{got}; save numpy.unique(labels, return_inverse=True)[1]")
    if len(label) != count:
        raise DataError(f"{where}: {count} examples but {len(label)} labels")
    if label.dtype.kind == "f":
        odd = np.flatnonzero(~np.isfinite(label) | (label != np.rint(label)))
        if len(odd):
            raise DataError(f"{where}: label {odd[0]} is {label[odd[0]]}, expected whole numbers")
    for row in (label.argmin(), label.argmax()) if count else ():
        if not 0 <= label[row] < MOST_CLASSES:
            raise DataError(
                f"{where}: expected labels 0 .. classes - 1, got {label[row]} in row {row}; save "
                f"numpy.unique(labels, return_inverse=True)[1]"
            )
    return label.astype(np.int32)
