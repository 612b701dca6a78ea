"""Inverses by search against closed forms, with derivatives of the implicit function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.roots import invert_increasing

Y = np.array([-3.0, -0.5, 0.0, 1e-6, 2.0, 90.0])


def cubic(a):
    """x^3 + a x and the logarithm of its slope."""
    return lambda x: (x**3 + a * x, jnp.log(3 * x**2 + a))


def roots(y, a):
    """Cardano's formula, for a > 0."""
    d = np.sqrt(y**2 / 4 + a**3 / 27)
    return np.cbrt(y / 2 + d) + np.cbrt(y / 2 - d)


def invert(y, a):
    return invert_increasing(cubic(a), y, jnp.full_like(y, -10.0), jnp.full_like(y, 10.0))


@pytest.mark.parametrize("x64", [False, True])
def test_root_and_its_derivatives(x64):
    with jax.enable_x64(x64):
        a, atol = 0.7, 1e-12 if x64 else 1e-5
        y = jnp.asarray(Y)
        x = jax.jit(invert)(y, a)
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, roots(Y, a), atol=atol)
        # dx/dy = 1 / (3 x^2 + a), dx/da = -x / (3 x^2 + a)
        slope = 3 * roots(Y, a) ** 2 + a
        for differentiate in (jax.jacrev, jax.jacfwd):
            by_y, by_a = jax.jit(differentiate(invert, (0, 1)))(y, a)
            np.testing.assert_allclose(np.diag(by_y), 1 / slope, atol=10 * atol)
            np.testing.assert_allclose(by_a, -roots(Y, a) / slope, atol=10 * atol)
        twice = jax.grad(jax.grad(lambda y: invert(y[None], a)[0]))
        expected = -6 * roots(Y, a) / slope**3
        np.testing.assert_allclose(jax.jit(jax.vmap(twice))(y), expected, atol=100 * atol)


def test_newton_that_runs_away_is_bisected():
    """From far out, Newton's method on tanh diverges."""

    def f(x):
        return jnp.tanh(x), -2 * jnp.log(jnp.cosh(jnp.clip(x, -40, 40)))

    y = jnp.array([-0.9999, 0.3, 0.9])
    x = invert_increasing(f, y, jnp.full(3, -2000.0), jnp.full(3, 900.0))
    np.testing.assert_allclose(np.tanh(x), y, atol=1e-6)


def test_values_out_of_reach_give_the_end_and_nan_ends():
    x = invert(jnp.array([-1e6, 1e6, jnp.nan]), 0.7)
    np.testing.assert_allclose(x[:2], [-10, 10], rtol=1e-6)
