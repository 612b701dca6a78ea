"""Elliptical slice sampling against closed forms, and priors as functions of noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.ops.elliptical import elliptical_slice, start
from jaxgen.ops.priors import Normal, Uniform

KEY, CHAINS = jax.random.key(1), 4000
MEAN, STD = np.array([1.5, -0.5]), np.array([0.3, 0.8])


def gaussian(u):
    return -0.5 * jnp.sum(jnp.square((u - MEAN[None]) / STD[None]), axis=1)


def drawn(log_likelihood, moves, u=None):
    first, rest = jax.random.split(KEY)

    @jax.jit
    def run(u):
        if u is None:
            u = start(first, log_likelihood, 2, CHAINS, 2000)
        return elliptical_slice(rest, log_likelihood, u, moves)

    return np.asarray(run(u), np.float64)


@pytest.mark.parametrize("begin", ["far", "candidates"])
def test_of_a_gaussian_likelihood(begin):
    """Chains that start far away need the moves; those that start well are left where they are."""
    u = jnp.full((CHAINS, 2), -1.0) if begin == "far" else None
    found = drawn(gaussian, 60, u)
    precision = 1 + 1 / STD**2
    mean = MEAN / STD**2 / precision
    for column, m, p in zip(found.T, mean, precision, strict=True):
        assert scipy.stats.kstest(column, scipy.stats.norm(m, p**-0.5).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(found.T)[0, 1]) < 0.06


def test_without_moves_nothing_moves():
    u = jax.random.normal(KEY, (CHAINS, 2))
    np.testing.assert_array_equal(drawn(gaussian, 0, u), u)


def test_the_target_is_left_as_it_is_where_moves_take_unlike_time():
    """A narrow mode needs more proposals a move than a wide one, and no chain waits for others."""
    widths, centres = np.array([0.15, 0.5]), np.array([1.0, -1.0])
    peaks = -2 * np.log(widths)

    def two(u):
        away = jnp.square(u[:, :1] - centres[None]) + jnp.square(u[:, 1:])
        return jax.nn.logsumexp(peaks[None] - 0.5 * away / widths[None] ** 2, axis=1)

    variance = widths**2 / (1 + widths**2)
    weight = np.exp(peaks - 0.5 / (1 + widths**2)) * variance
    random = np.random.RandomState(0)
    mode = random.choice(2, CHAINS, p=weight / weight.sum())
    mean = np.stack([centres / (1 + widths**2), 0 * centres], 1)[mode]
    u = mean + np.sqrt(variance)[mode, None] * random.randn(CHAINS, 2)
    found = drawn(two, 30, jnp.asarray(u, jnp.float32))
    assert (np.abs(found - u).max(1) > 1e-3).all()  # every chain has moved
    for a, b in zip(u.T, found.T, strict=True):
        assert scipy.stats.ks_2samp(a, b).pvalue > 1e-3


def test_a_likelihood_that_is_no_number_is_none():
    found = drawn(lambda u: jnp.where(u[:, 0] > 0, jnp.nan, gaussian(u + MEAN[None])), 20)
    assert (found[:, 0] <= 0).all() and found.std(0).min() > 0.1


def test_priors_are_their_distributions():
    u = jax.random.normal(KEY, (20_000, 2))
    box, normal = Uniform((-1.0, 2.0), (1.0, 5.0)), Normal((3.0, 0.0), (0.5, 2.0))
    a, b = (np.asarray(p.of_noise(u), np.float64) for p in (box, normal))
    assert scipy.stats.kstest(a[:, 1], "uniform", (2, 3)).pvalue > 1e-3
    assert scipy.stats.kstest(b[:, 0], scipy.stats.norm(3, 0.5).cdf).pvalue > 1e-3
    theta = jnp.array([[0.5, 3.0], [0.5, 6.0]])
    np.testing.assert_allclose(box.log_prob(theta), [-np.log(6), -np.inf], rtol=1e-6)
    expected = scipy.stats.norm((3, 0), (0.5, 2)).logpdf(theta).sum(1)
    np.testing.assert_allclose(normal.log_prob(theta), expected, rtol=1e-5)
    ends = box.of_noise(jnp.array([[-40.0, 40.0]]))
    np.testing.assert_array_equal(ends, [[-1.0, 5.0]])
