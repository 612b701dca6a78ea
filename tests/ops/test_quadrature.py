"""The quadrature against closed forms, and its gradient in both modes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.quadrature import clenshaw_curtis, integral

KEY = jax.random.key(0)


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_rule_is_exact_for_polynomials_of_its_degree(n):
    nodes, weights = clenshaw_curtis(n)
    assert nodes[0] == 0 and nodes[-1] == 1 and (np.diff(nodes) > 0).all()
    for degree in range(n + 1):
        np.testing.assert_allclose(weights @ nodes**degree, 1 / (degree + 1), atol=1e-14)


def square(t, theta):
    return theta + t**2


def test_integral_of_a_parabola():
    with jax.enable_x64(True):
        low, high = jnp.array([0.0, -1.5, 2.0]), jnp.array([1.0, 3.0, -4.0])
        theta = jnp.array([1.0, 0.5, 2.0])
        expected = theta * (high - low) + (high**3 - low**3) / 3
        np.testing.assert_allclose(integral(square, low, high, theta, 20), expected, atol=1e-12)


def wave(t, theta):
    return jnp.exp(jnp.sin(theta["a"] * t) + theta["b"])


def by_autodiff(low, high, theta, n=60):
    """The same sum, differentiated node by node."""
    nodes, weights = clenshaw_curtis(n)
    t = low[:, None] + (high - low)[:, None] * nodes[None]
    each = wave(t, jax.tree.map(lambda v: v[:, None], theta))
    return (high - low) * (each @ jnp.asarray(weights))


def test_gradient_of_both_limits_and_of_parameters():
    with jax.enable_x64(True):
        low, high = jnp.array([0.0, -1.5, 2.0]), jnp.array([1.0, 2.0, -1.0])
        theta = {"a": jnp.array([1.0, 0.5, 2.0]), "b": jnp.array([0.0, 1.0, -1.0])}

        def leibniz(low, high, theta):
            return integral(wave, low, high, theta, 60)

        for differentiate in (jax.jacrev, jax.jacfwd):
            ours, theirs = (
                jax.jit(differentiate(f, (0, 1, 2)))(low, high, theta)
                for f in (leibniz, by_autodiff)
            )
            close = functools.partial(np.testing.assert_allclose, atol=1e-9)
            jax.tree.map(close, ours, theirs)
        np.testing.assert_allclose(np.diag(ours[1]), wave(high, theta), atol=1e-12)


def temporary_bytes(n):
    def loss(theta, x):
        return jnp.sum(integral(network, jnp.zeros_like(x), x, theta, n))

    theta = {"a": jnp.ones((1, 64)), "b": jnp.ones(64)}
    x = jnp.ones(512)
    compiled = jax.jit(jax.grad(loss, (0, 1))).lower(theta, x).compile()
    return compiled.memory_analysis().temp_size_in_bytes


def network(t, theta):
    return jnp.exp(jnp.tanh(t[:, None] * theta["a"]) @ theta["b"] / 64)


def test_memory_does_not_grow_with_the_nodes():
    few, many = temporary_bytes(50), temporary_bytes(400)
    assert many <= 1.1 * few
