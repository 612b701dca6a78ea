"""Group normalisation is Flax's, and what a condition scales and shifts."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn.group_norm import GroupNorm

RANDOM = np.random.RandomState(0)
X = jnp.asarray(3 + 2 * RANDOM.randn(2, 4, 3, 6), jnp.float32)
PARAMS = {"scale": jnp.asarray(RANDOM.randn(6)), "bias": jnp.asarray(RANDOM.randn(6))}


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_it_is_the_one_of_flax(groups):
    def run(module, x):
        return jax.vjp(lambda x, p: module.apply({"params": p}, x), x, PARAMS)

    found, back = run(GroupNorm(groups, 1e-3), X)
    expected, there = run(nn.GroupNorm(groups, epsilon=1e-3, use_fast_variance=False), X)
    np.testing.assert_allclose(found, expected, atol=2e-5)
    towards = jnp.asarray(RANDOM.randn(*X.shape), jnp.float32)
    for a, b in zip(*(jax.tree.leaves(f(towards)) for f in (back, there)), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_a_condition_scales_and_shifts_what_is_normalised():
    scale, shift = (jnp.asarray(RANDOM.randn(2, 6), jnp.float32) for _ in range(2))
    module = GroupNorm(2)
    plain = np.asarray(module.apply({"params": PARAMS}, X))
    found = module.apply({"params": PARAMS}, X, scale, shift)
    expected = plain * (1 + np.asarray(scale)[:, None, None]) + np.asarray(shift)[:, None, None]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_statistics_of_half_precision_are_float32():
    """Of 4,096 equal values near one, which add up to nothing finer than 16 in bfloat16."""
    x = jnp.full((1, 64, 64, 2), 1.0078125, jnp.bfloat16)
    x = x.at[0, 0, 0, 0].set(1.5)
    params = {"scale": jnp.ones(2), "bias": jnp.zeros(2)}
    found = GroupNorm(1, dtype=jnp.float32).apply({"params": params}, x)
    wide = np.asarray(x, np.float64)
    expected = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-6)
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_nearly_equal_values_keep_their_variance():
    """E[x^2] - E[x]^2 would be rounding alone."""
    x = 10 + 1e-3 * RANDOM.randn(2, 32, 32, 4)
    x = np.asarray(x, np.float32)
    params = {"scale": jnp.ones(4), "bias": jnp.zeros(4)}
    found = GroupNorm(2, 1e-12).apply({"params": params}, x)
    wide = x.astype(np.float64).reshape(2, -1, 2, 2)
    expected = (wide - wide.mean((1, 3), keepdims=True)) / wide.std((1, 3), keepdims=True)
    np.testing.assert_allclose(found, expected.reshape(x.shape), atol=2e-2)
