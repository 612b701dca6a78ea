"""Captions against pictures: what a caption says, read by another grammar, is what is there."""

import itertools
import re

import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.embedded import captioned, digits
from jaxgen.evaluate.givens import check_given, check_whole
from jaxgen.fields import Field

COLOURS = {"red|crimson": 0, "green|jade": 1, "blue|navy": 2, "yellow|golden": 3}
DIGITS = "zero one two three four five six seven eight nine".split()
OBJECT = rf"a ({'|'.join(COLOURS)}) ({'|'.join(DIGITS)})"
TINTS = {0: (1, 0, 0), 1: (0, 1, 0), 2: (0, 0, 1), 3: (1, 1, 0), 4: (0, 0, 0)}


@pytest.fixture(scope="module", params=captioned.NAMES)
def data(request):
    return captioned.load(request.param)


def whole(data, split):
    return data.splits[split].take(np.arange(len(data.splits[split])))


def read(text, shape):
    """digits and colours at places, by regular expressions."""
    found = np.full((2, *shape), [[[10]], [[4]]])

    def put(place, colour, digit):
        number = next(n for words, n in COLOURS.items() if colour in words.split("|"))
        found[:, place[0], place[1]] = DIGITS.index(digit), number

    if shape == (1, 2):
        whole = re.fullmatch(rf"{OBJECT} (beside|next to|left of|right of) {OBJECT}", text)
        first, joint, second = whole.groups()[:2], whole[3], whole.groups()[3:]
        left, right = (second, first) if joint == "right of" else (first, second)
        put((0, 0), *left)
        put((0, 1), *right)
        return found
    for part in text.split(" and "):
        colour, digit, row, column = re.fullmatch(
            rf"{OBJECT} at the (top|upper|bottom|lower) (left|right)", part
        ).groups()
        put((int(row in ("bottom", "lower")), int(column == "right")), colour, digit)
    return found


def test_captions_say_what_is_there(data):
    batch, text = whole(data, "test"), data.spec.fields["text"]
    for i in range(300):
        found = read(text.text(batch["text"][i]), batch["digits"].shape[1:])
        np.testing.assert_array_equal(found[0], batch["digits"][i])
        np.testing.assert_array_equal(found[1], batch["colours"][i])


def test_pictures_are_scans_of_their_own_split_in_their_colours(data):
    scans = digits.load()
    for split, own in (("train", "train"), ("objects", "test")):
        batch = data.splits[split].take(np.arange(200))
        every = scans.splits[own].take(np.arange(len(scans.splits[own])))
        known = {(s.tobytes(), int(n)) for s, n in zip(every["x"], every["label"], strict=True)}
        for x, shown, colours in zip(batch["x"], batch["digits"], batch["colours"], strict=True):
            for row, column in np.ndindex(shown.shape):
                part = x[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                tint = np.array(TINTS[int(colours[row, column])], bool)
                assert not part[..., ~tint].any()
                if shown[row, column] == 10:
                    assert not part.any() and not tint.any()
                    continue
                for channel in part[..., tint].transpose(2, 0, 1):
                    assert (channel[..., None].tobytes(), int(shown[row, column])) in known


def test_what_is_held_out_is_in_no_train_picture(data):
    """The pairs of the split "combinations", and the four objects of "objects"."""

    def pairs(batch):
        objects = batch["colours"] * 11 + batch["digits"]
        rows = objects.reshape(len(objects), -1)
        return [{p for p in itertools.combinations(r[r != 54], 2)} for r in rows]

    train = set().union(*pairs(whole(data, "train")))
    new = [bool(p - train) for p in pairs(whole(data, "combinations"))]
    assert all(new)
    assert np.mean([bool(p - train) for p in pairs(whole(data, "test"))]) < 0.05
    kinds = {name: whole(data, name) for name in ("train", "test", "combinations", "objects")}
    for name, batch in kinds.items():
        never = [(batch["colours"] == c) & (batch["digits"] == d) for c, d in captioned.NEVER]
        there = np.any(never, axis=0).reshape(len(batch["x"]), -1).any(1)
        assert there.all() if name == "objects" else not there.any()


def test_words_become_tokens_and_back(data):
    field = data.spec.fields["text"]
    tokens = field.tokens("A red  three")
    assert field.text(tokens) == "a red three" and tokens.shape == field.shape
    with pytest.raises(ValueError, match=r"word 'reed': did you mean 'red'\? \(known: a, and, "):
        field.tokens("a reed three")
    with pytest.raises(ValueError, match="40 words, expected at most"):
        field.tokens("a " * 40)
    with pytest.raises(ValueError, match="unknown word '<pad>'"):
        field.tokens("<pad>")
    assert Field.from_json(field.as_json()) == field


def test_a_text_is_given_as_one_speaks(data):
    class Method:
        given = ("text",)

    text = data.spec.fields["text"]
    one = check_given(Method(), data.spec, {"text": "a red three"}, 3)["text"]
    np.testing.assert_array_equal(one, np.stack([text.tokens("a red three")] * 3))
    two = check_given(Method(), data.spec, {"text": ["a red three", "a blue one"]}, 2)["text"]
    np.testing.assert_array_equal(two[1], text.tokens("a blue one"))
    with pytest.raises(ConfigError, match='needs values of text: add --text="a and at ..."'):
        check_whole(Method(), data.spec, {}, "runs/x")
    with pytest.raises(ConfigError, match="text: unknown word 'purple'"):
        check_given(Method(), data.spec, {"text": "a purple three"}, 3)


def test_words_of_a_field_are_one_for_each_token():
    with pytest.raises(ValueError, match="tokens of 3 tokens with 2 words"):
        Field("tokens", (4,), "int32", vocabulary=3, words=("a", "b"))
