"""Coloured digits with captions: what a model of pictures given words can be judged by exactly.

`captioned_pairs`: two scans of digits side by side, 8x16, each in one of four colours, and a
caption as "a red three beside a blue seven". `captioned_digits`: two to four of them in the
quarters of 16x16, and captions that say where, as "a red three at the top left and a blue seven at
the bottom right". Words have synonyms, and the order in which objects are named is drawn. The
layouts `digits` and `colours` hold what is where: 10 is no digit, 4 no colour.

Held out of training, as the order of places has them (left before right, top before bottom):
a fifth of all pairs of objects never stand in one picture (the split "combinations" has only
pictures with such a pair), and the objects of `NEVER` in none (in the split "objects" each picture
has one). The split "test" has neither. Scans of the train split come from the train scans, all
others from the test scans.
"""

from __future__ import annotations

import itertools
import pathlib

import numpy as np

from jaxgen.data import prepare
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.data.embedded import digits
from jaxgen.types import DataSpec, Field

NAMES = ("captioned_pairs", "captioned_digits")
VERSIONS = {"captioned_pairs": "2.0.0", "captioned_digits": "2.1.0"}
TRAIN = 200_000
COUNTS = {"test": 1_000, "combinations": 1_000, "objects": 1_000}
GRIDS = {"captioned_pairs": (1, 2), "captioned_digits": (2, 2)}
LENGTHS = {"captioned_pairs": 9, "captioned_digits": 36}  # tokens
SIDE = 8

PAD = "<pad>"
COLOURS = {  # name, and its synonym -> channels
    ("red", "crimson"): (1, 0, 0),
    ("green", "jade"): (0, 1, 0),
    ("blue", "navy"): (0, 0, 1),
    ("yellow", "golden"): (1, 1, 0),
}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
FORWARD = (("beside",), ("next", "to"), ("left", "of"))  # the left object first
BACKWARD = (("right", "of"),)  # the right one first
PLACES = (("top", "left"), ("top", "right"), ("bottom", "left"), ("bottom", "right"))
SYNONYMS = {"top": "upper", "bottom": "lower"}
NEVER = ((0, 1), (1, 4), (2, 6), (3, 8))  # (colour, digit)
NO_DIGIT, NO_COLOUR = len(DIGITS), len(COLOURS)

WORDS = (
    PAD,
    *sorted(
        {"a", "and", "at", "the", *DIGITS, *SYNONYMS, *SYNONYMS.values()}
        | set(itertools.chain(*COLOURS, *FORWARD, *BACKWARD, *PLACES))
    ),
)
IDS = {word: i for i, word in enumerate(WORDS)}
OBJECTS = len(COLOURS) * len(DIGITS)  # an object is 10 colour + digit
_HELD_OUT = np.random.RandomState(7).rand(OBJECTS, OBJECTS) < 0.2  # (earlier, later place)


def load(name: str, data_dir: str | None = None) -> Dataset:
    """One of the two, drawn into `data_dir` by the first who asks.

    Raises:
        DataError: on another name, or where `data_dir` cannot be written.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    scans = digits.load(data_dir=data_dir)
    (rows, columns), length = GRIDS[name], LENGTHS[name]
    grid = (rows, columns)
    fields = {
        "x": Field("image", (SIDE * rows, SIDE * columns, 3), "uint8", levels=scans.spec.levels),
        "text": Field("tokens", (length,), "int32", vocabulary=len(WORDS), words=WORDS),
        "digits": Field("layout", grid, "int32", classes=NO_DIGIT + 1),
        "colours": Field("layout", grid, "int32", classes=NO_COLOUR + 1),
    }

    def fill(work: pathlib.Path) -> None:
        counts = {"train": TRAIN} | COUNTS
        for seed, (split, count) in enumerate(counts.items()):
            own = scans.splits["train" if split == "train" else "test"]
            arrays = _arrays(name, split, count, seed, own.take(np.arange(len(own))))
            for field, array in arrays.items():
                np.save(work / f"{split}_{field}.npy", array)

    def read(target: pathlib.Path) -> dict[str, ArraySplit]:
        return {
            split: ArraySplit({f: np.load(target / f"{split}_{f}.npy") for f in fields})
            for split in ("train", *COUNTS)
        }

    target = prepare.data_root(data_dir) / name / VERSIONS[name]
    notes = list(scans.notes)
    splits = prepare.opened(target, fill, read, notes)
    source = f"seeded pictures of the digits scans, and captions of a small grammar, in {target}"
    return Dataset(DataSpec(name, fields), splits, source, notes=tuple(notes))


def _arrays(
    name: str, split: str, count: int, seed: int, scans: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """field -> [count, ...] of a split."""
    random, (rows, columns) = np.random.RandomState(seed), GRIDS[name]
    objects = drawn_objects(random, rows * columns, count, split)
    layouts = objects.reshape(count, rows, columns)
    return {
        "x": pictures(random, scans["x"], scans["label"], layouts),
        "text": np.stack([tokens(caption(random, o), LENGTHS[name]) for o in objects]),
        "digits": np.where(layouts < 0, NO_DIGIT, layouts % 10).astype(np.int32),
        "colours": np.where(layouts < 0, NO_COLOUR, layouts // 10).astype(np.int32),
    }


def drawn_objects(random: np.random.RandomState, places: int, count: int, split: str) -> np.ndarray:
    """Objects at places [count, places], -1 where there is none; at least two in a picture."""
    found: list[np.ndarray] = []
    while len(found) < count:
        objects = random.randint(OBJECTS, size=places)
        objects[random.permutation(places)[random.randint(2, places + 1) :]] = -1
        if _belongs(objects[objects >= 0], split):
            found.append(objects)
    return np.stack(found)


def _belongs(objects: np.ndarray, split: str) -> bool:
    """Whether a picture of these objects, as their places are ordered, is one of the split's."""
    never = any((o // 10, o % 10) in NEVER for o in objects)
    held_out = any(_HELD_OUT[a, b] for a, b in itertools.combinations(objects, 2))
    return (never, held_out) == (split == "objects", split == "combinations")


def pictures(
    random: np.random.RandomState, x: np.ndarray, label: np.ndarray, layouts: np.ndarray
) -> np.ndarray:
    """Pictures [N, 8 R, 8 C, 3] of objects at places [N, R, C], of scans x [M, 8, 8, 1]."""
    count, rows, columns = layouts.shape
    tints = np.array([*COLOURS.values(), (0, 0, 0)], np.uint8)
    of_digit = [np.flatnonzero(label == digit) for digit in range(10)]
    out = np.zeros((count, rows, SIDE, columns, SIDE, 3), np.uint8)
    places = np.argwhere(layouts >= 0)
    objects = layouts[tuple(places.T)]
    scans = [of_digit[d][random.randint(len(of_digit[d]))] for d in objects % 10]
    i, row, column = places.T
    out[i, row, :, column] = x[scans] * tints[objects // 10][:, None, None]
    return out.reshape(count, rows * SIDE, columns * SIDE, 3)


def caption(random: np.random.RandomState, objects: np.ndarray) -> tuple[str, ...]:
    """Words that say what is at the places, -1 for nothing there."""
    there = [(place, o) for place, o in enumerate(objects) if o >= 0]
    if len(objects) == 2:
        backward = random.rand() < 0.5
        joints = BACKWARD if backward else FORWARD
        first, second = reversed(there) if backward else there
        joint = joints[random.randint(len(joints))]
        return (*_object(random, first[1]), *joint, *_object(random, second[1]))
    words: list[str] = []
    for i in random.permutation(len(there)):
        place, o = there[i]
        where = [_either(random, w, SYNONYMS.get(w, w)) for w in PLACES[place]]
        words += ["and"] * bool(words) + [*_object(random, o), "at", "the", *where]
    return tuple(words)


def _object(random: np.random.RandomState, o: int) -> tuple[str, ...]:
    return ("a", _either(random, *tuple(COLOURS)[o // 10]), DIGITS[o % 10])


def _either(random: np.random.RandomState, first: str, second: str) -> str:
    return first if random.rand() < 0.7 else second


def tokens(words: tuple[str, ...], length: int) -> np.ndarray:
    """int32 [length], padded with 0 at the end."""
    found = [IDS[word] for word in words]
    return np.array(found + [0] * (length - len(found)), np.int32)
