"""The monotonic network: integrals in closed form, its slope, and its inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import scramble

from jaxgen.bijectors.monotonic import MonotonicNetwork

KEY = jax.random.key(0)
NETWORK = MonotonicNetwork(hidden=(16, 16), embedding=4, nodes=30)


def made(scale=0.3, n=200, network=NETWORK):
    """(variables away from the identity, x, theta)."""
    x = jnp.asarray(np.linspace(-10.0, 10.0, n))
    theta = jnp.asarray(np.random.RandomState(0).randn(n, network.features))
    start = jax.jit(lambda: scramble(network.init(KEY, x, theta, method="forward"), scale))
    return start(), x, theta


def run(variables, method, x, theta, network=NETWORK):
    return jax.jit(lambda v, x, t: network.apply(v, x, t, method=method))(variables, x, theta)


def test_starts_as_the_identity_with_the_first_of_the_embedding_added():
    _, x, theta = made()
    y, log_slope = run(made(0.0)[0], "forward", x, theta)
    np.testing.assert_allclose(y, np.asarray(x) + np.asarray(theta)[:, 0], atol=1e-5)
    np.testing.assert_allclose(log_slope, 0, atol=1e-6)


def test_monotone_and_the_slope_is_that_of_the_map():
    """The rise over each step of a fine grid is the trapezium of exp(log_slope)."""
    with jax.enable_x64(True):
        network = NETWORK.copy(nodes=1000)
        variables, x, theta = made(0.2, n=2001, network=network)
        same = np.broadcast_to(np.asarray(theta)[:1], theta.shape)
        y, log_slope = map(np.asarray, run(variables, "forward", x, same, network))
        assert (np.diff(y) > 0).all()
        slope = np.exp(log_slope)
        np.testing.assert_allclose(np.diff(y), 0.005 * (slope[1:] + slope[:-1]), rtol=1e-2)
        np.testing.assert_allclose(y[-1] - y[0], np.trapezoid(slope, x), rtol=1e-5)


def test_few_nodes_are_enough():
    """As many as the official code takes against eight times as many, near the data."""
    variables, x, theta = made(0.05)
    few, many = (
        run(variables, "forward", np.asarray(x) / 3, theta, NETWORK.copy(nodes=n))[0]
        for n in (50, 400)
    )
    np.testing.assert_allclose(few, many, atol=1e-4)


@pytest.mark.parametrize(("x64", "atol"), [(True, 1e-9), (False, 1e-4)])
def test_inverse(x64, atol):
    with jax.enable_x64(x64):
        variables, x, theta = made(0.1)
        y, forward = run(variables, "forward", x, theta)
        back, inverse = run(variables, "inverse", y, theta)
        np.testing.assert_allclose(back, x, atol=atol)
        np.testing.assert_allclose(forward + inverse, 0, atol=atol)


@pytest.mark.parametrize("method", ["forward", pytest.param("inverse", marks=pytest.mark.slow)])
def test_gradients_of_parameters_are_those_of_finite_differences(method):
    """With so many nodes that the kinks of the network between them do not matter."""
    with jax.enable_x64(True):
        network = NETWORK.copy(nodes=2000)
        variables, x, theta = made(0.1, n=3, network=network)

        def total(params):
            y, log_slope = network.apply({"params": params}, x / 10, theta, method=method)
            return jnp.sum(y * jnp.arange(1.0, 4.0)) + jnp.sum(log_slope)

        value, grads = jax.jit(total), jax.jit(jax.grad(total))(variables["params"])
        for name in ("kernel_0", "bias_1", "kernel_2"):
            p = variables["params"][name]
            direction = jax.random.normal(KEY, p.shape)
            up, down = (
                value(variables["params"] | {name: p + h * direction}) for h in (1e-5, -1e-5)
            )
            ours = jnp.sum(grads[name] * direction)
            np.testing.assert_allclose(ours, (up - down) / 2e-5, rtol=1e-3)


@pytest.mark.parametrize("method", ["forward", "inverse"])
def test_finite_far_out(method):
    variables, *_ = made()
    random = np.random.RandomState(0)
    x = np.concatenate([[0.0, 1e4, -1e4], 100 * random.randn(2000)]).astype(np.float32)
    theta = 3 * random.randn(len(x), NETWORK.features).astype(np.float32)

    def total(params, x, theta):
        out = NETWORK.apply({"params": params}, x, theta, method=method)
        return sum(jnp.sum(v) for v in out)

    value, grads = jax.jit(jax.value_and_grad(total, (0, 1, 2)))(variables["params"], x, theta)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
