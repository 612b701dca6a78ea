"""Flips and shifts of training images: what they do, and that nothing but the seed decides them."""

import itertools

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.augment import AugmentedSplit, training
from jaxgen.data.dataset import ArraySplit
from jaxgen.data.loader import train_batches

X = np.random.RandomState(0).randint(256, size=(40, 5, 6, 3)).astype(np.uint8)
LABEL = np.arange(40, dtype=np.int32)


def moved(image, down, right):
    """By padding with the border and cutting, another way than that of the code."""
    padded = np.pad(image, ((9, 9), (9, 9), (0, 0)), mode="edge")
    return padded[9 - down : 14 - down, 9 - right : 15 - right]


def batches(split, count, **options):
    found = train_batches(split, 16, seed=5, threads=0, **options)
    taken = [batch for _, batch in itertools.islice(found, count)]
    found.close()
    return taken


@pytest.mark.parametrize(("flip", "shift"), [(True, 0), (False, 2), (True, 2)])
def test_every_move_is_made_and_no_other(flip, shift):
    split = AugmentedSplit(ArraySplit({"x": X, "label": LABEL}), flip, shift)
    every = list(itertools.product((False, True), range(-3, 4), range(-3, 4)))
    made = {  # (label, image) -> move; every move makes another image
        (label, moved(X[label][:, ::-1] if mirrored else X[label], down, right).tobytes()): (
            (mirrored, down, right)
        )
        for label in LABEL
        for mirrored, down, right in every
    }
    assert len(made) == len(LABEL) * len(every)
    seen = {}
    for batch in batches(split, 60):
        assert batch["x"].dtype == np.uint8
        for image, label in zip(batch["x"], batch["label"], strict=True):
            move = made[label, image.tobytes()]
            seen[move] = seen.get(move, 0) + 1
    steps = range(-shift, shift + 1)
    assert seen.keys() == set(itertools.product((False, True)[: 1 + flip], steps, steps))
    share = sum(n for (mirrored, *_), n in seen.items() if mirrored) / 960
    assert abs(share - 0.5 * flip) < 4 * 0.5 / np.sqrt(960)


def test_no_division_and_no_restart_changes_anything():
    split = AugmentedSplit(ArraySplit({"x": X, "label": LABEL}), True, 1)
    whole = batches(split, 4)
    parts = [batches(split, 4, process_index=i, process_count=2) for i in range(2)]
    for one, *halves in zip(whole, *parts, strict=True):
        np.testing.assert_array_equal(one["x"], np.concatenate([h["x"] for h in halves]))
    (resumed,) = batches(split, 1, start=3)
    np.testing.assert_array_equal(resumed["x"], whole[3]["x"])
    assert (whole[0]["x"] != batches(ArraySplit({"x": X, "label": LABEL}), 1)[0]["x"]).any()


def test_only_training_batches_are_moved(data_root):
    plain = jaxgen.data.load("digits", data_dir=str(data_root))
    data = jaxgen.data.load("digits", data_dir=str(data_root), flip=True, shift=1)
    assert training(plain) is plain.splits["train"]
    assert data.fingerprint() == plain.fingerprint()
    rows = np.arange(8)
    for name in ("train", "test"):
        given = data.splits[name].take(rows)["x"]
        np.testing.assert_array_equal(given, plain.splits[name].take(rows)["x"])
    assert "training images: mirrored at random, shifted by up to 1 pixels" in data.report()
    assert "training images" not in plain.report()


@pytest.mark.parametrize(("name", "shift"), [("ring8", 1), ("digits", 8), ("digits", -1)])
def test_what_cannot_be(data_root, name, shift):
    with pytest.raises(DataError, match="data.shift"):
        jaxgen.data.load(name, data_dir=str(data_root), shift=shift)
