"""Densities against scipy, and the accounting of bits/dim."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.ops import densities

SCIPY = {
    "normal": scipy.stats.norm.logpdf,
    "logistic": scipy.stats.logistic.logpdf,
    "uniform": scipy.stats.uniform.logpdf,
}


@pytest.mark.parametrize("base", densities.BASES)
def test_log_densities_equal_scipy(base):
    with jax.enable_x64(True):
        z = jnp.concatenate([jnp.linspace(-40.0, 40.0, 401), jnp.linspace(0.0, 1.0, 11)])
        log_prob, _ = densities.BASES[base]
        np.testing.assert_allclose(log_prob(z), SCIPY[base](np.asarray(z)), rtol=1e-12)


@pytest.mark.parametrize("base", densities.BASES)
def test_samples_follow_their_density(base):
    z = densities.tree_sample(base, jax.random.key(0), jnp.zeros((20_000,)))
    distribution = {"normal": "norm", "logistic": "logistic", "uniform": "uniform"}[base]
    assert scipy.stats.kstest(np.asarray(z), distribution).pvalue > 1e-3


def test_leaves_are_independent_and_scale_with_temperature():
    shapes = {"a": jnp.zeros((500, 4)), "b": jnp.zeros((500, 4))}
    z = densities.tree_sample("normal", jax.random.key(0), shapes, 0.5)
    assert abs(np.corrcoef(z["a"].ravel(), z["b"].ravel())[0, 1]) < 0.1
    np.testing.assert_allclose(np.std(z["a"]), 0.5, rtol=0.05)
    frozen = densities.tree_sample("normal", jax.random.key(0), shapes, 0.0)
    assert not np.any(frozen["a"])


def test_log_prob_sums_over_all_leaves():
    z = (jnp.ones((2, 3)), jnp.zeros((2, 2, 2)))
    expected = 3 * scipy.stats.norm.logpdf(1) + 4 * scipy.stats.norm.logpdf(0)
    np.testing.assert_allclose(densities.tree_log_prob("normal", z), [expected] * 2, rtol=1e-6)


def test_sums_of_bfloat16_are_float32():
    x = jnp.full((1, 4096), 1.0, jnp.bfloat16)
    assert densities.sum_event(x).dtype == jnp.float32
    assert densities.sum_event(x).tolist() == [4096.0]


def test_published_nats_become_the_published_bits():
    """NICE on MNIST: 1980.50 nats of data in [0, 1]; 8 bits are those of the 256 levels."""
    bits = 8 + densities.nats_to_bits_per_dim(-1980.50, 784)
    np.testing.assert_allclose(bits, 4.356, atol=1e-3)
