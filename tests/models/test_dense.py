"""The dense denoising network: its start, its shapes, and what it is told."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.models.diffusion.dense import Dense

KEY = jax.random.key(0)
X = jnp.asarray(np.random.RandomState(0).randn(5, 4, 4, 2), jnp.float32)
T = jnp.linspace(0.0, 1000.0, 5)
COND = jax.nn.one_hot(jnp.arange(5) % 3, 3)


def made(network, *inputs):
    """Parameters away from initialisation."""
    params = jax.jit(network.init)(KEY, *inputs)["params"]
    return {"params": scrambled(params, 0.1)}


def test_it_says_nothing_at_first():
    network = Dense(16, 2, waves=8)
    variables = network.init(KEY, X, T, COND)
    assert not np.any(network.apply(variables, X, T, COND))


def test_outputs_of_a_channel_come_one_after_another():
    """Of two, the first half of the channels is the first: means, then variances."""
    network = Dense(16, 2, waves=8, outputs=2)
    variables = made(network, X, T, COND)
    out = network.apply(variables, X, T, COND)
    assert out.shape == (5, 4, 4, 4)
    bias = variables["params"]["last"]["bias"].reshape(4, 4, 2, 2)  # place, channel, output
    shifted = jax.tree.map(lambda v: v, variables)
    shifted["params"]["last"]["bias"] = (bias.at[..., 1].add(1.0)).reshape(-1)
    moved = network.apply(shifted, X, T, COND) - out
    np.testing.assert_allclose(moved[..., :2], 0, atol=1e-5)
    np.testing.assert_allclose(moved[..., 2:], 1, atol=1e-5)


def test_examples_are_told_their_own_time_and_condition():
    network = Dense(16, 2, waves=8, period=4.0)
    variables = made(network, X, T, COND)
    call = jax.jit(network.apply)
    out = call(variables, X, T, COND)
    for changed in (
        call(variables, X, T.at[2].add(3.0), COND),
        call(variables, X, T, COND.at[2].set(jnp.asarray([0.0, 0.0, 0.0]))),
        call(variables, X.at[2].add(1.0), T, COND),
    ):
        same = np.isclose(changed, out, atol=1e-6).all((1, 2, 3))
        np.testing.assert_array_equal(same, [True, True, False, True, True])


def test_two_times():
    network = Dense(16, 1, waves=8, times=2)
    both = jnp.stack([T, T / 2], 1)
    variables = made(network, X, both)
    out = network.apply(variables, X, both)
    assert np.abs(network.apply(variables, X, both[:, ::-1]) - out).max() > 1e-3
    with pytest.raises(ValueError, match="times=2, but this method gives 1"):
        network.apply(variables, X, T)


def test_half_precision_keeps_parameters_and_outputs_in_float32():
    full, half = Dense(32, 2), Dense(32, 2, dtype="bfloat16")
    points, variables = X.reshape(5, -1), made(full, X.reshape(5, -1), T)
    a, b = (n.apply(variables, points, T) for n in (full, half))
    assert a.dtype == b.dtype == jnp.float32
    assert 1e-5 < np.abs(a - b).max() < 0.1 * np.abs(a).max()
    starts = jax.eval_shape(half.init, KEY, points, T)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(starts))


def test_dropout_is_of_training_alone():
    network = Dense(16, 2, waves=8, dropout=0.5)
    variables = made(network, X, T)
    plain = network.apply(variables, X, T)
    rngs = {"dropout": KEY}
    np.testing.assert_array_equal(network.apply(variables, X, T, rngs=rngs), plain)
    assert np.abs(network.apply(variables, X, T, train=True, rngs=rngs) - plain).max() > 1e-3
