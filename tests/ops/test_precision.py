"""Sums of slopes by what is broadcast, where activations have eight bits."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.ops.precision import plus, times

SHAPE = (4, 16, 16, 8)
X, G = (jax.random.normal(jax.random.key(i), SHAPE).astype(jnp.bfloat16) for i in (0, 1))
V = jnp.linspace(-1.0, 1.0, 8)


def slope(operation):
    def total(v):
        y = operation(X, v.reshape(1, 1, 1, -1))
        assert y.dtype == jnp.bfloat16
        return jnp.sum((y * G).astype(jnp.float32))

    return jax.jit(jax.grad(total))(V)


def test_slopes_are_summed_in_float32():
    x, g = (np.asarray(v, np.float64) for v in (X, G))
    np.testing.assert_allclose(slope(plus), g.sum((0, 1, 2)), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(slope(times), (x * g).sum((0, 1, 2)), rtol=1e-4, atol=1e-3)
    naive = slope(lambda x, v: x + v.astype(x.dtype))
    assert np.abs(naive - g.sum((0, 1, 2))).max() > 0.5


def test_in_float32_they_are_sums_and_products():
    x, v = X.astype(jnp.float32), V[None, None, None]
    np.testing.assert_array_equal(plus(x, v), x + v)
    np.testing.assert_array_equal(times(x, v), x * v)
