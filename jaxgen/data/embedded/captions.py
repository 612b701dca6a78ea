"""One coloured object on grey ground, and what a small grammar says of it.

`captions`, 32x32, and `captions_64`: a circle, square or triangle in one of six colours, large or
small, at the left, right, top or bottom: 144 meanings. Position, hue, brightness and ground vary.
The label fields `shape`, `colour`, `size` and `place` hold what is there. A caption says shape and
colour always; `said_size` and `said_place` hold what it says of the others, their last class is
nothing. `SENTENCES` are all captions that there are: a dictionary is an exact parser.

`captions_reversed` has the same examples the other way round: x is a caption, `picture` what it is
of, and `captions` five captions of that picture, x the first of them.

Held out: the pairs of shape and colour of `NEVER` are in no train or test picture, and in every
one of the split "combinations".
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.types import DataSpec, Field

NAMES = ("captions", "captions_64", "captions_reversed")
COUNTS = {"train": 12_000, "test": 1_000, "combinations": 1_000}
SIDES = {"captions": 32, "captions_64": 64, "captions_reversed": 32}
LENGTH = 10  # tokens: the longest caption has nine words
SEVERAL = 5  # captions of a picture

SHAPES = (("circle", "disc"), ("square",), ("triangle",))
COLOURS = {  # name -> hue and saturation
    "red": (0.0, 0.85),
    "green": (1 / 3, 0.85),
    "blue": (0.62, 0.85),
    "yellow": (1 / 6, 0.85),
    "purple": (0.8, 0.85),
    "white": (0.0, 0.0),
}
SIZES = (("small", "tiny"), ("large", "big"))
PLACES = {"left": "on", "right": "on", "top": "at", "bottom": "at"}  # and the usual word before
COUNT_OF = {"shape": len(SHAPES), "colour": len(COLOURS), "size": len(SIZES), "place": len(PLACES)}
NEVER = ((0, 1), (1, 4), (2, 3))  # (shape, colour)
FORMS = {  # {size} and {place} end in a space where they are there -> probability
    "a {size}{colour} {shape} {place}": 0.35,
    "{place}there is a {size}{colour} {shape}": 0.25,
    "{colour} {shape} {size}{place}": 0.15,  # set apart by commas, places without "on the"
    "one sees a {size}{colour} {shape} {place}": 0.10,
    "the {shape} {place}is {size}{colour}": 0.10,
    "this is a {size}{colour} {shape} {place}": 0.05,
}
LISTED, JOINED = 2, 4  # forms of "red disc , big , left" and of "the disc is big and red"
USUAL, LEFT_OUT = 0.7, 0.1  # probabilities of the first of two synonyms, and of saying nothing
RADII = (0.125, 0.205)  # of small and large objects, half their side, in sides of the picture
OFFSET, JITTER = 0.205, 2 / 32  # of the middle from that of the picture, and by chance
FAINT = 0.12  # of the range: what is nearer to the ground is ground
ROUND, POINTED = 0.89, 0.69  # between the filled shares of boxes: 1, pi / 4, and 1 / 2 and edges


class Sentence(NamedTuple):
    """A caption of the grammar.

    Attributes:
        form: of `FORMS`.
        shape: of `SHAPES`.
        colour: of `COLOURS`.
        size: of `SIZES`, 2 for nothing said.
        place: of `PLACES`, 4 for nothing said.
        words: which synonyms of shape, size and place it has, 0 is the usual one, -1 none.
        probability: given what is there.
    """

    form: int
    shape: int
    colour: int
    size: int
    place: int
    words: tuple[int, int, int]
    probability: float

    @property
    def manner(self) -> tuple[int, ...]:
        """How it is said: the form and the choices of words."""
        return self.form, *self.words

    def is_true(self, meaning: np.ndarray) -> bool:
        """Whether all that it says is so: `meaning` is shape, colour, size and place."""
        said = (self.shape, self.colour, self.size, self.place)
        return all(s in (m, COUNT_OF[k]) for k, s, m in zip(COUNT_OF, said, meaning, strict=True))


def _options(words: tuple[str, ...], optional: bool) -> list[tuple[int, float]]:
    """(number of a synonym, its probability), -1 for leaving it out."""
    chances = [1.0] if len(words) == 1 else [USUAL, 1 - USUAL]
    kept = 1 - LEFT_OUT if optional else 1.0
    found = [(i, kept * p) for i, p in enumerate(chances)]
    return [*found, (-1, LEFT_OUT)] if optional else found


def _said_of(shape: int, colour: int, size: int, place: int) -> dict[str, Sentence]:
    """All captions that may be said of a meaning."""
    found = {}
    usual = tuple(PLACES.values())[place]
    before = (usual, "at" if usual == "on" else "on")
    for form, chance in enumerate(FORMS.values()):
        placed = ("bare",) if form == LISTED else before
        chosen = (_options(SHAPES[shape], False), _options(SIZES[size], True))
        for nouns in itertools.product(*chosen, _options(placed, True)):
            (noun, p), (how_big, q), (where, r) = nouns
            said = (size if how_big >= 0 else len(SIZES), place if where >= 0 else len(PLACES))
            at = "" if where < 0 else tuple(PLACES)[place]
            text = _written(
                form,
                SHAPES[shape][noun],
                tuple(COLOURS)[colour],
                "" if how_big < 0 else SIZES[size][how_big],
                at if form == LISTED or not at else f"{before[where]} the {at}",
            )
            words = (noun, how_big, where)
            found[text] = Sentence(form, shape, colour, *said, words, chance * p * q * r)
    return found


def _written(form: int, shape: str, colour: str, size: str, place: str) -> str:
    """The text of a form; "" for what is left out."""
    if form == LISTED:
        size, place = size and f", {size} ", place and f", {place}"
    elif form == JOINED:
        size, place = size and f"{size} and ", place and f"{place} "
    else:
        size, place = size and f"{size} ", place and f"{place} "
    pattern = tuple(FORMS)[form]
    return pattern.format(size=size, colour=colour, shape=shape, place=place).strip()


MEANINGS = tuple(itertools.product(*map(range, COUNT_OF.values())))
SENTENCES: dict[str, Sentence] = {t: s for m in MEANINGS for t, s in _said_of(*m).items()}
WORDS = ("<pad>", *sorted({word for text in SENTENCES for word in text.split()}))
TEXT = Field("tokens", (LENGTH,), "int32", vocabulary=len(WORDS), words=WORDS)


@functools.cache
def spoken_of(shape: int, colour: int, size: int, place: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [K, T] of all captions that may be said of a meaning, and their probabilities [K]."""
    found = _said_of(shape, colour, size, place)
    tokens = np.stack([TEXT.tokens(text) for text in found])
    chances = np.array([s.probability for s in found.values()])
    return tokens, chances / chances.sum()


def load(name: str, data_dir: str | None = None) -> Dataset:
    """One of the three; nothing is written to `data_dir`.

    Raises:
        DataError: on another name.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    splits = {split: _split(name, split, seed) for seed, split in enumerate(COUNTS)}
    side = SIDES[name]
    picture = Field("image", (side, side, 3), "uint8", levels=256)
    labels = {k: Field("label", dtype="int32", classes=n) for k, n in COUNT_OF.items()}
    if name == "captions_reversed":
        several = Field("layout", (SEVERAL, LENGTH), "int32", classes=len(WORDS))
        fields = {"x": TEXT, "picture": picture, "captions": several, **labels}
    else:
        said = {f"said_{k}": Field("label", dtype="int32", classes=COUNT_OF[k] + 1) for k in _LEFT}
        fields = {"x": picture, "text": TEXT, **labels, **said}
    source = "seeded pictures of one object, and captions of a small grammar"
    return Dataset(DataSpec(name, fields), splits, source)


_LEFT = ("size", "place")  # what a caption may leave out


def _split(name: str, split: str, seed: int) -> ArraySplit:
    random = np.random.RandomState(seed)
    count = COUNTS[split]
    meanings = drawn_meanings(random, count, split == "combinations")
    x = pictures(random, meanings, SIDES[name])
    texts = captions(random, meanings)
    labels = dict(zip(COUNT_OF, meanings.T.astype(np.int32), strict=True))
    if name == "captions_reversed":
        return ArraySplit({"x": texts[:, 0], "picture": x, "captions": texts, **labels})
    said = [SENTENCES[TEXT.text(t)] for t in texts[:, 0]]
    left = {f"said_{k}": np.array([getattr(s, k) for s in said], np.int32) for k in _LEFT}
    return ArraySplit({"x": x, "text": texts[:, 0], **labels, **left})


def drawn_meanings(random: np.random.RandomState, count: int, held_out: bool) -> np.ndarray:
    """Shape, colour, size and place [count, 4], with a pair of `NEVER` each or with none."""
    every = np.array(MEANINGS)
    never = np.array([(shape, colour) in NEVER for shape, colour in every[:, :2]])
    chosen = every[never == held_out]
    return chosen[random.randint(len(chosen), size=count)]


def captions(random: np.random.RandomState, meanings: np.ndarray) -> np.ndarray:
    """Tokens [N, SEVERAL, T] of captions of each meaning, drawn by the grammar."""
    found = np.zeros((len(meanings), SEVERAL, LENGTH), np.int32)
    chance = random.rand(len(meanings), SEVERAL)
    for i, meaning in enumerate(meanings):
        tokens, chances = spoken_of(*map(int, meaning))
        rows = np.searchsorted(np.cumsum(chances), chance[i], side="right")
        found[i] = tokens[np.minimum(rows, len(tokens) - 1)]
    return found


def pictures(random: np.random.RandomState, meanings: np.ndarray, side: int) -> np.ndarray:
    """uint8 [N, side, side, 3] of meanings [N, 4]."""
    count = len(meanings)
    shape, colour, size, place = meanings.T
    middle = 0.5 + JITTER * (2 * random.rand(count, 2) - 1)  # across, down
    axis, sign = place // 2, 2 * (place % 2) - 1
    middle[np.arange(count), axis] += OFFSET * sign
    tint = _rgb(random, colour)
    ground = 0.05 + 0.2 * random.rand(count)
    out = np.zeros((count, side, side, 3), np.uint8)
    for start in range(0, count, 1000):
        rows = slice(start, start + 1000)
        cover = _cover(shape[rows], np.array(RADII)[size[rows]], middle[rows], side)[..., None]
        back = ground[rows, None, None, None]
        light = cover * tint[rows, None, None] + (1 - cover) * back
        out[rows] = np.rint(255 * light)
    return out


def _cover(shape: np.ndarray, radius: np.ndarray, middle: np.ndarray, side: int) -> np.ndarray:
    """Shares [N, side, side] of pixels that objects cover, by the distance from their edges."""
    grid = (np.arange(side, dtype=np.float32) + 0.5) / side
    distance = np.zeros((len(shape), side, side), np.float32)
    for kind in range(len(SHAPES)):
        rows = np.flatnonzero(shape == kind)
        across, down = (v[rows, None].astype(np.float32) for v in middle.T)
        across, down = (grid[None] - across)[:, None, :], (grid[None] - down)[:, :, None]
        r = radius[rows, None, None].astype(np.float32)
        if kind == 0:
            distance[rows] = np.hypot(across, down) - r
        elif kind == 1:
            distance[rows] = np.maximum(np.abs(across), np.abs(down)) - r
        else:
            slope = (2 * np.abs(across) - down - r) / np.sqrt(5)  # from (0, -r) to (r, r)
            distance[rows] = np.maximum(slope, down - r)
    return np.clip(0.5 - side * distance, 0, 1)


def _rgb(random: np.random.RandomState, colour: np.ndarray) -> np.ndarray:
    """Channels [N, 3] in [0, 1] of colours whose hue and brightness vary."""
    hue, saturation = np.array([*COLOURS.values()])[colour].T
    hue = hue + 0.025 * (2 * random.rand(len(colour)) - 1)
    value = 0.85 + 0.15 * random.rand(len(colour))
    return _of_hue(hue, saturation, value)


def _of_hue(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """HSV [N] each, to [N, 3] of red, green and blue."""
    turn = (6 * hue[:, None] + np.array([5.0, 3.0, 1.0])) % 6
    grey = np.clip(np.minimum(turn, 4 - turn), 0, 1)
    return value[:, None] * (1 - saturation[:, None] * grey)


def read(x: np.ndarray) -> np.ndarray:
    """What pictures [N, H, W, 3] of 256 levels show: shape, colour, size and place, [N, 4].

    By rules, without training: the object is what differs from the median of the border, without
    single pixels; its box, the share of it that is covered and its mean colour say the rest. -1
    everywhere where there is no object.
    """
    light = x.astype(np.float64) / 255
    border = np.concatenate([light[:, 0], light[:, -1], light[:, :, 0], light[:, :, -1]], axis=1)
    apart = np.abs(light - np.median(border, axis=1)[:, None, None]).max(-1)
    mask = apart > FAINT
    near = sum(np.roll(mask, (i, j), (1, 2)).astype(int) for i in (-1, 0, 1) for j in (-1, 0, 1))
    mask &= near > 3
    return np.stack([_read(*found) for found in zip(light, apart, mask, strict=True)])


def _read(light: np.ndarray, apart: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if not mask.any():
        return np.full(len(COUNT_OF), -1)
    side, whole = len(mask), np.median(apart[mask & (apart >= np.median(apart[mask]))])
    cover = np.where(mask, np.clip(apart / whole, 0, 1), 0)
    lengths = [cover.max(axis).sum() for axis in (0, 1)]  # of the box, across and down
    filled = cover.sum() / (lengths[0] * lengths[1])
    shape = 1 if filled > ROUND else 0 if filled > POINTED else 2
    hue, saturation = np.array([*COLOURS.values()]).T
    palette = _of_hue(hue, saturation, np.full(len(hue), 0.92))
    mean = light[cover > 0.8].mean(0)
    colour = int(np.argmin(np.square(palette - mean).sum(1)))
    size = int(np.sqrt(lengths[0] * lengths[1]) > side * sum(RADII))
    ends = [np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (0, 1)]
    off = [(low + high + 1) / 2 / side - 0.5 for low, high in ends]
    axis = int(abs(off[1]) > abs(off[0]))
    return np.array([shape, colour, size, 2 * axis + int(off[axis] > 0)])
