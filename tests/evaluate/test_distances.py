"""Moments, Frechet and kernel distances and the classifier score, against closed forms and peers.

`oracles.npz` holds what torch-fidelity and prdc say; `record_oracles.py` makes it.
"""

import pathlib

import numpy as np
import pytest
import record_oracles as record
import scipy.stats

from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz
from jaxgen.evaluate import measurement
from jaxgen.evaluate.metrics import fd as fr
from jaxgen.evaluate.metrics import kd
from jaxgen.evaluate.metrics.fd import Moments, stream
from jaxgen.evaluate.metrics.score import classifier_score

ORACLES = load_npz(pathlib.Path(__file__).parent / "oracles.npz")


def exact(mean, covariance):
    """Moments of a distribution, as of a set that is large without end."""
    return Moments(1e15, np.asarray(mean, float), np.asarray(covariance) * (1e15 - 1))


@pytest.mark.parametrize("offset", [0.4, 100.0])
def test_streamed_moments_are_numpy_s(offset):
    random = np.random.RandomState(0)
    x = (random.randn(100_000, 16) @ random.randn(16, 16) + offset).astype(np.float32)
    ends = np.cumsum([1, 1, 63, *random.randint(1, 9000, size=40)])
    ends = [0, *ends[ends < len(x)], len(x)]
    parts = [x[a:b] for a, b in zip(ends, ends[1:], strict=False)]
    wide = x.astype(np.float64)
    mean, covariance = wide.mean(0), np.cov(wide.T)
    for found in (stream(parts), stream(parts[::-1]), Moments.of(x)):
        assert found.count == len(x)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-10)
        scale = np.abs(covariance).max()
        np.testing.assert_allclose(found.covariance / scale, covariance / scale, atol=1e-10)


def test_padding_weighs_nothing():
    x = np.random.RandomState(0).randn(1003, 5)
    padded = np.full((1024, 5), np.nan)
    padded[:1003] = x
    weight = np.arange(1024) < 1003
    found = stream((padded[i : i + 64], weight[i : i + 64]) for i in range(0, 1024, 64))
    assert found.count == 1003
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-12)
    halves = Moments.of(x[:400]).merge(Moments.of(x[400:]))
    np.testing.assert_allclose(halves.covariance, np.cov(x.T), rtol=1e-12)


def test_closed_forms_of_the_distance():
    random = np.random.RandomState(0)
    mixing, shift = random.randn(20, 20), random.randn(20)
    covariance = mixing @ mixing.T
    moved = fr.frechet(exact(np.zeros(20), covariance), exact(shift, covariance))
    np.testing.assert_allclose(moved, shift @ shift, rtol=1e-11)
    a, b = random.rand(2, 20) + 0.1
    basis = np.linalg.qr(mixing)[0]
    commuting = (exact(shift, basis * d @ basis.T) for d in (a, b))
    expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    np.testing.assert_allclose(fr.frechet(*commuting), expected, rtol=1e-11)


def test_no_digits_are_lost_to_a_large_condition_number():
    """The product of these has eigenvalues below 1e-16 of its largest."""
    a, b = 10.0 ** -np.linspace(0, 9, 20), 10.0 ** -np.linspace(9, 0, 20) + 1e-10
    basis = np.linalg.qr(np.random.RandomState(0).randn(20, 20))[0]
    found = fr.frechet(*(exact(np.zeros(20), basis * d @ basis.T) for d in (a, b)))
    np.testing.assert_allclose(found, ((np.sqrt(a) - np.sqrt(b)) ** 2).sum(), rtol=1e-10)
    a = np.where(a < 1e-8, 0, a)
    found = fr.frechet(*(exact(np.zeros(20), basis * d @ basis.T) for d in (a, a)))
    assert abs(found) < 1e-11


def test_a_shifted_normal_and_the_bias_of_few_samples():
    dims, shift = 64, np.full(64, 0.25)  # |shift|^2 = 4
    random = np.random.RandomState(0)

    def sets(num):
        return random.randn(num, dims), random.randn(num, dims) + shift

    def bias(num):
        return fr.expected_bias(np.eye(dims), num, num)

    np.testing.assert_allclose(bias(5000), 2 / 5000 * (dims + dims * (dims + 1) / 4))
    few = [fr.frechet_of(*sets(5000)) for _ in range(10)]
    assert abs(np.mean(few) - 4 - bias(5000)) < 0.09 < bias(5000)
    assert abs(fr.frechet_of(*sets(20_000)) - 4 - bias(20_000)) < 0.1


def test_the_bias_of_a_decaying_spectrum():
    scales = np.arange(1, 33) ** -0.5
    random = np.random.RandomState(1)
    found = [fr.frechet_of(*(random.randn(2, n, 32) * scales)) for n in [1000] * 40]
    expected = fr.expected_bias(np.diag(scales**2), 1000, 1000)
    assert abs(np.mean(found) / expected - 1) < 0.05


@pytest.mark.parametrize("name", record.FRECHET)
def test_distance_is_torch_fidelity_s(name):
    real, fake = record.features(*record.FRECHET[name])
    found = fr.frechet(Moments.of(real), Moments.of(fake))
    # roots of noise move the library's value where covariances are singular
    rtol = 1e-6 if name == "singular" else 1e-9
    np.testing.assert_allclose(found, ORACLES[f"frechet/{name}"], rtol=rtol)
    np.testing.assert_allclose(fr.frechet_of(real, fake), found, rtol=1e-12)


@pytest.mark.parametrize("sizes", [(24, 20), (24, 900), (900, 24)])
def test_singular_covariances_from_moments_and_from_data(sizes):
    real, fake = record.features(*sizes, 48, seed=3)
    found = fr.frechet(Moments.of(real), Moments.of(fake))
    np.testing.assert_allclose(fr.frechet_of(real, fake), found, rtol=1e-12)
    spread = np.trace(Moments.of(real).covariance)
    assert abs(fr.frechet(Moments.of(real), Moments.of(real))) < 1e-9 * spread
    assert abs(fr.frechet_of(real, real)) < 1e-9 * spread


def test_extrapolation_takes_the_bias_away():
    dims = 16
    random, real = np.random.RandomState(0), exact(np.zeros(dims), np.eye(dims))
    bias = fr.expected_bias(np.eye(dims), np.inf, 2000)
    plain, better = [], []
    for _ in range(12):
        fake = random.randn(2000, dims)
        plain.append(fr.frechet(real, Moments.of(fake)))
        better.append(fr.extrapolated(real, fake, seed=0))
    assert abs(np.mean(plain) - bias) < bias / 4
    assert abs(np.mean([e.value for e in better])) < bias / 4
    assert fr.extrapolated(real, fake, seed=0).value == better[-1].value
    assert better[-1].sizes[0] == 200 and better[-1].sizes[-1] == 2000
    with pytest.raises(ConfigError, match="at least 66 samples, got 65"):
        fr.extrapolated(real, fake[:65])


def test_intervals():
    values = [3.1, 2.7, 3.6, 3.0]
    found = measurement.of_draws(values)
    low, high = scipy.stats.t.interval(0.95, 3, np.mean(values), scipy.stats.sem(values))
    np.testing.assert_allclose([found.low, found.high], [low, high])
    assert measurement.of_draws([1.0]) == measurement.Interval(1.0, None, None)
    share = measurement.of_share(0.9, 50)
    wilson = scipy.stats.binomtest(45, 50).proportion_ci(method="wilson")
    np.testing.assert_allclose([share.low, share.high], [wilson.low, wilson.high])
    real, fakes = exact([0.0], [[1.0]]), [exact([m], [[1.0]]) for m in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(fr.frechet_draws(real, fakes).value, (1 + 4 + 9) / 3)


def test_kernel_distance_is_torch_fidelity_s(monkeypatch):
    real, fake = record.features(800, 800, 64)
    monkeypatch.setattr(kd, "TILE", 130)
    options = record.SUBSETS
    found = kd.kernel_distances(real, fake, options["kid_subsets"], options["kid_subset_size"])
    expected = ORACLES["kernel/subsets"]
    np.testing.assert_allclose([found.mean(), found.std()], expected, rtol=1e-10)
    full = kd.kernel_distance(real, fake).value
    np.testing.assert_allclose(full, ORACLES["kernel/full"], rtol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_kernel_distance_and_its_interval_over_independent_sets(shift):
    random = np.random.RandomState(0)
    found = [
        kd.kernel_distance(random.randn(150, 8), random.randn(120, 8) + shift) for _ in range(100)
    ]
    values = np.array([f.value for f in found])
    errors = np.array([f.high - f.low for f in found]) / (2 * measurement.NORMAL)
    # E k(x, y) with x, y normal: E (s + 1)^3 of s = <x, y> / D, for means a, b
    a2, d = 8 * shift**2, 8

    def kernel(inner, squares):
        mean, second = inner / d, (d + squares + inner**2) / d**2
        third = (inner**3 + 3 * inner * (d + squares + 2)) / d**3
        return 1 + 3 * mean + 3 * second + third

    expected = kernel(0.0, 0.0) + kernel(a2, 2 * a2) - 2 * kernel(0.0, a2)
    assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(len(values))
    assert (values.min() < 0) == (shift == 0)
    # for equal distributions the jackknife is too wide: both first-order terms vanish
    ratio = np.sqrt(np.mean(errors**2)) / values.std()
    assert 0.9 < ratio < (2.0 if shift == 0 else 1.2)


def test_classifier_score():
    single = np.where(np.eye(10), 1000.0, 0.0).repeat(100, axis=0)
    np.testing.assert_allclose(classifier_score(single, 1).value, 10, atol=1e-9)
    assert classifier_score(np.ones((50, 10))).value == 1
    for name, scale in record.LOGIT_SCALE.items():
        found = classifier_score(record.logits(scale))
        expected = ORACLES[f"score/{name}"]
        np.testing.assert_allclose([found.value, found.std], expected, rtol=1e-9)
    assert found.interval.low < found.value < found.interval.high
    with pytest.raises(ConfigError, match="10 splits needs as many samples, got 9"):
        classifier_score(np.ones((9, 10)))


def test_bad_features():
    x = np.random.RandomState(0).randn(10, 4)
    broken = np.where(np.arange(10)[:, None] == 3, np.nan, x)
    with pytest.raises(ConfigError, match="1 of 10 rows are not finite"):
        Moments.of(broken)
    with pytest.raises(ConfigError, match="at least 2 examples a set, got 1 and 10"):
        fr.frechet_of(x[:1], x)
    with pytest.raises(ConfigError, match="4 and 3 dimensions"):
        fr.frechet_of(x, x[:, :3])
    with pytest.raises(ConfigError, match="no batch of features"):
        stream([])
    with pytest.raises(ConfigError, match="at least 3 examples a set, got 10 and 2"):
        kd.kernel_distance(x, x[:2])
