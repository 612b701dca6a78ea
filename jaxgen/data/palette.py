"""Colours of classes, so that layouts can be looked at, and painted.

Class 0 is black; the bits of a number, three at a time from the lowest, are the highest bits of
red, green and blue: the colours of the PASCAL VOC challenge, all different up to 256 classes.
"""

from __future__ import annotations

import numpy as np

MOST = 256


def colours(count: int) -> np.ndarray:
    """uint8 [count, 3], of classes 0 to count - 1; those after the 256th begin anew."""
    numbers = np.arange(count)[:, None] % MOST
    channels, out = np.arange(3), np.zeros((count, 3), int)
    for place in range(8):
        out |= (numbers >> 3 * place + channels & 1) << 7 - place
    return out.astype(np.uint8)


def numbers_of(rgb: np.ndarray) -> np.ndarray:
    """The classes of colours [H, W, 3], int32 [H, W].

    Raises:
        ValueError: for a colour that no class has, naming the first such pixel.
    """
    weights = np.array([1 << 16, 1 << 8, 1])
    table = colours(MOST) @ weights
    order = np.argsort(table)
    keys = rgb.astype(int) @ weights
    at = order[np.minimum(np.searchsorted(table, keys, sorter=order), MOST - 1)]
    if (wrong := np.argwhere(table[at] != keys)).size:
        row, column = wrong[0]
        red, green, blue = rgb[row, column]
        raise ValueError(
            f"the colour {red}, {green}, {blue} in row {row}, column {column} is of no class: "
            "paint without soft edges, with the colours of jaxgen palette RUN"
        )
    return at.astype(np.int32)
