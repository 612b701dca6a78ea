"""Learned likelihoods and ratios: their posteriors and losses against closed forms."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.bijectors.affine import ConditionalAffine
from jaxgen.config import ConfigError
from jaxgen.methods.neural_likelihood import NeuralLikelihood
from jaxgen.methods.neural_ratio import NeuralRatio
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
PAIRS = DataSpec.of("pairs", (4,), None)  # two parameters, two observations
STATE = State(jnp.int32(0), {"model": {}}, {"model": {}}, {}, {})
NORMAL = dict(spec=PAIRS, parameters=2, mean=(0.0, 0.0), std=(1.0, 1.0))
BOX = dict(spec=PAIRS, parameters=2, low=(-1.0, -1.0), high=(1.0, 1.0))


class Analytic(nn.Module):
    """Mean and log-scale of x = theta - 1 + noise of variance 0.3."""

    @nn.compact
    def __call__(self, x, cond, features):
        mean = cond - 1
        return jnp.concatenate([mean, jnp.full_like(mean, 0.5 * np.log(0.3))], axis=-1)


class Ratio(nn.Module):
    """log p(x | theta) of it, with what is of x alone; `error` is that of a wrong one."""

    of_x: float = 0.0
    error: float = 0.0

    def __call__(self, theta, x):
        exact = -0.5 * jnp.sum(jnp.square(x - theta + 1), axis=1) / 0.3
        wrong = self.error * jnp.sum(theta * x, axis=1)
        return exact + wrong + self.of_x * jnp.sum(x, axis=1)


LIKELIHOOD = NeuralLikelihood(ConditionalAffine(Analytic()), **NORMAL)
METHODS = {"likelihood": LIKELIHOOD, "ratio": NeuralRatio(Ratio(of_x=3.0), **NORMAL)}


def pairs(count, key=KEY):
    theta, noise = jax.random.normal(key, (2, count, 2))
    return jnp.concatenate([theta, theta - 1 + np.sqrt(0.3) * noise], axis=-1)


def test_analytic_likelihood_costs_the_entropy_of_its_noise():
    nll = jax.jit(LIKELIHOOD.evaluate)(STATE, {"x": pairs(40_000)}, KEY)["nll"]
    entropy = np.log(2 * np.pi * np.e * 0.3)
    assert nll.shape == (40_000,) and abs(nll.mean() - entropy) < 4 * nll.std() / 200
    loss, (_, metrics) = jax.jit(LIKELIHOOD.loss)(STATE, {"x": pairs(100)}, KEY)
    expected = -np.mean(jax.jit(LIKELIHOOD.log_prob)(STATE, pairs(100), KEY))
    np.testing.assert_allclose([loss, metrics["nll"]], expected, rtol=1e-6)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("n", [1, 3])
def test_samples_are_of_the_analytic_posterior(name, n):
    """Of one observation, and of three of the same parameters, which take one posterior."""
    observed = np.array([[0.0, 1.6], [-0.4, 1.0], [0.3, 1.9]])[:n]
    sample = jax.jit(METHODS[name].sample, static_argnums=2)
    theta = np.asarray(sample(STATE, KEY, 4000, observation=observed.ravel()), np.float64)
    assert theta.shape == (4000, 2)
    variance = 1 / (1 + n / 0.3)
    mean = variance * (observed + 1).sum(0) / 0.3
    for column, m in zip(theta.T, mean, strict=True):
        assert scipy.stats.kstest(column, scipy.stats.norm(m, variance**0.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_posterior_of_many_observations(name):
    x = pairs(5)
    theta, own, draws, value = jax.jit(METHODS[name].posterior, static_argnums=3)(
        STATE, KEY, x, 400
    )
    np.testing.assert_array_equal(theta, x[:, :2])
    assert draws.shape == (5, 400, 2) and value.shape == (5, 400)
    mean = (np.asarray(x[:, 2:]) + 1) / 1.3
    np.testing.assert_allclose(np.mean(draws, 1), mean, atol=0.1)
    # log-densities are those of the posterior, but for a constant of each row
    exact = -0.5 * np.square(np.asarray(draws) - mean[:, None]).sum(-1) * 1.3 / 0.3
    exact_own = -0.5 * np.square(np.asarray(theta) - mean).sum(-1) * 1.3 / 0.3
    np.testing.assert_allclose(value - own[:, None], exact - exact_own[:, None], atol=2e-3)


def test_draws_stay_in_the_box():
    inside = NeuralRatio(Ratio(), **BOX)
    sample = jax.jit(inside.sample, static_argnums=2)
    theta = np.asarray(sample(STATE, KEY, 4000, observation=(0.0, 0.0)), np.float64)
    assert np.abs(theta).max() <= 1
    known = scipy.stats.truncnorm(-2 / 0.3**0.5, 0, 1, 0.3**0.5)
    assert scipy.stats.kstest(theta[:, 0], known.cdf).pvalue > 1e-3


def test_the_contrastive_loss_is_least_at_the_ratio():
    x = {"x": pairs(40_000)}
    batch = lambda **wrong: jax.jit(NeuralRatio(Ratio(**wrong), **NORMAL, atoms=4).evaluate)(  # noqa: E731
        STATE, x, KEY
    )
    right = batch()["cross_entropy"]
    for error in (0.5, -0.5):
        worse = np.asarray(batch(error=error)["cross_entropy"] - right)
        assert worse.mean() > 5 * worse.std() / 200
    np.testing.assert_allclose(batch(of_x=2.0)["cross_entropy"], right, atol=1e-4)
    blind = NeuralRatio(ConstantLogit(), **NORMAL, atoms=4)
    loss, (_, metrics) = jax.jit(blind.loss)(STATE, {"x": pairs(100)}, KEY)
    np.testing.assert_allclose(loss, np.log(4), rtol=1e-6)
    assert metrics["accuracy"] == 1  # of all that are alike, the first


class ConstantLogit(nn.Module):
    def __call__(self, theta, x):
        return jnp.zeros(len(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(mean=None, std=None), "give low and high of a uniform one, or mean and std"),
        (dict(low=(0.0, 0.0), high=(1.0, 1.0)), "give low and high of a uniform one, or mean"),
        (dict(std=None), "or mean and std of a normal one"),
        (dict(mean=(0.0,)), "expected 2 numbers each, the deviations above 0"),
        (dict(std=(1.0, 0.0)), "the deviations above 0"),
        (dict(moves=-1), "moves=-1, expected 1 and 0 or more"),
        (dict(atoms=1), "atoms=1, expected 2 or more"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        NeuralRatio(Ratio(), **NORMAL | options)


def test_observations_of_other_numbers_are_refused():
    for value in (None, (1.0,), (1.0, 2.0, 3.0)):
        with pytest.raises(ConfigError, match="expected 2 numbers for each of one or more"):
            LIKELIHOOD.sample(STATE, KEY, 3, observation=value)
