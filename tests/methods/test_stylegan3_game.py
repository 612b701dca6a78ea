"""Averages of a StyleGAN3 move in the discriminator's turn alone; moved images have units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny

KEY = jax.random.key(0)


@pytest.mark.slow
def test_turns_and_moves(data_root):
    made = tiny("stylegan3", data_root, 4)
    method, state = made.method, made.state
    batch = {k: jnp.asarray(v) for k, v in made.batch.items()}
    before = state.vars["generator"]["moments"]
    _, (variables, _) = jax.jit(method.generator_loss)(state, batch, KEY)
    still = jax.tree.map(np.array_equal, variables["generator"]["moments"], before)
    assert all(jax.tree.leaves(still))
    _, (variables, _) = jax.jit(method.discriminator_loss)(state, batch, KEY)
    moved = variables["generator"]["moments"]
    assert moved["mapping"]["mean"].any()
    for name, layer in moved["synthesis"].items():
        assert layer["magnitude"] != before["synthesis"][name]["magnitude"]
    w = jax.random.normal(KEY, (2, method.generator.style))
    render = jax.jit(method.render, static_argnames="rounded")
    same = jax.jit(method.moved, static_argnames="rounded")(state, w, jnp.eye(3), rounded=False)
    np.testing.assert_allclose(same, render(state, w, rounded=False), atol=1e-2)
    assert same.shape == (2, 32, 32, 3) and float(jnp.std(same)) > 0


@pytest.mark.slow
def test_styles_of_layers_give_the_image_again(data_root):
    made = tiny("stylegan3", data_root, 4)
    method, state = made.method, made.state
    w = jax.random.normal(KEY, (3, method.middle(state).shape[0]))
    channels = jax.jit(method.channels_of)(state, w)
    assert channels.shape == (3, len(method.style_weights(state)))
    render = jax.jit(lambda state, s: method.render_channels(state, s, False))
    plain = jax.jit(lambda state, w: method.render(state, w, False))(state, w)
    np.testing.assert_allclose(render(state, channels), plain, atol=1e-3)
    assert np.abs(render(state, channels.at[1].add(1.0)) - plain)[1].max() > 0.1
