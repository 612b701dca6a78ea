"""Images whose factors of variation are known: `dsprites_like` and `faces_like`, drawn by code.

Every image is one row of a full grid of factors, so what a model has learnt can be compared with
what there is to learn. The grids are rendered in memory when asked for, in about a second on one
core, so there are no files. The split is fixed: `numpy.random.RandomState(0).permutation(N)`, the
last tenth of it held out.

`dsprites_like`: 64x64, values 0 and 1, 18,000 images (70 MiB), after dSprites (Matthey et al.
2017) with its factors and fewer values of each. The orientation goes through a quarter of a turn
in ten steps, not through a whole one, so that no two images are alike: a square that is turned by
90 degrees is the same square. The label is the shape. 64x64 is what the networks of that
literature take; `--config.data.size=32 --config.data.fit=stretch` is four times as fast.

`faces_like`: 64x64x3, 256 levels, 10,080 images (118 MiB): cartoon faces that smile, open their
eyes, turn, and change their skin and the colour of shirt and background. No label.
"""

from __future__ import annotations

import colorsys
import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, holdout
from jaxgen.types import DataSpec

SIZE = 64  # pixels, both ways
SPLIT_SEED, TEST_FRACTION = 0, 0.1
SHAPES = ("square", "ellipse", "heart")
STEP, FIRST = 4, 14  # pixels: from one position of a sprite to the next, and the first of them
FINE = 4  # lines of samples of a pixel of a face, both ways

FACTORS: dict[str, dict[str, int]] = {  # name -> factor -> number of its values, slowest first
    "dsprites_like": {"shape": 3, "scale": 6, "orientation": 10, "x": 10, "y": 10},
    "faces_like": {"smile": 7, "eyes": 5, "pose": 9, "hue": 8, "skin": 4},
}
NAMES = tuple(FACTORS)
NOMINAL = ("shape", "hue")  # their values have no order; the others grow with their number


@dataclasses.dataclass(frozen=True, eq=False)
class FactorTable:
    """The ground truth of a split, row by row.

    Attributes:
        values: int32 [N, F], each 0 .. count - 1.
        names: of the F factors.
        counts: number of values of each.
        nominal: columns whose values have no order.
    """

    values: np.ndarray
    names: tuple[str, ...]
    counts: tuple[int, ...]
    nominal: tuple[int, ...]


def truth(name: str, split: str | None = None) -> FactorTable:
    """The factors of every example of "train" or "test", in its order; None: of the full grid.

    Raises:
        DataError: on a data set without known factors, or another split.
    """
    counts = _factors(name)
    grid = np.indices(tuple(counts.values()), dtype=np.int32).reshape(len(counts), -1).T
    if split is not None:
        grid = grid[_rows(name, split)]
    nominal = tuple(k for k, factor in enumerate(counts) if factor in NOMINAL)
    return FactorTable(grid, tuple(counts), tuple(counts.values()), nominal)


def render(name: str) -> np.ndarray:
    """All images uint8 [N, 64, 64, C], in the order of `truth(name)`.

    Raises:
        DataError: on a data set without known factors.
    """
    _factors(name)
    return _sprites() if name == "dsprites_like" else _faces()


def load(name: str, data_dir: str | None = None) -> Dataset:
    """The data set, rendered anew; its factors are `truth(name, split)`.

    Raises:
        DataError: on a data set without known factors.
    """
    counts, images = _factors(name), render(name)
    sprites = name == "dsprites_like"
    splits = {}
    for split in ("train", "test"):
        rows = _rows(name, split)
        label = truth(name, split).values[:, 0] if sprites else None
        splits[split] = ArraySplit({"x": images[rows], "label": label})
    spec = DataSpec.of(name, images.shape[1:], 2 if sprites else 256, len(SHAPES) if sprites else 0)
    grid = ", ".join(f"{factor} {count}" for factor, count in counts.items())
    return Dataset(spec, splits, f"rendered: {grid}", classes=SHAPES if sprites else ())


def _factors(name: str) -> dict[str, int]:
    if name not in FACTORS:
        raise DataError(f"expected one of {', '.join(NAMES)}, whose factors are known: {name!r}")
    return FACTORS[name]


def _rows(name: str, split: str) -> np.ndarray:
    """Rows of the full grid that belong to a split, increasing."""
    if split not in ("train", "test"):
        raise DataError(f"expected the split train or test, got {split!r}")
    train, test = holdout(math.prod(FACTORS[name].values()), TEST_FRACTION, SPLIT_SEED)
    return train if split == "train" else test


def _sprites() -> np.ndarray:
    """[18000, 64, 64, 1] of 0 and 1."""
    counts = FACTORS["dsprites_like"]
    out = np.zeros((*counts.values(), SIZE, SIZE), np.uint8)
    for shape, scale, turn in np.ndindex(*list(counts.values())[:3]):
        angle = turn * math.pi / 2 / counts["orientation"]
        sprite = level(SHAPES[shape], 0.5 + 0.1 * scale, angle) < 0
        for x in range(counts["x"]):
            for y in range(counts["y"]):
                left, top = STEP * x, STEP * y
                side = 2 * FIRST
                out[shape, scale, turn, x, y, top : top + side, left : left + side] = sprite
    return out.reshape(-1, SIZE, SIZE, 1)


def level(shape: str, scale: float, angle: float) -> np.ndarray:
    """A function of the 28x28 pixels around a sprite that is negative inside of it.

    Sizes are chosen so that no pixel's centre is within rounding of an edge: all machines then
    render the same bits.

    Args:
        shape: one of `SHAPES`.
        scale: 1 for the biggest sprite.
        angle: by which it is turned, clockwise, in radians.
    """
    axis = (np.arange(2 * FIRST) + 0.5 - FIRST) / scale  # pixels of the unscaled sprite
    right, down = axis[None, :], axis[:, None]
    x = math.cos(angle) * right + math.sin(angle) * down
    y = math.cos(angle) * down - math.sin(angle) * right
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) / 8.8 - 1
    if shape == "ellipse":
        return (x / 6.61) ** 2 + (y / 13.13) ** 2 - 1
    u, v = x / 10.61, 0.11 - y / 10.61  # the heart curve, of height and width about 2.3
    return (u**2 + v**2 - 1) ** 3 - u**2 * v**3


# What a face is made of; `_palette` gives each its colour.
PARTS = ("back", "shirt", "hair", "skin", "shade", "blush", "white", "iris", "dark", "mouth")
SKINS = ((255, 224, 196), (234, 188, 146), (196, 138, 96), (122, 78, 54))
FIXED = {
    "hair": (66, 44, 36),
    "white": (250, 250, 250),
    "iris": (70, 110, 130),
    "dark": (38, 28, 28),
    "mouth": (176, 46, 58),
}
HEAD = (0.62, 0.72)  # half width and half height, where the picture is -1 .. 1 both ways
TURN = 0.6  # radians, the most that a head turns to either side


def _faces() -> np.ndarray:
    """[10080, 64, 64, 3].

    A pixel is the mean of its FINE^2 samples. Parts are counted first and coloured after, so that
    the many colours of one face cost a small product of matrices.
    """
    counts = FACTORS["faces_like"]
    places = list(counts.values())[:3]
    palette = np.asarray(
        [
            _palette(hue / counts["hue"], SKINS[skin])
            for hue in range(counts["hue"])
            for skin in range(counts["skin"])
        ],
        np.float32,
    )  # [colours, parts, 3]
    table = palette.transpose(1, 0, 2).reshape(len(PARTS), -1)
    out = np.empty((*places, len(palette), SIZE, SIZE, 3), np.uint8)
    for place in np.ndindex(*places):
        smile, eyes, turn = (value / (n - 1) for value, n in zip(place, places, strict=True))
        parts = face(2 * smile - 1, eyes, TURN * (2 * turn - 1))
        # Whole numbers below 2^24 all the way: float32 is exact, and the same on all machines.
        sums = _counted(parts).reshape(-1, len(PARTS)) @ table + FINE**2 / 2
        image = (sums.astype(np.int32) // FINE**2).astype(np.uint8)
        out[place] = image.reshape(SIZE, SIZE, -1, 3).transpose(2, 0, 1, 3)
    return out.reshape(-1, SIZE, SIZE, 3)


def _counted(parts: np.ndarray) -> np.ndarray:
    """[SIZE * FINE, SIZE * FINE] numbers of parts to counts per pixel, float32 [S, S, parts]."""
    samples = parts.reshape(SIZE, FINE, SIZE, FINE).transpose(0, 2, 1, 3).reshape(SIZE**2, -1)
    cells = samples + len(PARTS) * np.arange(SIZE**2)[:, None]
    counts = np.bincount(cells.ravel(), minlength=SIZE**2 * len(PARTS))
    return counts.reshape(SIZE, SIZE, len(PARTS)).astype(np.float32)


def _palette(hue: float, skin: Sequence[int]) -> list[list[int]]:
    """Colours 0 .. 255 of the parts."""

    def of_hue(saturation: float, value: float) -> list[int]:
        return [round(255 * c) for c in colorsys.hsv_to_rgb(hue, saturation, value)]

    def mixed(part: float, other: Sequence[int]) -> list[int]:
        return [round((1 - part) * a + part * b) for a, b in zip(skin, other, strict=True)]

    colours: Mapping[str, Sequence[int]] = FIXED | {
        "back": of_hue(0.3, 0.95),
        "shirt": of_hue(0.7, 0.75),
        "skin": skin,
        "shade": mixed(0.18, (60, 20, 20)),
        "blush": mixed(0.25, (230, 80, 90)),
    }
    return [list(colours[part]) for part in PARTS]


def face(smile: float, eyes: float, turn: float) -> np.ndarray:
    """Number of the part of `PARTS` at every sample, int64 [SIZE * FINE, SIZE * FINE].

    The features lie on a sphere: their sideways coordinate is the longitude, which turns.

    Args:
        smile: -1 corners down .. 1 up.
        eyes: 0 closed .. 1 wide open.
        turn: of the head, radians, positive to the right of the picture.
    """
    axis = (np.arange(SIZE * FINE) + 0.5) * 2 / (SIZE * FINE) - 1
    x, y = axis[None, :], axis[:, None]
    parts = np.full((SIZE * FINE, SIZE * FINE), PARTS.index("back"))

    def paint(part: str, inside: np.ndarray) -> None:
        parts[np.broadcast_to(inside, parts.shape)] = PARTS.index(part)

    def oval(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
        return (x / width) ** 2 + (y / height) ** 2 < 1

    width, height = HEAD
    ear = width * math.cos(turn)
    far, near = (ear, -ear) if turn > 0 else (-ear, ear)
    paint("shirt", oval(x, y - 1.2, 0.8, 0.5))
    paint("shade", oval(x, y - 0.7, 0.22, 0.3))
    paint(
        "hair", oval(x - 0.05 * math.sin(turn), y + 0.14, width + 0.07, height - 0.05) & (y < 0.3)
    )
    paint("skin", oval(x - far, y - 0.06, 0.11, 0.15))
    head = oval(x, y, width, height)
    paint("skin", head)
    longitude = np.arcsin(np.clip(x / width, -1, 1)) - turn
    side = np.abs(longitude)  # both eyes at once
    paint("blush", head & oval(side - 0.62, y - 0.24, 0.15, 0.09))
    paint("shade", head & oval(longitude, y - 0.14, 0.1, 0.06))
    opening = 0.13 * eyes
    paint("dark", oval(side - 0.42, y + 0.05, 0.27, opening + 0.035))
    white = oval(side - 0.42, y + 0.05, 0.23, opening) if eyes > 0 else np.zeros_like(head)
    paint("white", white)
    paint("iris", white & oval(side - 0.42, y + 0.05, 0.13, 0.1))
    paint("dark", white & oval(side - 0.42, y + 0.05, 0.07, 0.055))
    brow = -0.27 + 0.6 * (side - 0.42) ** 2
    paint("hair", head & (np.abs(side - 0.42) < 0.24) & (np.abs(y - brow) < 0.03))
    bend = 0.4 + 0.16 * smile * (0.5 - (longitude / 0.45) ** 2)
    paint("mouth", head & (side < 0.45) & (np.abs(y - bend) < 0.035))
    paint("hair", head & (y < -0.44 + 0.14 * np.cos(2.2 * longitude + 0.8)))
    if abs(turn) > 1e-9:
        paint("skin", oval(x - near, y - 0.06, 0.09, 0.14))
        paint("shade", oval(x - near, y - 0.06, 0.05, 0.08))
    return parts
