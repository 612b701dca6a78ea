"""The set `captions`: another reading of its grammar, its pictures, what is held out."""

import re

import numpy as np
import pytest

from jaxgen.data.embedded import captions

NOUNS = {"circle": 0, "disc": 0, "square": 1, "triangle": 2}
COLOURS = ("red", "green", "blue", "yellow", "purple", "white")
SIZES = {"small": 0, "tiny": 0, "large": 1, "big": 1, None: 2}
PLACES = {"left": 0, "right": 1, "top": 2, "bottom": 3, None: 4}
SIZE, PLACE = r"(?:(?P<size>small|tiny|large|big) )?", r"(?:on|at) the (?P<place>\w+)"
WHAT = rf"{SIZE}(?P<colour>\w+) (?P<noun>\w+)"
PATTERNS = [
    rf"a {WHAT}(?: {PLACE})?",
    rf"(?:{PLACE} )?there is a {WHAT}",
    r"(?P<colour>\w+) (?P<noun>\w+)(?: , (?P<size>small|tiny|large|big))?(?: , (?P<place>\w+))?",
    rf"one sees a {WHAT}(?: {PLACE})?",
    rf"the (?P<noun>\w+)(?: {PLACE})? is (?:(?P<size>\w+) and )?(?P<colour>\w+)",
    rf"this is a {WHAT}(?: {PLACE})?",
]
MEANING = ("shape", "colour", "size", "place")


@pytest.fixture(scope="module")
def data():
    return captions.load("captions")


def whole(data, split, num=None):
    return data.splits[split].take(np.arange(num or len(data.splits[split])))


def read(text):
    """(form, shape, colour, size, place), by regular expressions."""
    (found,) = [(i, m) for i, p in enumerate(PATTERNS) if (m := re.fullmatch(p, text))]
    form, said = found
    shape, colour = NOUNS[said["noun"]], COLOURS.index(said["colour"])
    return form, shape, colour, SIZES[said["size"]], PLACES[said["place"]]


def test_every_sentence_has_one_reading_and_its_chance():
    """Of each meaning the chances sum to one, those of forms to what is asked for."""
    assert len(captions.MEANINGS) == 144
    for text, said in captions.SENTENCES.items():
        assert read(text) == said[:5], text
    for meaning in captions.MEANINGS[::7]:
        own = [s for s in captions.SENTENCES.values() if s.is_true(np.array(meaning))]
        tokens, chances = captions.spoken_of(*meaning)
        assert len(own) == len(tokens) and chances.sum() == pytest.approx(1, abs=1e-12)
        assert sum(s.probability for s in own) == pytest.approx(1, abs=1e-12)
        forms = [sum(s.probability for s in own if s.form == i) for i in range(6)]
        np.testing.assert_allclose(forms, (0.35, 0.25, 0.15, 0.10, 0.10, 0.05))
        silent = sum(s.probability for s in own if s.size == 2 and s.place == 4)
        assert silent == pytest.approx(0.01)


def test_captions_are_drawn_as_the_grammar_says(data):
    batch = whole(data, "train")
    found = [read(captions.TEXT.text(t)) for t in batch["text"]]
    for row, *meaning in zip(found, *(batch[k] for k in MEANING), strict=True):
        assert all(s in (m, n) for s, m, n in zip(row[1:], meaning, (3, 6, 2, 4), strict=True))
    said = np.array(found)
    np.testing.assert_array_equal(said[:, 3], batch["said_size"])
    np.testing.assert_array_equal(said[:, 4], batch["said_place"])
    shares = np.bincount(said[:, 0], minlength=6) / len(said)
    error = np.sqrt(shares * (1 - shares) / len(said))
    assert (np.abs(shares - (0.35, 0.25, 0.15, 0.10, 0.10, 0.05)) < 4 * error).all()
    assert np.mean(said[:, 3] == 2) == pytest.approx(0.1, abs=0.012)


@pytest.mark.parametrize("name", ["captions", pytest.param("captions_64", marks=pytest.mark.slow)])
def test_pictures_are_read_as_what_they_show(name):
    data = captions.load(name)
    for split in ("test", "combinations"):
        batch = whole(data, split)
        meaning = np.stack([batch[k] for k in MEANING], 1)
        assert (captions.read(batch["x"]) == meaning).all(1).mean() >= 0.99
        others = captions.read(batch["x"])[::-1]
        assert (others == meaning).all(1).mean() < 0.05
    assert (captions.read(np.full((1, 32, 32, 3), 40, np.uint8)) == -1).all()


def test_three_pairs_are_held_out_and_every_word_is_seen(data):
    never = set(captions.NEVER)
    assert len(never) == len({s for s, _ in never}) == len({c for _, c in never}) == 3
    for split in captions.COUNTS:
        batch = whole(data, split)
        pairs = set(zip(batch["shape"].tolist(), batch["colour"].tolist(), strict=True))
        assert pairs <= never if split == "combinations" else not pairs & never
        assert split == "combinations" or len(pairs) == 15
    words = np.unique(whole(data, "train")["text"])
    assert len(words) == len(captions.WORDS) == 30


def test_the_reverse_has_five_captions_of_each_picture(data):
    """The same examples, and the first caption is what is modelled."""
    found = captions.load("captions_reversed")
    assert found.spec.x.words == captions.WORDS
    for split in captions.COUNTS:
        batch, other = whole(found, split), whole(data, split)
        np.testing.assert_array_equal(batch["picture"], other["x"])
        np.testing.assert_array_equal(batch["x"], other["text"])
        np.testing.assert_array_equal(batch["x"], batch["captions"][:, 0])
        for texts, *meaning in zip(batch["captions"], *(batch[k] for k in MEANING), strict=True):
            said = [captions.SENTENCES[captions.TEXT.text(t)] for t in texts]
            assert all(s.is_true(np.array(meaning)) for s in said)


def test_it_is_the_same_every_time(data):
    assert captions.load("captions").fingerprint() == data.fingerprint()
    with pytest.raises(captions.DataError, match="expected one of captions, captions_64"):
        captions.load("caption")
