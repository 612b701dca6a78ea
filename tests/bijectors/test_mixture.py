"""The mixture-of-logistics transform against scipy, into the far tails, and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxgen.bijectors.mixture import WIDEST, MixtureLogistic, logit_mixture

RANDOM = np.random.RandomState(0)
MIX = MixtureLogistic(4)
forward = jax.jit(MIX.forward)


def logit_by_scipy(x, theta, k=4):
    """logit(F) and the log of its slope, F and 1 - F from their logarithms."""
    logits, means, log_scales = np.split(theta[:, 2:], 3, axis=-1)
    log_scales = np.clip(log_scales, -7, WIDEST)
    law = scipy.stats.logistic(means, np.exp(log_scales))
    weights = scipy.special.log_softmax(logits, axis=-1)
    log_cdf = scipy.special.logsumexp(weights + law.logcdf(x[:, None]), axis=-1)
    log_rest = scipy.special.logsumexp(weights + law.logsf(x[:, None]), axis=-1)
    log_pdf = scipy.special.logsumexp(weights + law.logpdf(x[:, None]), axis=-1)
    return log_cdf - log_rest, log_pdf - log_cdf - log_rest


@pytest.mark.parametrize("spread", [3.0, 1e3])
def test_forward_equals_scipy_also_in_the_tails(spread):
    with jax.enable_x64(True):
        x, theta = spread * RANDOM.randn(500), 2 * RANDOM.randn(500, MIX.features)
        y, log_slope = forward(x, theta)
        z, slope_of_z = logit_by_scipy(x, theta)
        scale = np.tanh(theta[:, 0])
        np.testing.assert_allclose(y, z * np.exp(scale) + theta[:, 1], rtol=1e-10, atol=1e-10)
        # the logarithm of the density itself cancels against two others, in scipy's form
        atol = 1e-11 * max(1, np.abs(z).max())
        np.testing.assert_allclose(log_slope, slope_of_z + scale, atol=atol)


def test_float32_equals_float64_in_the_tails():
    """Where the slope is that of a straight line: no digit of it may cancel."""
    x = np.array([-1e6, -3e3, 3e3, 1e6], np.float32)
    theta = RANDOM.randn(4, MIX.features).astype(np.float32)
    single = jax.device_get(forward(x, theta))
    with jax.enable_x64(True):
        double = forward(x.astype(np.float64), theta.astype(np.float64))
    np.testing.assert_allclose(single[0], double[0], rtol=1e-5)
    np.testing.assert_allclose(single[1], double[1], atol=1e-4)
    log_scales = theta[:, 2 + 8 :]
    np.testing.assert_allclose(single[1] - np.tanh(theta[:, 0]), -log_scales.max(1), atol=0.1)


@pytest.mark.parametrize(
    "rows", [20, pytest.param(1000, marks=pytest.mark.slow)], ids=["20,000", "a million"]
)
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_finite_for_many_numbers_and_their_gradients(direction, rows):
    special = np.array([0.0, 1e-30, -1e30, 1e30, 1e5, -1e5])
    x = np.concatenate([special, 5 * RANDOM.randn(rows * 1000 - len(special))])
    scale = np.where(np.arange(1000) < 500, 2.0, 300.0)[:, None]
    mix = MixtureLogistic(2)
    theta = scale * RANDOM.randn(1000, mix.features)

    def total(x, theta):
        theta = jnp.repeat(theta, rows, 0)
        return sum(jnp.sum(out) for out in getattr(mix, direction)(x, theta))

    @jax.jit
    def found(x, special, theta):
        single = getattr(mix, direction)(special, theta[: len(special)])
        return jax.value_and_grad(total, (0, 1))(jnp.clip(x, -1e5, 1e5), theta), single

    found = found(*(v.astype(np.float32) for v in (x, special, theta)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_inverse_at_all_scales():
    """In float64 to 1e-9 of the numbers' size, and in float32 to what the slope leaves."""
    for x64, rtol in ((True, 1e-9), (False, 2e-4)):
        with jax.enable_x64(x64):
            x = jnp.asarray(RANDOM.randn(400) * np.repeat([1e-3, 1.0, 30.0, 1e4], 100))
            theta = jnp.asarray(RANDOM.randn(400, MIX.features))
            y, there = forward(x, theta)
            back, again = jax.jit(MIX.inverse)(y, theta)
            np.testing.assert_allclose(back, x, rtol=rtol, atol=rtol)
            np.testing.assert_allclose(np.add(there, again), 0, atol=10 * rtol)


def test_gradient_of_the_inverse_is_that_of_the_implicit_function():
    """Inverse after forward is the identity in x, and constant in the parameters."""
    with jax.enable_x64(True):
        x, theta = RANDOM.randn(1), RANDOM.randn(1, MIX.features)

        def both(x, theta):
            return MIX.inverse(MIX.forward(x, theta)[0], theta)[0][0]

        by_x, by_theta = jax.jit(jax.grad(both, (0, 1)))(x, theta)
        np.testing.assert_allclose(by_x, 1, atol=1e-9)
        np.testing.assert_allclose(by_theta, 0, atol=1e-9)


def test_one_standard_component_is_the_identity():
    x = jnp.linspace(-30.0, 30.0, 61)
    z, log_slope = logit_mixture(x, *(jnp.zeros((61, 1)),) * 3)
    np.testing.assert_allclose(z, x, rtol=1e-6)
    np.testing.assert_allclose(log_slope, 0, atol=1e-6)
