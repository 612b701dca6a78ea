"""Classifier-free guidance: its ends bit by bit, and the field of two Gaussian classes."""

import jax.numpy as jnp
import numpy as np
from scipy.special import expit

from jaxgen.ops.guidance import guided, guided_estimate, within
from jaxgen.ops.noise import Trigonometric
from jaxgen.ops.prediction import Estimate, estimate

RANDOM = np.random.RandomState(0)


def test_scale_one_is_the_conditions_own_and_zero_the_null_bit_by_bit():
    own, null = (jnp.asarray(RANDOM.randn(50, 3) * 10, jnp.float32) for _ in range(2))
    np.testing.assert_array_equal(guided(own, null, jnp.float32(1)), own)
    np.testing.assert_array_equal(guided(own, null, jnp.float32(0)), null)
    np.testing.assert_allclose(guided(own, null, 3.0), null + 3 * (own - null), rtol=1e-5)


def test_it_counts_within_its_interval_alone():
    t = jnp.asarray([0.1, 0.2, 0.5, 0.8, 0.9])
    found = within(t, jnp.asarray([0.2, 0.8]), 3.0)
    assert found.tolist() == [1.0, 3.0, 3.0, 3.0, 1.0]
    assert within(0.3, None, 3.0) == 3.0


def test_of_two_gaussian_classes_it_adds_the_classifiers_gradient():
    """Means +-1, variance v: score(z) + s grad log p(y | z), of the joint in closed form."""
    path, v, s = Trigonometric(), 0.1, 2.5
    t, z = jnp.float32(0.4), jnp.asarray(np.linspace(-2, 2, 9)[:, None], jnp.float32)
    alpha, sigma = path.alpha(t), path.sigma(t)
    total = alpha**2 * v + sigma**2
    of_class = -(z - alpha) / total
    share = expit(np.asarray(2 * alpha * z / total))  # p(y = +1 | z)
    both = share * of_class + (1 - share) * -(z + alpha) / total
    own, null = (estimate("score", f, z, alpha, sigma) for f in (of_class, both))
    found = guided_estimate(own, null, s)
    gradient = (1 - share) * 2 * alpha / total  # of log p(y = +1 | z)
    np.testing.assert_allclose(-found.eps / sigma, both + s * gradient, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alpha * found.x + sigma * found.eps, z, atol=1e-5)


def test_variances_are_the_conditions():
    between = jnp.ones(2)
    own, null = Estimate(between, between, between), Estimate(between, between, 0 * between)
    np.testing.assert_array_equal(guided_estimate(own, null, 4.0).between, between)
