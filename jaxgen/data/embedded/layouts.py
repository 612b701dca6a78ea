"""`layouts`: pictures of streets with their classes, instances and style, all known.

64x64 pictures: sky above ground, maybe a river and a sun or moon, one to three houses or trees, the
nearer the lower and the bigger. `layout` has the class of every pixel, `instances` tells objects of
a class apart, the label is the style: day, dusk or night, which changes every colour. A picture has
more than its layout and style say: each object is tinted, leaves have a pattern, pixels noise.

`read` is the inverse of the renderer: it finds layout and style of a picture without any training,
which measures what a model has drawn for a layout.
"""

from __future__ import annotations

import pathlib

import numpy as np

from jaxgen.data import prepare
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.types import DataSpec, Field

NAMES = ("layouts",)
COUNTS = {"train": 10_000, "test": 1_000}
SEEDS = {"train": 0, "test": 1}
VERSION = "1.0.0"
SIDE = 64
CLASSES = ("sky", "ground", "water", "tree", "wall", "roof", "sun", "window")
STYLES = ("day", "dusk", "night")
SKY, GROUND, WATER, TREE, WALL, ROOF, SUN, WINDOW = range(len(CLASSES))
PALETTE = (
    np.array(
        [
            [  # day
                (135, 190, 235),
                (120, 165, 85),
                (60, 110, 190),
                (40, 100, 45),
                (205, 180, 150),
                (165, 65, 50),
                (250, 235, 120),
                (85, 95, 115),
            ],
            [  # dusk
                (235, 150, 110),
                (125, 95, 75),
                (150, 90, 130),
                (70, 60, 40),
                (175, 125, 110),
                (110, 45, 55),
                (255, 205, 150),
                (245, 205, 90),
            ],
            [  # night
                (25, 30, 70),
                (35, 50, 45),
                (15, 50, 95),
                (10, 25, 20),
                (75, 70, 90),
                (60, 25, 40),
                (225, 225, 210),
                (245, 225, 130),
            ],
        ]
    )
    / 255
)  # [style, class, 3]
TINT, NOISE, LEAVES = 0.05, 0.015, 0.05  # deviations, and an amplitude
INSTANCES = len(CLASSES) + 3  # numbers: of a class that has no objects its own, then of objects
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE].astype(np.float64)


def load(name: str = NAMES[0], data_dir: str | None = None) -> Dataset:
    """The data set, drawn into `data_dir` by the first who asks.

    Raises:
        DataError: where `data_dir` cannot be written.
    """
    target = prepare.data_root(data_dir) / name / VERSION
    notes: list[str] = []
    splits = prepare.opened(target, _fill, _read, notes)
    place = (SIDE, SIDE)
    fields = {
        "x": Field("image", (*place, 3), "uint8", levels=256),
        "layout": Field("layout", place, "uint8", classes=len(CLASSES)),
        "instances": Field("instances", place, "uint8"),
        "label": Field("label", dtype="int32", classes=len(STYLES)),
    }
    source = f"seeded scenes, kept in {target}"
    return Dataset(DataSpec(name, fields), splits, source, STYLES, tuple(notes))


def _fill(work: pathlib.Path) -> None:
    for split, count in COUNTS.items():
        for name, array in scenes(count, SEEDS[split]).items():
            np.save(work / f"{split}_{name}.npy", array)


def _read(target: pathlib.Path) -> dict[str, ArraySplit]:
    names = ("x", "layout", "instances", "label")
    return {s: ArraySplit({n: np.load(target / f"{s}_{n}.npy") for n in names}) for s in COUNTS}


def scenes(count: int, seed: int) -> dict[str, np.ndarray]:
    """So many: x [N, 64, 64, 3], layout and instances [N, 64, 64], label [N]."""
    random = np.random.RandomState(seed)
    drawn = [scene(random) for _ in range(count)]
    layouts, instances = (np.stack(maps) for maps in zip(*drawn, strict=True))
    label = random.randint(len(STYLES), size=count).astype(np.int32)
    rows = zip(layouts, instances, label, strict=True)
    x = np.stack([rendered(random, *row) for row in rows])
    return {"x": x, "layout": layouts, "instances": instances, "label": label}


def scene(random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """The layout and the instances of one, uint8 [64, 64] each."""
    high, phase = SIDE * random.uniform(0.45, 0.65), random.uniform(0, 2 * np.pi)
    horizon = high + 2 * np.sin(2 * np.pi * COLUMNS / SIDE + phase)
    ground = horizon <= ROWS
    layout = np.where(ground, GROUND, SKY)
    if random.rand() < 0.5:
        middle = random.uniform(8, 56) + random.uniform(-1, 1) * (ROWS - high)
        layout[ground & (np.abs(COLUMNS - middle) < 2 + 0.22 * (ROWS - high))] = WATER
    if random.rand() < 0.6:
        radius = random.uniform(3.5, 5.8)
        down, right = random.uniform(6, high - 9), random.uniform(6, 58)
        disc = (ROWS - down) ** 2 + (COLUMNS - right) ** 2 < radius**2
        layout[disc & ~ground] = SUN
    instances = layout.copy()
    feet = np.sort(random.uniform(high + 3, 62, random.randint(1, 4)))
    for number, foot in enumerate(feet):
        size = 0.7 + 0.6 * (foot - high) / (SIDE - high)
        made = (_house if random.rand() < 0.5 else _tree)(random, foot, size)
        for kind, where in made:
            layout[where] = kind
            instances[where] = len(CLASSES) + number
    return layout.astype(np.uint8), instances.astype(np.uint8)


def _house(random: np.random.RandomState, foot: float, size: float) -> list[tuple[int, np.ndarray]]:
    """Wall, roof and windows: the class and where it is, what is in front last."""
    wide, tall = size * random.uniform(11, 15), size * random.uniform(7, 10)
    left, eaves = random.uniform(2, SIDE - 2 - wide), foot - tall
    across = (COLUMNS - left) / wide
    wall = (np.abs(across - 0.5) < 0.5) & (eaves <= ROWS) & (foot > ROWS)
    gable = size * random.uniform(4, 6)
    slope = (ROWS - eaves + gable) / gable  # 0 at the ridge, 1 at the eaves
    roof = (np.abs(across - 0.5) < 0.6 * slope) & (slope >= 0) & (eaves > ROWS)
    pane = (np.abs(ROWS - eaves - 0.45 * tall) < 1.6) & (foot > ROWS)
    windows = pane & ((np.abs(across - 0.27) * wide < 1.6) | (np.abs(across - 0.73) * wide < 1.6))
    return [(WALL, wall), (ROOF, roof), (WINDOW, windows & wall)]


def _tree(random: np.random.RandomState, foot: float, size: float) -> list[tuple[int, np.ndarray]]:
    """A trunk and a crown, both of one class."""
    middle, wide = random.uniform(6, 58), size * random.uniform(3.6, 5.2)
    tall = size * random.uniform(5, 7)
    crown = ((COLUMNS - middle) / wide) ** 2 + ((ROWS - foot + tall + 3) / tall) ** 2 < 1
    trunk = (np.abs(COLUMNS - middle) < 1) & (foot - 5 <= ROWS) & (foot > ROWS)
    return [(TREE, crown | trunk)]


def rendered(
    random: np.random.RandomState, layout: np.ndarray, instances: np.ndarray, style: int
) -> np.ndarray:
    """The picture of a scene, uint8 [64, 64, 3]."""
    colour = PALETTE[style][layout]
    light = 0.08 * (ROWS / SIDE - 0.3)  # brighter towards the horizon
    colour = colour + (light * (layout == SKY))[..., None]
    pattern = LEAVES * np.sin(1.9 * ROWS) * np.sin(1.7 * COLUMNS)
    colour = colour + (pattern * (layout == TREE))[..., None]
    tints = np.zeros((INSTANCES, 3))
    tints[len(CLASSES) :] = TINT * random.randn(INSTANCES - len(CLASSES), 3)
    colour = colour + tints[instances] + NOISE * random.randn(SIDE, SIDE, 3)
    return np.rint(255 * np.clip(colour, 0, 1)).astype(np.uint8)


def read(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The layouts [N, 64, 64] and the styles [N] that pictures [N, 64, 64, 3] uint8 look like.

    Means of 3x3 pixels are given the class of the nearest colour in each style; the style of a
    picture is the one that leaves the least squares.
    """
    padded = np.pad(x / 255, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = x.shape[1:3]
    parts = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    smooth = np.mean(parts, axis=0)
    found, left = [], []
    for palette in PALETTE:
        squares = np.stack([np.square(smooth - colour).sum(-1) for colour in palette])
        found.append(squares.argmin(0).astype(np.uint8))
        left.append(squares.min(0).mean((1, 2)))
    style = np.argmin(left, axis=0)
    return np.stack(found)[style, np.arange(len(x))], style


def agreement(found: np.ndarray, layout: np.ndarray) -> dict[str, float]:
    """`accuracy`, the share of pixels, and `iou`, the mean intersection over union of classes.

    Both are of all pixels of all layouts [N, H, W]; classes that none of them has do not count.
    """
    pairs = len(CLASSES) * layout.astype(np.int64).ravel() + found.ravel()
    counts = np.bincount(pairs, minlength=len(CLASSES) ** 2).reshape(len(CLASSES), -1)
    both = np.diag(counts)
    either = counts.sum(0) + counts.sum(1) - both
    there = either > 0
    return {
        "accuracy": both.sum() / counts.sum(),
        "iou": float(np.mean(both[there] / either[there])),
    }
