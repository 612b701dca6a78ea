"""Data that move with a context: exact densities, and where a digit is."""

import numpy as np
import pytest

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.embedded import moved, toys


def test_turned_back_they_are_the_moons():
    data = jaxgen.data.load("turned_moons")
    batch = data.splits["test"].take(np.arange(10_000))
    np.testing.assert_allclose(np.linalg.norm(batch["context"], axis=1), 1, atol=1e-6)
    back = moved.turned(batch["x"], batch["context"] * [1, -1])
    nats = -toys.TOYS["moons"].log_density(back)
    assert abs(nats.mean() - data.spec.entropy) < 3 * nats.std() / 100
    strange = -toys.TOYS["moons"].log_density(batch["x"])
    assert strange.mean() > data.spec.entropy + 3  # not turned back they are others


def test_digits_are_where_the_context_says(data_root):
    data = jaxgen.data.load("moved_digits", data_dir=str(data_root))
    assert data.spec.shape == (12, 12, 1) and data.spec.context == ("down", "right")
    scans = np.random.RandomState(0).randint(17, size=(3, 8, 8, 1)).astype(np.uint8)
    whole = moved.moved(scans, np.array([[0, 0], [4, 1], [2, 3.0]]))
    for x, scan, (down, right) in zip(whole, scans, ((0, 0), (4, 1), (2, 3)), strict=True):
        np.testing.assert_array_equal(x[down : down + 8, right : right + 8], scan)
        assert x.sum() == scan.sum()
    between = moved.moved(scans, np.full((3, 2), [1.5, 2]))[:, 1:10, 2:10].astype(float)
    padded = np.pad(scans, ((0, 0), (1, 1), (0, 0), (0, 0))).astype(float)
    np.testing.assert_allclose(between, (padded[:, 1:] + padded[:, :-1]) / 2, atol=0.5)
    for name, split in data.splits.items():
        batch = split.take(np.arange(500))
        offset = data.spec.fields["context"].units.outward(batch["context"])
        assert offset.min() >= 0 and offset.max() <= 4, name
        mass = batch["x"][..., 0].astype(float)
        middle = [
            (mass.sum(2 - axis) * np.arange(12)).sum(1) / mass.sum((1, 2)) for axis in range(2)
        ]
        for axis in range(2):
            slope, _ = np.polyfit(offset[:, axis], middle[axis], 1)
            assert abs(slope - 1) < 0.05, (name, axis)
            assert abs(np.corrcoef(offset[:, axis], middle[1 - axis])[0, 1]) < 0.2


def test_draws_are_seeded_and_names_known(data_root):
    for name in moved.NAMES:
        first, again = (jaxgen.data.load(name, data_dir=str(data_root)) for _ in "12")
        assert first.fingerprint() == again.fingerprint()
    with pytest.raises(DataError, match="expected one of turned_moons, moved_digits"):
        moved.load("moons")
