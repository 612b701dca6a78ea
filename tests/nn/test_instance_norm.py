"""Instance normalisation against Flax and float64, and its gradient."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn.instance_norm import instance_norm

X = np.random.RandomState(0).randn(3, 5, 7, 4) * [1, 10, 0.1, 1e-3] + [0, 50, 1, 0]
FLAX = nn.InstanceNorm(epsilon=1e-5, use_bias=False, use_scale=False)


def test_it_is_that_of_numpy_in_float64():
    with jax.enable_x64(True):
        found = jax.jit(instance_norm)(jnp.asarray(X))
    mean, var = X.mean((1, 2), keepdims=True), X.var((1, 2), keepdims=True)
    np.testing.assert_allclose(found, (X - mean) / np.sqrt(var + 1e-5), atol=1e-12)


def test_values_and_gradients_are_those_of_flax():
    """Far from 0, too, where a difference of squares would be rounded away."""
    x = jnp.asarray(X, jnp.float32)
    weights = jnp.asarray(np.random.RandomState(1).randn(*X.shape), jnp.float32)

    def loss(norm):
        return jax.jit(jax.grad(lambda x: jnp.sum(weights * norm(x) ** 2)))(x)

    np.testing.assert_allclose(instance_norm(x), FLAX.apply({}, x), atol=2e-4)
    ours, theirs = map(np.asarray, (loss(instance_norm), loss(lambda x: FLAX.apply({}, x))))
    size = np.abs(theirs).max(axis=(0, 1, 2))
    np.testing.assert_allclose(ours / size, theirs / size, atol=2e-3)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_added_up_in_float32(dtype):
    x = jnp.asarray(X, dtype)
    found = instance_norm(x)
    assert found.dtype == jnp.dtype(dtype)
    expected = instance_norm(x.astype(jnp.float32))
    np.testing.assert_allclose(found.astype(jnp.float32), expected, rtol=0.01, atol=0.01)
