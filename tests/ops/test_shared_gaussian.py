"""The density with errors that columns share, against SciPy's normal and moments of draws."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from jaxgen.ops.shared_gaussian import SharedGaussian

RANDOM = np.random.RandomState(0)
B, H, W, C = 2, 3, 5, 2
X = RANDOM.randn(B, H, W, C).astype(np.float32)
THETA = (0.7 * RANDOM.randn(B, H, W, 3 * C)).astype(np.float32)


def covariance(theta):
    """Of rows, [B, H, C, W, W], and their means [B, H, C, W]."""
    mean, log_std, log_common = (np.moveaxis(p, 3, 2) for p in np.split(theta.astype(float), 3, -1))
    common = np.exp(2 * log_common.mean(-1))[..., None, None]
    return mean, np.exp(2 * log_std)[..., None] * np.eye(W) + common


def test_log_density_is_that_of_the_covariance():
    mean, of = covariance(THETA)
    rows = np.moveaxis(X, 3, 2)
    exact = np.zeros(B)
    for b, h, c in np.ndindex(B, H, C):
        exact[b] += scipy.stats.multivariate_normal(mean[b, h, c], of[b, h, c]).logpdf(
            rows[b, h, c]
        )
    found = SharedGaussian(log_volume=0.25).log_prob(jnp.asarray(X), jnp.asarray(THETA))
    np.testing.assert_allclose(found, exact - 0.25, rtol=1e-5)


def test_draws_have_mean_and_covariance():
    count, theta = 20_000, THETA[:1, :1]
    tiled = jnp.asarray(np.repeat(theta, count, 0))
    draws = np.asarray(jax.jit(SharedGaussian().sample)(jax.random.key(1), tiled))
    mean, of = covariance(theta)
    for c in range(C):
        x, wanted = draws[:, 0, :, c], of[0, 0, c]
        error = np.sqrt(np.diag(wanted) / count)
        assert (np.abs(x.mean(0) - mean[0, 0, c]) < 4.5 * error).all()
        spread = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / count)
        assert (np.abs(np.cov(x.T) - wanted) < 4.5 * spread).all()


def test_noise_of_rows_is_apart():
    of, theta = SharedGaussian(), jnp.asarray(THETA)
    key = jax.random.key(0)
    np.testing.assert_allclose(of.sample(key, theta, 0.0), of.mean(theta), rtol=1e-6)
    row = of.sample(key, theta) - of.sample(key, theta, of_rows=0.0)
    np.testing.assert_allclose(row, np.repeat(row[:, :, :1], W, axis=2), atol=1e-5)
    assert np.abs(row).min() > 1e-4 and of.width(2) == 6 and not of.is_mass
