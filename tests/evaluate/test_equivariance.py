"""Moves of signals by closed forms; who follows them scores high, who does not low."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluate.metrics import equivariance as metric
from jaxgen.ops import equivariance as moves

SIDE = 32


def waves(transform):
    """A slow signal, moved by the inverse of a transform: [1, SIDE, SIDE, 2]."""
    at = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    grid = np.stack([*np.meshgrid(at, at), np.ones((SIDE, SIDE))], -1)
    x, y, _ = np.moveaxis(grid @ np.asarray(transform, np.float64).T, -1, 0)
    first = np.sin(2 * np.pi * (3 * x + 1.5 * y) + 0.3) + np.cos(2 * np.pi * (2 * y - x))
    return 0.5 * np.stack([first, np.cos(2 * np.pi * (2.5 * x + 0.2))], -1)[None]


@pytest.mark.parametrize(("right", "down"), [(3, -5), (0, 4), (-2, 0)])
def test_whole_pixels_are_exact(right, down):
    x = np.random.RandomState(0).randn(2, 8, 9, 1)
    found, mask = moves.shifted(x, right, down)
    assert mask.sum() == (8 - abs(down)) * (9 - abs(right))
    for i, j in np.argwhere(mask):
        np.testing.assert_array_equal(found[:, i, j], x[:, i - down, j - right])
    assert not found[:, mask == 0].any()
    assert not moves.shifted(x, 20, 0)[0].any()


@pytest.mark.parametrize("angle", [0.5, -2.2])
def test_turns_are_those_of_the_signal(angle):
    """Of waves far below the band, which its filter leaves as they are."""
    found, mask = moves.turned(waves(np.eye(3)), angle)
    expected = waves(np.linalg.inv(moves.rotation(angle)))
    inside = mask > 0
    assert 200 < inside.sum() < 500
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=0.01)
    same, mask = moves.filtered_as_turned(waves(np.eye(3)), angle)
    inside = mask > 0
    np.testing.assert_allclose(same[:, inside], waves(np.eye(3))[:, inside], atol=0.01)


def test_shifts_between_pixels_are_those_of_the_signal():
    found, mask = moves.shifted_between(waves(np.eye(3)), 2.4, -3.7)
    expected = waves(moves.translation(-2.4 / SIDE, 3.7 / SIDE))
    inside = mask > 0
    assert inside.sum() == (SIDE - 3 - 2) * (SIDE - 4 - 2)
    np.testing.assert_allclose(found[:, inside], expected[:, inside], atol=0.01)


def compared(made):
    found = metric.compared(made, lambda key: key, SIDE, 3, 0)
    return {k: moves.decibels(s.sum() / n.sum()) for k, (s, n) in found.items()}


def test_who_follows_and_who_does_not():
    follows = compared(lambda w, transform: jnp.asarray(waves(transform)))
    assert min(follows.values()) > 38 and follows["eq_t"] > 100
    stays = compared(lambda w, transform: jnp.asarray(waves(np.eye(3))))
    assert max(stays.values()) < 20
    shifts_alone = compared(
        lambda w, t: jnp.asarray(waves(moves.translation(float(t[0, 2]), float(t[1, 2]))))
    )
    assert shifts_alone["eq_t"] > 100 and shifts_alone["eq_r"] < 20
