"""Posterior estimation: its accounting against closed forms, its support, and what it refuses."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors.affine import ConditionalAffine
from jaxgen.bijectors.base import Chain
from jaxgen.config import ConfigError
from jaxgen.methods.posterior import Posterior
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
PAIRS = DataSpec.of("pairs", (4,), None)  # two parameters, two observations


class Analytic(nn.Module):
    """Mean and log-scale of the posterior of x = theta - 1 + noise of variance 0.3."""

    @nn.compact
    def __call__(self, x, cond, features):
        mean = (cond + 1) / 1.3
        return jnp.concatenate([mean, jnp.full_like(mean, 0.5 * np.log(0.3 / 1.3))], axis=-1)


EXACT = Posterior(ConditionalAffine(Analytic()), PAIRS, parameters=2)
BOXED = Posterior(Chain(()), PAIRS, parameters=2, low=(-1.0, 0.0), high=(1.0, 1e-3))
STATE = State(jnp.int32(0), {"model": {}}, {"model": {}}, {}, {})


def pairs(count):
    theta, noise = jax.random.normal(KEY, (2, count, 2))
    return jnp.concatenate([theta, theta - 1 + np.sqrt(0.3) * noise], axis=-1)


log_prob_of = jax.jit(EXACT.log_prob)
sample_of = jax.jit(EXACT.sample, static_argnums=2)


def test_analytic_posterior_costs_its_entropy():
    nll = jax.jit(EXACT.evaluate)(STATE, {"x": pairs(40_000)}, KEY)["nll"]
    assert nll.shape == (40_000,) and nll.dtype == jnp.float32
    entropy = np.log(2 * np.pi * np.e * 0.3 / 1.3)  # of two dimensions; 2.05731 of three
    assert abs(nll.mean() - entropy) < 4 * nll.std() / 200
    loss, (_, metrics) = jax.jit(EXACT.loss)(STATE, {"x": pairs(100)}, KEY)
    np.testing.assert_allclose(loss, nll_of(pairs(100)), rtol=1e-6)
    assert metrics["nll"] == loss


def nll_of(x):
    return -jnp.mean(log_prob_of(STATE, x, KEY))


def test_samples_of_one_observation():
    theta = sample_of(STATE, KEY, 20_000, observation=(0.0, 1.6))
    assert theta.shape == (20_000, 2)
    np.testing.assert_allclose(jnp.mean(theta, 0), [1 / 1.3, 2], atol=0.02)
    np.testing.assert_allclose(jnp.std(theta, 0), np.sqrt(0.3 / 1.3), rtol=0.02)
    still = sample_of(STATE, KEY, 3, observation=(0.0, 1.6), temperature=0.0)
    np.testing.assert_allclose(still, [[1 / 1.3, 2]] * 3, rtol=1e-6)


def test_posterior_of_many_observations():
    x = pairs(7)
    theta, own, draws, log_prob = jax.jit(EXACT.posterior, static_argnums=3)(STATE, KEY, x, 500)
    assert draws.shape == (7, 500, 2) and log_prob.shape == (7, 500)
    np.testing.assert_array_equal(theta, x[:, :2])
    np.testing.assert_allclose(own, log_prob_of(STATE, x, KEY), rtol=1e-6)
    np.testing.assert_allclose(jnp.mean(draws, 1), (x[:, 2:] + 1) / 1.3, atol=0.1)
    # a draw's density is that of a row made of it and its observation
    rows = jnp.concatenate([draws[:, 0], x[:, 2:]], axis=-1)
    np.testing.assert_allclose(log_prob[:, 0], log_prob_of(STATE, rows, KEY), atol=1e-4)


def test_density_stays_in_the_support_and_integrates_to_one():
    wide = 6.0  # noise so wide that logits reach the ends
    theta = jax.jit(BOXED.sample, static_argnums=2)(
        STATE, KEY, 10_000, observation=(0.0, 0.0), temperature=wide
    )
    assert (theta >= jnp.array([[-1.0, 0.0]])).all() and (theta <= jnp.array([[1.0, 1e-3]])).all()
    a, b = (np.arange(1000) + 0.5) / 1000 * 2 - 1, (np.arange(200) + 0.5) / 200 * 1e-3
    grid = np.stack(np.meshgrid(a, b), -1).reshape(-1, 2)
    rows = np.concatenate([grid, np.zeros_like(grid)], -1).astype(np.float32)
    density = np.exp(np.asarray(jax.jit(BOXED.log_prob)(STATE, rows, KEY), np.float64))
    np.testing.assert_allclose(density.mean() * 2 * 1e-3, 1, atol=2e-3)


def test_ends_of_the_support_are_finite_with_their_gradient():
    x = jnp.array([[-1.0, 0.0, 0.0, 0.0], [1.0, 1e-3, 0.0, 0.0], [-1.0000001, 2e-3, 0.0, 0.0]])
    value, grad = jax.jit(jax.value_and_grad(lambda x: jnp.sum(BOXED.log_prob(STATE, x, KEY))))(x)
    assert np.isfinite(value) and np.isfinite(grad).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(parameters=4), ValueError, "parameters=4, expected 1 to 3: rows of pairs have 4"),
        (dict(parameters=0), ValueError, "parameters=0, expected 1 to 3"),
        (dict(low=(0.0, 0.0)), ValueError, "give both low and high, or none"),
        (dict(low=(0.0,), high=(1.0,)), ValueError, "expected 2 ends each"),
        (dict(low=(0.0, 1.0), high=(1.0, 0.0)), ValueError, "the lower ones first"),
        (dict(spec=DataSpec.of("digits", (8, 8, 1), 17)), ConfigError, "digits does not hold rows"),
    ],
)
def test_what_does_not_fit_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        Posterior(Chain(()), **dict(spec=PAIRS, parameters=2) | options)


def test_sampling_needs_an_observation():
    with pytest.raises(ValueError, match="observation=None, expected 2 numbers"):
        EXACT.sample(STATE, KEY, 3)
