"""Sliced Wasserstein distances of patches."""

import numpy as np
import pytest
import scipy.integrate
import scipy.ndimage
import scipy.stats

from jaxgen.config import ConfigError
from jaxgen.evaluate.metrics import swd as sliced

RANDOM = np.random.RandomState(0)
DIMS = sliced.PATCH**2


@pytest.fixture(autouse=True)
def _fewer(monkeypatch):
    monkeypatch.setattr(sliced, "PATCHES", 16)
    monkeypatch.setattr(sliced, "REPEATS", 2)
    monkeypatch.setattr(sliced, "IMAGES", 100)


def of_sums(function):
    """E function(s), s the sum of the entries of a random direction of `DIMS` dimensions."""
    beta = scipy.stats.beta((DIMS - 1) / 2, (DIMS - 1) / 2, loc=-1, scale=2)  # of one coordinate
    bound = np.sqrt(DIMS)
    ends = (-1, -1 / bound, 0, 1 / bound, 1)
    pieces = zip(ends, ends[1:], strict=False)
    return sum(
        scipy.integrate.quad(lambda u: function(bound * u) * beta.pdf(u), *piece)[0]
        for piece in pieces
    )


def test_a_set_has_no_distance_to_itself():
    x = RANDOM.randint(256, size=(50, 32, 32, 3)).astype(np.uint8)
    assert sliced.sliced_wasserstein(x, x) == {32: 0.0, 16: 0.0, 8: 0.0}
    y = RANDOM.randint(256, size=(60, 32, 32, 3)).astype(np.uint8)
    found = sliced.sliced_wasserstein(x, y)
    assert all(v > 0 for v in found.values())
    assert sliced.sliced_wasserstein(x, y) == found
    np.testing.assert_allclose(sliced.mean_distance(found), np.mean(list(found.values())))
    assert list(sliced.sliced_wasserstein(x[:, :28, :28], x[:, :28, :28])) == [28, 14]


def test_white_noise_against_even_images(monkeypatch):
    """Projections of noise are N(0, 1), of even images N(0, s^2): W1 = |1 - |s|| sqrt(2 / pi)."""
    monkeypatch.setattr(sliced, "DIRECTIONS", 512)
    noise = RANDOM.randn(600, 8, 8, 1)
    even = np.broadcast_to(RANDOM.randn(600, 1, 1, 1), noise.shape)
    found = sliced.sliced_wasserstein(noise, even)
    expected = 1000 * np.sqrt(2 / np.pi) * of_sums(lambda s: abs(1 - abs(s)))
    assert abs(found[8] / expected - 1) < 0.06  # the error of 1024 directions is 0.021


def test_brightness_and_contrast():
    """A set's own normalisation hides them, that of the real set does not."""
    real = RANDOM.rand(300, 8, 8, 1).astype(np.float32)
    fake = 0.5 * real + 0.2
    assert sliced.sliced_wasserstein(real, fake)[8] < 0.01
    moved = sliced.sliced_wasserstein(real, real + 0.2, normalise="real")[8]
    expected = 1000 * 0.2 / real.std() * of_sums(abs)
    assert abs(moved / expected - 1) < 0.15


@pytest.mark.parametrize("side", [32, 27])
def test_pyramid(side):
    x = RANDOM.randint(256, size=(3, side, side, 2)).astype(np.float32)
    levels = sliced.laplacian_pyramid(x, 7)
    kernel = np.outer(*[np.array([1, 4, 6, 4, 1])] * 2) / 256
    for c in range(2):
        blurred = scipy.ndimage.convolve(x[0, ..., c], kernel, mode="mirror")[::2, ::2]
        wide = np.zeros((side, side))
        wide[::2, ::2] = blurred
        detail = x[0, ..., c] - scipy.ndimage.convolve(wide, 4 * kernel, mode="mirror")
        np.testing.assert_allclose(levels[0][0, ..., c], detail, atol=1e-3)
    back = levels[-1]
    for level in levels[-2::-1]:
        back = sliced.doubled(back, level.shape) + level
    np.testing.assert_allclose(back, x, atol=1e-4)


def test_bad_images():
    x = np.zeros((4, 8, 8, 1))
    with pytest.raises(ConfigError, match="8 pixels a side"):
        sliced.sliced_wasserstein(x[:, :7], x[:, :7])
    with pytest.raises(ConfigError, match=r"expected \[N, H, W, C\] twice"):
        sliced.sliced_wasserstein(x, x[..., 0])
    with pytest.raises(ConfigError, match="not finite"):
        sliced.sliced_wasserstein(x, x * np.nan)
