"""Runge-Kutta and divergences against closed forms, on a flow of Gaussian data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.ode import exact_divergence, probed_divergence, runge_kutta_4, transported

KEY = jax.random.key(0)
A = np.random.RandomState(0).randn(3, 3)
V = 0.25


def curved(z):
    return jnp.tanh(z @ jnp.asarray(A, z.dtype)) * jnp.sin(z)


def test_the_exact_divergence_is_the_trace_of_the_jacobian():
    z = jnp.asarray(np.random.RandomState(1).randn(5, 3), jnp.float32)
    out, found = exact_divergence(curved, z)
    jacobian = jax.vmap(jax.jacfwd(lambda z: curved(z[None])[0]))(z)
    np.testing.assert_allclose(found, jnp.trace(jacobian, axis1=1, axis2=2), rtol=1e-5)
    np.testing.assert_allclose(out, curved(z), rtol=1e-6)


def test_probes_have_no_bias():
    """Within four standard errors of 4,000; and images as well as points."""
    z = jnp.asarray(np.random.RandomState(1).randn(1, 3), jnp.float32)
    many = jnp.broadcast_to(z, (4000, 3))
    probe = jax.random.rademacher(KEY, many.shape, many.dtype)
    _, found = probed_divergence(curved, many, probe)
    _, exact = exact_divergence(curved, z)
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - exact[0]) < 4 * error and error < 0.1 * np.abs(np.std(found))
    image = z.reshape(1, 3, 1, 1)
    of_image = exact_divergence(lambda x: curved(x.reshape(-1, 3)).reshape(x.shape), image)[1]
    np.testing.assert_allclose(of_image, exact, rtol=1e-5)


def test_order_four():
    """dy/du = y cos(4 u): y(1) = exp(sin(4) / 4)."""
    errors = []
    with jax.enable_x64(True):
        for steps in (32, 64):
            y = runge_kutta_4(lambda y, u: y * jnp.cos(4 * u), jnp.ones(()), steps)
            errors.append(abs(float(y) - np.exp(np.sin(4) / 4)))
    assert 13 < errors[0] / errors[1] < 19, errors


@pytest.mark.parametrize("probe", [False, True])
def test_the_density_of_gaussian_data(probe):
    """The velocity of N(0, V) on straight lines, 40 steps: log N(0, V) to 1e-4."""

    def velocity(z, t):
        total = (1 - t) ** 2 * V + t**2
        return (t - (1 - t) * V) / total * z

    x = jnp.asarray(np.random.RandomState(2).randn(6, 2) * np.sqrt(V), jnp.float32)
    ones = jnp.ones_like(x) if probe else None  # of a diagonal Jacobian no probe is off
    z, logdet = jax.jit(lambda x: transported(velocity, x, lambda u: u, 40, ones))(x)
    np.testing.assert_allclose(z, x / np.sqrt(V), rtol=1e-4)
    found = -0.5 * np.sum(np.square(z) + np.log(2 * np.pi), 1) + logdet
    expected = -0.5 * np.sum(np.square(x) / V + np.log(2 * np.pi * V), 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_time_may_run_as_it_likes():
    """t = u^2: the same end, with the rate of t in the slope."""

    def velocity(z, t):
        return z * (1 + t)

    z, logdet = transported(velocity, jnp.ones((1, 2)), lambda u: 0.1 + u**2, 40)
    change = 1 + (1.1**2 - 0.1**2) / 2
    np.testing.assert_allclose(z, np.exp(change), rtol=1e-5)
    np.testing.assert_allclose(logdet, 2 * change, rtol=1e-5)
