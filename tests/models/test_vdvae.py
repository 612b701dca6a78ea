"""The very deep VAE: published sizes, who sees what, and draws that decode to themselves."""

import importlib.util
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from away import scrambled

from jaxgen.methods.elbo import ELBO
from jaxgen.models.vaes.vdvae import VDVAE, Block
from jaxgen.types import DataSpec, State

ROOT = pathlib.Path(__file__).parents[2]
KEY = jax.random.key(0)
STAGES = dict(encoder=((2, 2), (1, 1)), decoder=((1, 1), (2, 2)))  # all 1x1: quick to compile
SIZE = (3, 2, 2, 3)
X = jnp.asarray(np.random.RandomState(0).rand(3, 2, 2, 1))
BATCH = {"x": jnp.full((8, 1, 1, 1), 14, jnp.uint8)}


def draw(model, variables, h, given=None, temperature=1.0, seed=2):
    """top_down, with a key."""
    rngs = {"latent": jax.random.key(seed)}
    options = dict(given=given, temperature=temperature, rngs=rngs, method="top_down")
    return model.apply(variables, h, SIZE, **options)


@pytest.fixture(scope="module")
def one():
    """A model, its first variables, others, and compiled: both passes, the prior's pass."""
    model = VDVAE(**STAGES, width=8, latent=2)

    @jax.jit
    def init(key, x):
        return model.init({"params": key, "latent": key}, x, SIZE)

    @jax.jit
    def posterior(variables, x):
        return draw(model, variables, model.apply(variables, x, method="bottom_up"))

    @jax.jit
    def prior(variables, given, temperature, seed):
        return draw(model, variables, None, given, temperature, seed)

    first = init(KEY, X)
    return model, first, scrambled(first, 0.2), posterior, prior


def count(name):
    """Parameters and groups of a preset of the config."""
    spec = importlib.util.spec_from_file_location("config", ROOT / "configs/vdvae.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    options = module.get_config(name).model.to_dict()
    del options["name"]
    model, side = VDVAE(**options), options["encoder"][0][0]
    x = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)

    def init(key, x):
        return model.init({"params": key, "latent": key}, x, (2, side, side, 100))

    shapes = jax.eval_shape(init, KEY, x)["params"]
    return sum(leaf.size for leaf in jax.tree.leaves(shapes)), sum(n for _, n in model.decoder)


@pytest.mark.parametrize(
    ("name", "parameters", "groups"),
    [
        ("cifar10", 39_145_700, 43),
        pytest.param("imagenet32", 119_280_868, 78, marks=pytest.mark.slow),
        pytest.param("imagenet64", 125_005_860, 75, marks=pytest.mark.slow),
        pytest.param("ffhq256", 114_874_852, 66, marks=pytest.mark.slow),
    ],
)
def test_recipes_have_as_many_parameters_as_the_official_models(name, parameters, groups):
    assert count(name) == (parameters, groups)


def test_the_first_prior_is_standard_and_the_divergence_small(one):
    _, first, _, posterior, prior = one
    group = jax.tree.map(np.asarray, prior(first, None, 1.0, 3))
    standard = sum(np.sum(-0.5 * (z**2 + np.log(2 * np.pi)), (1, 2, 3)) for z in group.z)
    np.testing.assert_allclose(group.log_p, standard, rtol=1e-5)
    assert [z.shape for z in group.z] == [(3, 1, 1, 2), (3, 2, 2, 2), (3, 2, 2, 2)]
    assert group.kl == ()
    kl = posterior(first, X).kl
    assert [k.shape for k in kl] == [(3, 2)] * 3
    assert 0 < sum(float(np.sum(k)) for k in kl) / 3 < 9  # of 18 latents


def test_posterior_latents_given_to_the_prior_decode_to_themselves(one):
    """The two passes share the decoder, and only the posterior has seen x."""
    _, _, moved, posterior, prior = one
    there = posterior(moved, X)
    back = prior(moved, there.z, 1.0, 3)
    np.testing.assert_allclose(back.theta, there.theta, atol=1e-4)
    np.testing.assert_allclose(back.log_p, there.log_p, rtol=1e-4)
    assert np.ptp(np.asarray(there.log_q)) > 0 and not np.any(back.log_q)


def test_latents_given_in_part_are_kept_and_the_rest_is_drawn(one):
    _, _, moved, _, prior = one
    whole = prior(moved, None, 1.0, 3)
    given = (whole.z[0], whole.z[1], None)
    a, b = (jax.tree.map(np.asarray, prior(moved, given, 1.0, seed)) for seed in (4, 5))
    for draws in (a, b):
        for i in range(2):
            np.testing.assert_array_equal(draws.z[i], whole.z[i])
    assert np.abs(a.z[2] - b.z[2]).min() > 0


def test_temperature_scales_the_noise_of_the_prior(one):
    """At 0 no draw is random; the first group's noise is proportional to it."""
    _, _, moved, _, prior = one
    cold, again, half, full = (
        jax.tree.map(np.asarray, prior(moved, None, *o))
        for o in ((0.0, 1), (0.0, 2), (0.5, 3), (1.0, 3))
    )
    np.testing.assert_array_equal(cold.theta, again.theta)
    noise = full.z[0] - cold.z[0]
    np.testing.assert_allclose(half.z[0] - cold.z[0], 0.5 * noise, atol=1e-5)


def test_the_block_is_the_papers():
    """Against the formula: x is activated first, the last convolution is linear."""
    block = Block(middle=3, features=2, local=True)
    x = np.random.RandomState(0).randn(2, 3, 3, 4).astype(np.float32)
    variables = scrambled(jax.jit(block.init)(KEY, x), 0.3)
    h = x
    for name in ("c0", "c1", "c2", "c3"):
        p = jax.tree.map(np.asarray, variables["params"][name])
        h = h * scipy.stats.norm.cdf(h) @ p["kernel"][0, 0] + p["bias"]  # GELU
    np.testing.assert_allclose(jax.jit(block.apply)(variables, x), h, atol=1e-5)


@pytest.fixture(scope="module")
def learning():
    """Of each kind of memory: the method, and its loss with the gradient, on images of a pixel."""
    found, spec = {}, DataSpec.of("pixels", (1, 1, 1), 17)
    for memory in ("store", "remat"):
        model = VDVAE(((1, 2),), ((1, 2),), width=8, latent=2, memory=memory)
        method = ELBO(model, spec, "logistic", per_dim=True)

        def loss(params, batch, key, method=method):
            return method.loss(State(jnp.int32(0), params, {"model": {}}, {}, {}), batch, key)[0]

        found[memory] = method, jax.jit(jax.value_and_grad(loss))
    return found


@pytest.mark.slow
def test_recomputed_activations_give_the_same_gradient(learning):
    batch, (method, gradient) = BATCH, learning["store"]
    params = scrambled(jax.jit(method.init)(KEY, batch)[0], 0.1)
    kept, again = gradient(params, batch, KEY), learning["remat"][1](params, batch, KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), kept, again)
    largest = [float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(kept[1])]
    assert min(largest) > 0


@pytest.mark.slow
def test_it_learns(learning):
    """That a pixel is always bright, in 20 steps."""
    batch, (method, gradient) = BATCH, learning["store"]
    params, _ = jax.jit(method.init)(KEY, batch)
    adam = optax.adam(5e-2)
    memory, losses = adam.init(params), []
    for step in range(20):
        value, grads = gradient(params, batch, jax.random.key(step))
        updates, memory = adam.update(grads, memory)
        params = optax.apply_updates(params, updates)
        losses.append(float(value))
    assert np.isfinite(losses).all()
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_channels_are_cut_towards_the_image_and_padded_towards_the_top():
    model = VDVAE(**STAGES, width=4, latent=2, widths=((1, 8),))
    variables = jax.eval_shape(
        lambda key: model.init({"params": key, "latent": key}, X, SIZE), KEY
    )["params"]
    assert variables["start_1"].shape == (1, 1, 8) and variables["start_2"].shape == (2, 2, 4)
    bad = VDVAE(**STAGES, width=8, latent=2, widths=((1, 4),))
    with pytest.raises(ValueError, match="expected at least 8 channels above, got 4"):
        jax.eval_shape(lambda key: bad.init({"params": key, "latent": key}, X, SIZE), KEY)


@pytest.mark.parametrize(
    ("options", "cond", "message"),
    [
        ({}, jnp.zeros((3, 2)), "takes no condition"),
        ({"memory": "invert"}, None, "memory='invert', expected one of"),
        ({"encoder": ((2, 2), (3, 1))}, None, "expected resolutions that divide each other"),
        ({"encoder": ((4, 2), (2, 1))}, None, "got images of 2x2"),
        ({"encoder": ((2, 2),)}, None, r"resolutions \[1\] are not of the encoder"),
    ],
)
def test_mistakes_are_named(options, cond, message):
    model = VDVAE(**(STAGES | options), width=8, latent=2)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda key: model.init(key, X, SIZE, cond), KEY)
