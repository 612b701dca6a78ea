"""Augmentation whose labels a network is told: the filter, whole moves, and what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.augment import labelled
from jaxgen.ops.augment.labelled import Change

X = np.random.RandomState(0).randn(2, 8, 8, 3).astype(np.float32)
CHANGED = jax.jit(labelled.changed)


def only(**parts):
    nothing = dict.fromkeys(Change._fields, 0.0)
    return Change(*(np.full(len(X), v, np.float32) for v in (nothing | parts).values()))


def moved(x, right, down):
    """By whole pixels, mirrored at the first and the last one."""
    padded = np.pad(x, ((0, 0), (7, 7), (7, 7), (0, 0)), mode="reflect")
    return padded[:, 7 - down : 15 - down, 7 - right : 15 - right]


def test_the_filter_is_that_of_an_orthogonal_wavelet_with_six_vanishing_moments():
    taps = np.array(labelled.SYMLET)
    for shift in range(0, len(taps), 2):
        product = taps[shift:] @ taps[: len(taps) - shift]
        np.testing.assert_allclose(product, float(shift == 0), atol=1e-11)
    alternating = taps * (-1.0) ** np.arange(len(taps))
    for power in range(6):
        size = np.arange(len(taps), dtype=float) ** power @ np.abs(taps)
        moment = np.arange(len(taps), dtype=float) ** power @ alternating
        np.testing.assert_allclose(moment / size, 0, atol=1e-9)
    assert abs(np.arange(len(taps), dtype=float) ** 6 @ alternating) > 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, X),
        ({"mirrored": 1.0}, X[:, :, ::-1]),
        ({"flipped": 1.0}, X[:, ::-1]),
        ({"right": 2.0}, moved(X, 2, 0)),
        ({"right": -1.0, "down": 3.0}, moved(X, -1, 3)),
        ({"axis": 1.0}, X),
    ],
)
def test_whole_moves_are_exact(change, expected):
    """The filter up and down again gives back the image, so these are exchanges of pixels."""
    np.testing.assert_allclose(CHANGED(X, only(**change)), expected, atol=2e-5)


def test_sizes_and_angles_are_those_of_the_labels():
    """A wide wave, read at the places that a scale of 2^0.2, a stretch or a rotation says."""
    rows, columns = np.meshgrid(*[np.arange(32) - 15.5] * 2, indexing="ij")

    def wave(x, y):
        return np.cos(0.2 * x + 0.1 * y)[None, :, :, None].repeat(2, 0).astype(np.float32)

    inner = (slice(None), slice(8, 24), slice(8, 24))
    scale, cos, sin = 2**0.2, np.cos(0.5), np.sin(0.5)
    for change, expected in (
        ({"scale": 1.0}, wave(columns / scale, rows / scale)),
        ({"stretch": 1.0}, wave(columns / scale, rows * scale)),
        ({"angle": 0.5}, wave(cos * columns - sin * rows, sin * columns + cos * rows)),
        ({"stretch": 1.0, "axis": np.pi / 2}, wave(columns * scale, rows / scale)),
    ):
        found = CHANGED(wave(columns, rows), only(**change))
        np.testing.assert_allclose(found[inner], expected[inner], atol=0.01)


def test_each_kind_is_drawn_as_often_as_said():
    change = labelled.drawn(jax.random.key(0), 0.2, 20_000)
    shares = {name: float(jnp.mean(part != 0)) for name, part in change._asdict().items()}
    expected = dict.fromkeys(Change._fields, 0.2) | {"mirrored": 0.5, "flipped": 0.1, "axis": 0.5}
    for name, share in shares.items():
        np.testing.assert_allclose(share, expected[name], atol=0.015, err_msg=name)
    np.testing.assert_array_equal(change.right != 0, change.down != 0)
    for part in (change.scale, change.stretch, change.right):
        np.testing.assert_allclose(np.std(part[part != 0]), 1, atol=0.05)
    found = labelled.labels(change)
    assert found.shape == (20_000, labelled.LABELS)
    still = labelled.labels(only())
    np.testing.assert_array_equal(still, np.zeros_like(still))
