"""Boxes of matter against the theory that they are drawn by, and their statistics by hand."""

import numpy as np
import pytest
import scipy.integrate

from jaxgen.data import load
from jaxgen.data.embedded import cosmic_web as web
from jaxgen.ops import cosmic


def test_spheres_of_eight_have_the_deviation_that_the_spectrum_is_normalised_to():
    """By another quadrature and the closed form of the window."""

    def each(log_k):
        k = np.exp(log_k)
        r = 8 * k
        return k**3 * web.power(k) * (3 * (np.sin(r) - r * np.cos(r)) / r**3) ** 2 / (2 * np.pi**2)

    square, _ = scipy.integrate.quad(each, np.log(1e-4), np.log(50), limit=2000)
    assert np.sqrt(square) == pytest.approx(0.8, rel=1e-3)
    # the turn of the spectrum, and its slope of n at large scales
    k = np.array([1e-4, 2e-4])
    assert np.diff(np.log(web.power(k)))[0] / np.log(2) == pytest.approx(0.96, abs=0.02)


def test_fields_have_their_spectrum():
    """64 boxes of 16^3: the mean power of the modes of a shell, with its standard error."""
    side = 16
    square = web.waves(side)[1]
    powers = np.stack([np.abs(web.density(np.random.RandomState(i), side)) ** 2 for i in range(64)])
    powers *= web.LENGTH**3 / side**6
    k = np.sqrt(square)
    for n in (1, 3, 6):
        shell = np.abs(k / (2 * np.pi / web.LENGTH) - n) < 0.4
        ratio = (powers[:, shell] / web.power(k[shell])).mean(1)
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))
        assert ratio.std() > 0


def test_displacements_are_those_of_the_field():
    """div psi = -delta: of a small box, whose particles are moved back."""
    side = 8
    places = web.box(3, side).reshape(3, side, side, side)
    grid = np.arange(side) / side
    moved = []
    for axis in range(3):
        start = grid.reshape([-1 if i == axis else 1 for i in range(3)])
        moved.append((places[axis] - start + 0.5) % 1 - 0.5)
    psi = [np.fft.rfftn(m * web.LENGTH) for m in moved]
    parts, square = web.waves(side)
    divergence = sum(1j * p * f for p, f in zip(parts, psi, strict=True))
    field = web.density(np.random.RandomState([3, 0]), side)
    # waves of half the side have no direction: their displacement is not real
    inner = np.ones(square.shape, bool)
    for axis in range(3):
        inner &= np.moveaxis(np.arange(square.shape[axis]) != side // 2, 0, 0).reshape(
            [-1 if i == axis else 1 for i in range(3)]
        )
    np.testing.assert_allclose(divergence[inner], -field[inner], atol=1e-8 * np.abs(field).max())


def test_sharing_keeps_every_particle():
    random = np.random.RandomState(0)
    plane, number = random.rand(2, 500), random.randint(3, size=500)
    found = web.shared(number, plane, 3, 8)
    np.testing.assert_allclose(found.sum((1, 2)), np.bincount(number, minlength=3), rtol=1e-12)
    middle = web.shared(np.array([0]), np.array([[0.5 / 8], [3.5 / 8]]), 1, 8)
    assert middle[0, 0, 3] == 1 and middle.sum() == 1
    corner = web.shared(np.array([0]), np.array([[0.0], [0.0]]), 1, 8)  # between four, wrapped
    np.testing.assert_allclose(corner[0][np.ix_([0, 7], [0, 7])], 0.25)
    sums = web.smoothed(found).sum((1, 2))
    np.testing.assert_allclose(sums, found.sum((1, 2)), rtol=1e-9)


def test_the_map_and_its_inverse():
    x = np.array([0.0, 1e-3, 10.0, 160.0, 5000.0])
    s = cosmic.seen(x)
    assert s[0] == -1 and s[2] == 0 and s.max() < 1
    np.testing.assert_allclose(cosmic.counts(s), x, rtol=1e-9, atol=1e-12)
    assert (
        cosmic.counts(np.array([1.0, 2.0])).tolist()
        == cosmic.counts(np.array([cosmic.HIGHEST] * 2)).tolist()
    )
    assert cosmic.clipped(np.array([1.0, 0.0])) == 0.5


def test_the_estimator_finds_a_known_spectrum():
    """Gaussian slices of slope -2, and a single wave."""
    side, random = 64, np.random.RandomState(0)
    one = np.fft.fftfreq(side, 1 / side)
    k = np.hypot(one[:, None], one[None])
    k[0, 0] = 1
    noise = np.fft.fft2(random.randn(400, side, side))
    x = cosmic.MEAN * (1 + 0.1 * np.fft.ifft2(noise / k).real)
    ks, found = cosmic.spectrum(x)
    rings = [np.rint(k).astype(int) == n for n in ks]
    expected = 0.01 * np.array([(k[ring] ** -2.0).mean() for ring in rings]) / side**2
    expected[0] = 0.01 * (k[rings[0]] ** -2.0)[1:].mean() / side**2  # k = 0 was set to one
    np.testing.assert_allclose(found.mean(0)[1:], expected[1:], rtol=0.05)
    slope = np.polyfit(np.log(ks[3:]), np.log(found.mean(0)[3:]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.04)
    wave = cosmic.MEAN * (1 + np.cos(2 * np.pi * 5 * np.arange(side) / side))
    single = cosmic.spectrum(np.tile(wave, (1, side, 1)))[1][0]
    assert single.argmax() == 4 and single[4] * rings[4].sum() == pytest.approx(0.5)


def test_peaks_and_masses_by_hand():
    x = np.zeros((1, 6, 6))
    x[0, 0, 0], x[0, 3, 3], x[0, 3, 4] = 5, 4, 3
    assert cosmic.peaks(x)[0].tolist() == [5, 4]
    x[0, 5, 5] = 6  # a neighbour of the corner, across the edges
    assert cosmic.peaks(x)[0].tolist() == [4, 6]
    ends = cosmic.quantile_ends(np.arange(4000.0))
    np.testing.assert_allclose(cosmic.mass_histogram(np.arange(4000.0), ends), 1 / 40, atol=1e-3)


@pytest.fixture(scope="module")
def boxes():
    return [web.slices(web.box(seed, 64), 16, 32) for seed in (0, 1)]


def test_random_phases_keep_the_spectrum_and_lose_the_web(boxes):
    x, other = boxes
    control = cosmic.randomised(np.random.RandomState(0), x)
    np.testing.assert_allclose(
        cosmic.spectrum(control)[1], cosmic.spectrum(x)[1], rtol=1e-6, atol=1e-12
    )
    ends = cosmic.quantile_ends(x)
    real, wrong, right = (cosmic.mass_histogram(v, ends) for v in (x, control, other))
    far = np.abs(wrong - real).sum()
    assert far > 0.3 and np.abs(right - real).sum() < far / 3


def test_slices_hold_the_mean_over_a_box(boxes):
    """64^3 particles in 16 slices of 32^2 cells, along each axis."""
    for x in boxes:
        np.testing.assert_allclose(x.reshape(3, -1).mean(1), 16.0, rtol=1e-9)
        assert x.min() >= 0


def test_the_set_is_divided_by_box_and_training_sees_its_symmetries(monkeypatch, tmp_path):
    monkeypatch.setattr(web, "BOXES", {"train": 1, "test": 1})
    monkeypatch.setattr(web, "box", lambda seed: np.random.RandomState(seed).rand(3, 4000))
    data = load("cosmic_web", data_dir=str(tmp_path))
    train, test = (data.splits[k] for k in ("train", "test"))
    assert len(train) == len(test) == 96 and data.spec.shape == (64, 64, 1)
    assert data.spec.x.range == (-1.0, 1.0) and not np.array_equal(train.x, test.x)
    rows = np.arange(8)
    drawn = train.draw(rows, slice(0, 8), 5, 3)["x"]
    half = train.draw(rows, slice(4, 8), 5, 3)["x"]
    np.testing.assert_array_equal(drawn[4:], half)
    assert not np.array_equal(drawn, train.draw(rows, slice(0, 8), 5, 4)["x"])
    for one, own in zip(drawn[..., 0], train.x[rows, ..., 0], strict=True):
        np.testing.assert_array_equal(np.sort(one.ravel()), np.sort(own.ravel()))
        power, before = (cosmic.spectrum(v[None].astype(np.float64))[1] for v in (one, own))
        np.testing.assert_allclose(power, before, rtol=1e-5)
    assert not np.array_equal(drawn, train.x[rows])
    np.testing.assert_array_equal(train.take(rows)["x"], train.x[rows])
