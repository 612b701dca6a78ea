"""Masses of grey levels under a normal distribution: they are masses, and the right ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jaxgen.ops.discretized import normal_mass

LEVELS = 256
X = np.arange(LEVELS)


def masses(mean, log_std, exact):
    shape = (LEVELS,)
    rows = jnp.full(shape, mean, jnp.float32), jnp.full(shape, log_std, jnp.float32)
    return np.asarray(normal_mass(jnp.asarray(X), *rows, LEVELS, exact), np.float64)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("log_std", [-7.0, -4.0, -1.0, 1.0])
def test_masses_sum_to_one(log_std, exact):
    for mean in (-1.7, -0.3, 0.0, 0.72):
        np.testing.assert_allclose(np.exp(masses(mean, log_std, exact)).sum(), 1, atol=1e-6)


@pytest.mark.parametrize("mean", [-0.4, 0.3])
def test_exact_masses_are_those_of_scipy(mean):
    """In float64, from both tails, as far as 1e-12."""
    edges = np.concatenate([[-np.inf], (X[1:] - 0.5) * 2 / 255 - 1, [np.inf]])
    z = (edges - mean) / np.exp(-2.0)
    expected = np.where(
        z[1:] > 0, norm.sf(z[:-1]) - norm.sf(z[1:]), norm.cdf(z[1:]) - norm.cdf(z[:-1])
    )
    expected = np.log(np.maximum(expected, 1e-12))
    np.testing.assert_allclose(masses(mean, -2.0, True), expected, atol=2e-2)
    inner = np.abs(z[:-1]) < 3
    np.testing.assert_allclose(masses(mean, -2.0, True)[inner], expected[inner], atol=1e-3)


def test_the_approximation_of_the_published_code_is_off_in_the_tail():
    """By 0.4 nats at four standard deviations, and by little in the middle."""
    error = np.abs(masses(0.0, -2.0, False) - masses(0.0, -2.0, True))
    at = np.argmin(np.abs(X * 2 / 255 - 1 - 4 * np.exp(-2.0)))
    assert 0.2 < error[at] < 0.6 and error[100:156].max() < 0.02


def test_gradients_are_finite_far_away():
    def loss(mean, log_std):
        return normal_mass(jnp.asarray([0, 255]), mean, log_std, LEVELS).sum()

    grads = jax.grad(loss, argnums=(0, 1))(jnp.zeros(2) + 3.0, jnp.zeros(2) - 8.0)
    assert all(np.isfinite(g).all() for g in grads)
