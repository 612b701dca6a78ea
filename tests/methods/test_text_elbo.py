"""The bound of texts: a mass over all texts, greedy writing by hand, properties beside it."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.text_elbo import TextELBO
from jaxgen.models.vaes.molecule_vae import MoleculeVAE, TransformerMoleculeVAE
from jaxgen.types import DataSpec, Field, State, Units

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(1)
T, WORDS = 4, 3
UNITS = Units((1.0, 2.0), (3.0, 0.5))
TEXT = Field("tokens", (T,), "uint8", vocabulary=WORDS, words=("<pad>", "C", "O"), spelled=True)
NUMBERS = Field("vector", (2,), names=("a", "b"), units=UNITS)
SPEC = DataSpec("texts", {"x": TEXT, "properties": NUMBERS})
EVERY = np.array([*itertools.product(range(WORDS), repeat=T)], np.uint8)
NETWORK = dict(latent=2, channels=(4,), kernels=(2,), hidden=5, predictor=(4, 4), dropout=0.0)
NETWORK |= dict(predictor_dropout=0.0)
MODELS = (
    MoleculeVAE(**NETWORK, width=6, depth=1, recurrent_dropout=0.0),
    TransformerMoleculeVAE(**NETWORK, width=8, depth=1, heads=2),
)


def batch_of(x):
    numbers = RANDOM.randn(len(x), 2).astype(np.float32)
    return {"x": jnp.asarray(x), "properties": jnp.asarray(numbers)}


PARAMS = [pytest.param(MODELS[0], marks=pytest.mark.slow), MODELS[1]]


@pytest.fixture(scope="module", params=PARAMS, ids=lambda m: type(m).__name__)
def made(request):
    method = TextELBO(request.param, SPEC, properties="properties", weight=2.0)
    params, variables = jax.jit(method.init)(KEY, batch_of(EVERY))
    leaves, tree = jax.tree.flatten(params)
    leaves = [jnp.asarray(0.5 * RANDOM.randn(*leaf.shape), jnp.float32) for leaf in leaves]
    return method, State(jnp.int32(0), tree.unflatten(leaves), variables, {}, {})


def test_masses_of_all_texts_sum_to_one(made):
    """Given one z: what any text of the posterior is, does not matter."""
    method, state = made
    z = np.broadcast_to(RANDOM.randn(1, 2).astype(np.float32), (len(EVERY), 2))
    h = method.player.apply(state, jnp.asarray(EVERY), method="bottom_up")
    draw = method.top_down(state, h, len(EVERY), None, KEY, given=(jnp.asarray(z),))
    log_p = method.decoder.log_prob(jnp.asarray(EVERY), draw.theta)
    np.testing.assert_allclose(np.exp(np.asarray(log_p, np.float64)).sum(), 1, atol=1e-4)


def test_the_bound_is_reconstruction_and_divergence(made):
    method, state = made
    batch = batch_of(EVERY[::5])
    found = method.evaluate(state, batch, KEY)
    h = method.player.apply(state, batch["x"], method="bottom_up").posterior
    mean, std = (np.asarray(v, np.float64) for v in (h.mean, np.exp(h.log_std)))
    kl = 0.5 * (std**2 + mean**2 - 1 - 2 * np.log(std)).sum(-1)
    np.testing.assert_allclose(found["kl"], kl, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["nelbo"], found["reconstruction"] + found["kl"], rtol=1e-5)
    said = np.asarray(method.player.apply(state, h.mean, method="predict"))
    own = UNITS.outward(said) - UNITS.outward(np.asarray(batch["properties"]))
    np.testing.assert_allclose(found["a_error"], np.abs(own[:, 0]), rtol=1e-4)
    np.testing.assert_allclose(found["b_error"], np.abs(own[:, 1]), rtol=1e-4)


def test_decoding_takes_the_likeliest_after_what_it_has_written(made):
    method, state = made
    z = jnp.asarray(RANDOM.randn(6, 2), jnp.float32)
    h = method.player.apply(state, jnp.zeros((6, T), jnp.uint8), method="bottom_up")
    x = np.zeros((6, T), np.uint8)
    for t in range(T):
        draw = method.top_down(state, h._replace(x=jnp.asarray(x)), 6, None, KEY, given=(z,))
        x[:, t] = np.asarray(draw.theta).reshape(6, T, WORDS)[:, t].argmax(-1)
    np.testing.assert_array_equal(method.decode(state, (z,)), x)
    (mean,) = method.encode(state, jnp.asarray(x), KEY)
    again = method.reconstruct(state, jnp.asarray(x), KEY)
    np.testing.assert_array_equal(again, method.decode(state, (mean,)))
    assert again.dtype == np.uint8


def test_draws_have_the_masses_of_the_model(made):
    """Of the first two characters: the mean mass over draws of z, by its own latents."""
    method, state = made
    num = 4000
    drawn = np.asarray(jax.jit(method.sample, static_argnums=2)(state, KEY, num))
    z = jax.random.normal(jax.random.split(KEY)[0], (num, 2))
    shares, masses = [], []
    for first, second in itertools.product(range(WORDS), repeat=2):
        x = np.zeros((num, T), np.uint8)
        x[:, :2] = first, second
        h = method.player.apply(state, jnp.asarray(x), method="bottom_up")
        theta = method.top_down(state, h, num, None, KEY, given=(z,)).theta.reshape(num, T, WORDS)
        p = np.asarray(jax.nn.softmax(theta))
        masses.append((p[:, 0, first] * p[:, 1, second]).mean())
        shares.append(((drawn[:, 0] == first) & (drawn[:, 1] == second)).mean())
    np.testing.assert_allclose(np.sum(masses), 1, atol=1e-5)
    assert np.abs(np.subtract(shares, masses)).max() < 4 * 0.5 / np.sqrt(num)


def test_properties_move_the_encoder_and_their_own_statistics(made):
    method, state = made
    batch = batch_of(EVERY[::3])

    @functools.partial(jax.jit, static_argnums=1)
    @functools.partial(jax.value_and_grad, has_aux=True)
    def penalty(params, weight):
        loss, (moved, metrics) = TextELBO(
            method.model, SPEC, properties="properties", weight=weight, beta=0.0
        ).loss(state.replace(params=params), batch, KEY)
        return loss, (moved, metrics)

    (with_it, (moved, metrics)), grad = penalty(state.params, 3.0)
    (without, _), plain = penalty(state.params, 0.0)
    np.testing.assert_allclose(with_it - without, 3 * metrics["property_error"], rtol=1e-4)
    apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), grad, plain)["model"]
    assert max(jax.tree.leaves(apart["mean"])) > 1e-4
    assert max(jax.tree.leaves(apart["predicts"])) > 1e-4
    assert max(jax.tree.leaves(apart["writer"])) < 1e-5
    stats, before = (v["model"]["batch_stats"]["predicts"] for v in (moved, state.vars))
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a != b).any()), stats, before)))
    encoder = moved["model"]["batch_stats"]["encoder"]
    assert jax.tree.structure(encoder) == jax.tree.structure(
        state.vars["model"]["batch_stats"]["encoder"]
    )


def test_what_does_not_fit_is_refused():
    digits = DataSpec.of("digits", (8, 8, 1), 17)
    with pytest.raises(ConfigError, match="digits has image"):
        TextELBO(MODELS[0], digits)
    with pytest.raises(ConfigError, match="properties=size: texts has no such numbers"):
        TextELBO(MODELS[0], SPEC, properties="size")
    with pytest.raises(ConfigError, match=r"given=\('properties',\)"):
        TextELBO(MODELS[0], SPEC, given=("properties",))
    with pytest.raises(ConfigError, match="vocabulary=7, and texts has 3"):
        TextELBO(MODELS[0].clone(vocabulary=7), SPEC)
