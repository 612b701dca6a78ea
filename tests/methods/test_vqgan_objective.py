"""The game around an autoencoder: adaptive weight, start, what each player's loss moves."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.abilities import Coded, Density
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods import perceptual
from jaxgen.methods.judging import adaptive_weight
from jaxgen.methods.vqgan import VQGAN
from jaxgen.nn.classifier import Classifier
from jaxgen.nn.codebook import Codebook
from jaxgen.nn.codes import Coding, Map
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("squares", (4, 4, 1), 17)
X = jnp.asarray(np.random.RandomState(0).randint(0, 17, (6, 4, 4, 1)), jnp.uint8)


class Scale(nn.Module):
    """Codes of pixels; the image is one number times them."""

    last = ("out", "kernel")

    def setup(self):
        self.book = Codebook(4, 1, learned="gradient", start="kmeans")
        self.out = nn.Dense(1, use_bias=False)

    @nn.nowrap
    def maps(self, shape):
        return {"codes": Map(*shape[:2], 1, 4)}

    def __call__(self, x, size, train=False):
        found = self.book(x, train)
        return Coding(self.out(found.q), {"codes": found})

    def encode(self, x):
        return {"codes": self.book(x).ids}

    def decode(self, ids, size):
        return self.out(self.book.lookup(ids["codes"]))


class Judge(nn.Module):
    """One number times the pixels."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1, use_bias=False)(x)[..., 0]


METHOD = VQGAN(Scale(), SPEC, discriminator=Judge(), start_steps=3, warmup_steps=3)


@pytest.fixture(scope="module")
def state():
    params, variables = jax.jit(METHOD.init)(KEY, {"x": X})
    return State(jnp.int32(10), params, variables, {}, {})


def test_the_weight_makes_both_slopes_equal():
    """Up to the bounds; it does not change where both losses are scaled alike."""
    a, b = jnp.asarray([3.0, 4.0]), jnp.asarray([0.0, 0.5])
    np.testing.assert_allclose(adaptive_weight(a, b), 5 / 0.5001, rtol=1e-6)
    np.testing.assert_allclose(adaptive_weight(7e3 * a, 7e3 * b), 10, rtol=1e-6)
    np.testing.assert_allclose(adaptive_weight(a, 0 * b), 1e4)
    assert adaptive_weight(0 * a, b) == 0
    slopes = jax.grad(lambda a, b: adaptive_weight(a, b), (0, 1))(a, b)
    assert not any(np.any(slope) for slope in slopes)


def truth(state, weight):
    """The loss of the one-parameter decoder in NumPy, and its slope by that parameter."""
    out = float(state.params["model"]["out"]["kernel"][0, 0])
    judge = float(state.params["discriminator"]["Dense_0"]["kernel"][0, 0])
    table = np.asarray(state.params["model"]["book"]["table"], np.float64).ravel()
    x = np.asarray(X, np.float64).ravel() / 16
    q = table[np.abs(x[:, None] - table[None]).argmin(1)]
    error = (2 * x - 1) - (2 * out * q - 1)
    of_nll = np.mean(-np.sign(error) * 2 * q)
    of_game = np.mean(-judge * 2 * q)
    balance = np.clip(np.abs(of_nll) / (np.abs(of_game) + 1e-4), 0, 1e4)
    nll, game = np.abs(error).mean(), -np.mean(judge * (2 * out * q - 1))
    quantised = 1.25 * np.mean((x - q) ** 2)
    total = nll + weight * balance * game + quantised
    return total, of_nll + weight * balance * of_game, balance, q


@pytest.mark.parametrize(
    ("step", "share"), [(2, 0), (3, 0.25), (5, 0.75), (6, 1), (100, 1)], ids=str
)
def test_loss_and_slope_of_a_decoder_with_one_parameter(state, step, share):
    """Before the start, in the warm-up and after it; the game weighs 0.8."""
    method = dataclasses.replace(METHOD, game_weight=0.8)
    now = state.replace(step=jnp.int32(step))

    @jax.jit
    def both(params):
        return jax.value_and_grad(
            lambda p: method.loss(now.replace(params=p), {"x": X}, KEY), has_aux=True
        )(params)

    (total, (_, metrics)), grads = both(state.params)
    expected, slope, balance, _ = truth(state, 0.8 * share)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["weight"], 0.8 * share * balance, rtol=1e-4)
    np.testing.assert_allclose(grads["model"]["out"]["kernel"][0, 0], slope, rtol=1e-4, atol=1e-7)
    if share:
        without = truth(state, 0.0)[1]
        assert abs(slope - without) > 1e-3  # the game is seen


def test_the_discriminator_learns_from_the_start_on(state):
    @jax.jit
    def paid(state):
        return jax.value_and_grad(
            lambda p: METHOD.discriminator_loss(state.replace(params=p), {"x": X}, KEY)[0]
        )(state.params)

    early, slopes = paid(state.replace(step=jnp.int32(2)))
    assert early == 0 and not any(np.any(g) for g in jax.tree.leaves(slopes))
    late, slopes = paid(state.replace(step=jnp.int32(3)))
    out = float(state.params["model"]["out"]["kernel"][0, 0])
    judge = float(state.params["discriminator"]["Dense_0"]["kernel"][0, 0])
    real = 2 * np.asarray(X, np.float64).ravel() / 16 - 1
    fake = 2 * out * truth(state, 0)[3] - 1
    hinges = np.maximum(1 - judge * real, 0).mean() + np.maximum(1 + judge * fake, 0).mean()
    np.testing.assert_allclose(late, 0.5 * hinges, rtol=1e-5)
    assert np.any(slopes["discriminator"]["Dense_0"]["kernel"])
    assert not any(np.any(g) for g in jax.tree.leaves(slopes["model"]))


def test_errors_of_evaluation_and_no_likelihood(state):
    check(METHOD)
    assert isinstance(METHOD, Coded) and not isinstance(METHOD, Density)
    found = jax.jit(METHOD.evaluate)(state, {"x": X}, KEY)
    back = np.asarray(METHOD.reconstruct(state, X, KEY), np.float64) / 16
    off = (np.clip(back, 0, 1) - np.asarray(X) / 16).reshape(6, -1)
    np.testing.assert_allclose(found["absolute"], np.abs(off).mean(1), rtol=1e-5)
    np.testing.assert_allclose(found["distortion"], np.square(off).mean(1), rtol=1e-5)
    with pytest.raises(ConfigError, match="has no likelihood of integers"):
        METHOD.code_log_prob(state, X, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(discriminator=None), "config.model.discriminator is missing"),
        (dict(observation="categorical"), "config.method.observation='categorical': omit it"),
        (dict(perceptual="vgg"), "config.method.perceptual='vgg', expected one of"),
        (dict(perceptual="lpips"), "takes grey or colour images of at least 16x16, squares has"),
        (dict(perceptual="classifier"), "--config.method.perceptual_weights=FILE"),
    ],
    ids=str,
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(METHOD, **options)


def test_the_classifier_stands_in_for_the_perceptual_distance(tmp_path):
    """Zero of equal images, about one of unlike ones; another file is refused in one line."""
    params = Classifier(3, 8).init(KEY, jnp.zeros((1, 8, 8, 1)))["params"]
    flat = {
        "/".join(k.key for k in path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
    }
    np.savez(tmp_path / "weights.npz", about="{}", **flat)
    distance = perceptual.distance("classifier", str(tmp_path / "weights.npz"))
    x = jnp.asarray(np.random.RandomState(1).rand(40, 8, 8, 1) * 2 - 1, jnp.float32)
    found = jax.jit(lambda x: (distance(x, x), distance(x, x[::-1])))(x)
    np.testing.assert_array_equal(found[0], np.zeros(40))
    np.testing.assert_allclose(np.mean(found[1]), 1, rtol=0.1)
    np.savez(tmp_path / "other.npz", about="{}", x=np.zeros(3))
    with pytest.raises(ConfigError, match="other.npz: no weights of a classifier"):
        perceptual.distance("classifier", str(tmp_path / "other.npz"))
