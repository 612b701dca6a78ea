"""Simulators: moments by hand, and likelihoods against SciPy, a grid and the simulations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.ops.simulators import SIMULATORS

KEY = jax.random.key(0)
MOONS, SLCP = SIMULATORS["two_moons"], SIMULATORS["slcp"]


@pytest.mark.parametrize("name", ["two_moons", "slcp"])
def test_the_prior_is_uniform_in_its_box(name):
    simulator = SIMULATORS[name]
    theta = np.asarray(simulator.prior(KEY, 20_000), np.float64)
    for column, low, high in zip(theta.T, simulator.low, simulator.high, strict=True):
        assert scipy.stats.kstest(column, "uniform", (low, high - low)).pvalue > 1e-3


def test_slcp_are_four_points_of_a_gaussian():
    theta = np.array([0.7, -2.9, -1.0, 1.4, 0.6], np.float32)
    x = jax.jit(SLCP.simulate)(KEY, jnp.broadcast_to(theta[None], (50_000, 5)))
    assert x.shape == (50_000, 8)
    points = np.asarray(x, np.float64).reshape(-1, 2)
    a, b, rho = 1.0, 1.4**2, np.tanh(0.6)
    covariance = [[a * a, rho * a * b], [rho * a * b, b * b]]
    np.testing.assert_allclose(points.mean(0), theta[:2], atol=0.02)
    np.testing.assert_allclose(np.cov(points.T), covariance, atol=0.06)
    between = np.corrcoef(np.asarray(x).T)  # the four points are independent
    assert np.abs(between[0, 2:]).max() < 0.02 and np.abs(between[1, 2:]).max() < 0.02


def test_slcp_likelihood_is_that_of_scipy():
    random = np.random.RandomState(0)
    theta = random.uniform(-3, 3, (50, 5)).astype(np.float32)
    observed = random.randn(8).astype(np.float32) * 2
    found = jax.jit(SLCP.log_likelihood)(theta, observed)
    for value, t in zip(found, theta.astype(np.float64), strict=True):
        a, b, rho = t[2] ** 2, t[3] ** 2, np.tanh(t[4])
        covariance = np.array([[a * a, rho * a * b], [rho * a * b, b * b]]) + 1e-6 * np.eye(2)
        known = scipy.stats.multivariate_normal(t[:2], covariance)
        expected = known.logpdf(observed.astype(np.float64).reshape(4, 2)).sum()
        np.testing.assert_allclose(value, expected, rtol=2e-3)


def test_two_moons_likelihood_is_the_density_of_its_simulations():
    """It integrates to one, and its mean over simulations is minus their entropy."""
    theta = jnp.array([[0.3, -0.2]])
    of = jax.jit(jax.vmap(lambda observed: MOONS.log_likelihood(theta, observed)[0]))
    x = jax.jit(MOONS.simulate)(KEY, jnp.tile(theta, (40_000, 1)))
    mean = np.asarray(of(x), np.float64).mean()
    radius = 0.1 + 0.01 * np.random.RandomState(0).randn(100_000)
    entropy = 0.5 * np.log(2 * np.pi * np.e * 0.01**2) + np.log(np.pi * radius).mean()
    assert abs(mean + entropy) < 0.02
    step = 1e-3
    a, b = np.arange(0, 0.16, step) + step / 2, np.arange(-0.16, 0.16, step) + step / 2
    centre = np.array([0.25 - 0.1 / np.sqrt(2), -0.5 / np.sqrt(2)])
    grid = np.stack(np.meshgrid(a, b), -1).reshape(-1, 2) + centre
    density = np.exp(np.asarray(of(jnp.asarray(grid, jnp.float32)), np.float64))
    assert abs(density.sum() * step**2 - 1) < 2e-3
