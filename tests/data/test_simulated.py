"""Draws of targets and simulators: that they follow their density, are kept, and may fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxgen.data
from jaxgen.data import DataError
from jaxgen.data.embedded import simulated
from jaxgen.ops.simulators import SIMULATORS, Simulator, linear_gaussian_posterior
from jaxgen.ops.targets import TARGETS


@pytest.mark.parametrize("name", ["u1", "u4", "t2", "s2"])
def test_mean_log_density_of_draws_is_minus_the_entropy(name):
    target = TARGETS[name]
    x = simulated.sample(target, 20_000, seed=3)
    assert x.shape == (20_000, target.dims) and x.dtype == np.float32
    nats = target.log_z - np.asarray(target.log_density(jnp.asarray(x)), np.float64)
    assert abs(nats.mean() - target.entropy) < 4 * nats.std() / np.sqrt(len(x))


def test_linear_gaussian_has_its_analytic_posterior():
    pairs, failed = simulated.simulate(SIMULATORS["linear_gaussian"], 20_000, seed=3)
    assert pairs.shape == (20_000, 6) and failed == 0
    theta, observed = pairs[:, :3], pairs[:, 3:]
    mean, variance = linear_gaussian_posterior(jnp.asarray(observed))
    assert variance == pytest.approx(0.230769, abs=1e-6)
    standard = (theta - np.asarray(mean)) / np.sqrt(variance)
    assert scipy.stats.kstest(standard.ravel(), "norm").pvalue > 0.01
    assert np.abs(np.corrcoef(standard.T, observed.T)[:3, 3:]).max() < 0.03


def test_two_moons_is_a_crescent_around_its_parameters():
    pairs, _ = simulated.simulate(SIMULATORS["two_moons"], 5000, seed=3)
    theta, observed = pairs[:, :2], pairs[:, 2:]
    assert np.abs(theta).max() <= 1
    shift = np.stack([-np.abs(theta.sum(1)), theta[:, 1] - theta[:, 0]], -1) / np.sqrt(2)
    offset = observed - shift - [0.25, 0]
    radius = np.hypot(*offset.T)
    assert abs(radius.mean() - 0.1) < 0.001 and abs(radius.std() - 0.01) < 0.001
    assert offset[:, 0].min() > -1e-6


def sometimes(key, theta):
    return jnp.where(theta[:, :1] > 0.5, jnp.nan, theta)


def prior(key, count):
    return jax.random.uniform(key, (count, 1))


def test_failed_simulations_are_left_out_and_reported(tmp_path, monkeypatch):
    pairs, failed = simulated.simulate(Simulator(prior, sometimes), 1000, seed=0)
    assert len(pairs) + failed == 1000 and 400 < failed < 600
    assert np.isfinite(pairs).all() and pairs[:, 0].max() <= 0.5
    with pytest.raises(DataError, match="all of 10 simulations"):
        simulated.simulate(Simulator(prior, lambda key, theta: theta / 0), 10, seed=0)
    monkeypatch.setitem(simulated.SIMULATORS, "two_moons", Simulator(prior, sometimes))
    monkeypatch.setattr(simulated, "COUNTS", {"train": 1000, "test": 100})
    data = jaxgen.data.load("two_moons", data_dir=str(tmp_path))
    assert any("of 1,000 train simulations failed, left out" in w for w in data.warnings())


def test_load(tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "COUNTS", {"train": 300, "test": 100})
    made = []
    monkeypatch.setattr(
        simulated, "_fill", lambda *a, fill=simulated._fill: made.append(a) or fill(*a)
    )
    for _ in range(2):  # simulated, then read again
        data = jaxgen.data.load("s2", data_dir=str(tmp_path))
        assert (data.spec.shape, data.spec.levels, data.spec.num_classes) == ((3,), None, 0)
        assert data.spec.entropy == TARGETS["s2"].entropy
        x = data.splits["train"].take(np.arange(300))["x"]
        np.testing.assert_array_equal(x, simulated.sample(TARGETS["s2"], 300, seed=0))
        assert len(data.splits["test"]) == 100 and "seeded draws" in data.report()
    assert len(made) == 1
    assert jaxgen.data.load("linear_gaussian", data_dir=str(tmp_path)).spec.entropy is None
    with pytest.raises(DataError, match="expected one of u1, .*two_moons, slcp; got 'u5'"):
        simulated.load("u5", str(tmp_path))
