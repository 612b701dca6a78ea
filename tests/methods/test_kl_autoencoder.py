"""The autoencoder of normal latents: its losses by hand, its sizes, with and without a judge."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.abilities import Density, Encodes, Latents, Restores
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods.kl_autoencoder import KLAutoencoder
from jaxgen.models.vaes.kl_autoencoder import KLAutoencoder as Network
from jaxgen.nn.latents import Normal
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("squares", (4, 4, 1), 17)
X = jnp.asarray(np.random.RandomState(0).randint(0, 17, (6, 4, 4, 1)), jnp.uint8)
NETWORK = Network(width=4, multipliers=(1, 1), blocks=1, latent=2)
METHOD = KLAutoencoder(NETWORK, SPEC, kl_weight=0.5)


class Judge(nn.Module):
    """A number of each pixel."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(1)(x)[..., 0]


JUDGED = dataclasses.replace(METHOD, discriminator=Judge(), start_steps=3)


def state_of(method, step=10):
    params, variables = jax.jit(method.init)(KEY, {"x": X})
    return State(jnp.int32(step), params, variables, {}, {})


@pytest.fixture(scope="module")
def state():
    return state_of(METHOD)


def test_parameters_of_the_official_networks():
    """Encoder, decoder and all of f = 8 (Rombach et al. 2022), as Stable Diffusion has it."""
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    shapes = jax.eval_shape(Network().init, KEY, x)["params"]
    count = {k: sum(leaf.size for leaf in jax.tree.leaves(v)) for k, v in shapes.items()}
    assert count["encoder"] == 34_163_592 and count["decoder"] == 49_490_179
    assert sum(count.values()) == 83_653_863


def test_the_loss_is_the_distance_and_a_little_divergence(state):
    """In the limit of no variance the draw of training is the mean that evaluation shows."""
    params = jax.tree.map(lambda a: a, state.params)
    bias = params["model"]["to_moments"]["bias"]
    params["model"]["to_moments"]["bias"] = bias.at[2:].set(-40.0)
    state = state.replace(params=params)
    loss, (_, metrics) = jax.jit(METHOD.loss)(state, {"x": X}, KEY)
    posterior = METHOD.player.apply(state, X / 8.0 - 1, method="posterior")
    mean, log_std = (np.asarray(a, np.float64) for a in posterior)
    assert (log_std == -15).all()
    kl = 0.5 * (np.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum((1, 2, 3)).mean()
    near = np.abs(np.asarray(METHOD.shown(state, X)) - (np.asarray(X) / 8 - 1)).mean()
    np.testing.assert_allclose(metrics["kl"], kl, rtol=1e-5)
    np.testing.assert_allclose(loss, near + 0.5 * kl / 16, rtol=1e-5)


def test_training_draws_with_the_deviation_of_the_posterior(state):
    normal = Normal(jnp.full((2000, 1), 3.0), jnp.full((2000, 1), np.log(0.5)))
    draws = np.asarray(normal.sample(KEY))
    np.testing.assert_allclose((draws.mean(), draws.std()), (3, 0.5), atol=0.05)
    x, rngs = X / 8.0 - 1, {"latent": KEY}
    shown = METHOD.player.apply(state, x, train=True, rngs=rngs)[0]
    assert np.abs(shown - METHOD.player.apply(state, x)[0]).max() > 1e-3


def test_latents_and_back(state):
    check(METHOD)
    for ability in (Encodes, Latents, Restores):
        assert isinstance(METHOD, ability)
    assert not isinstance(METHOD, Density)
    z = METHOD.encode(state, X, KEY)
    assert z.shape == METHOD.latents(KEY, 6).shape == (6, 2, 2, 2)
    back = METHOD.decode(state, z)
    np.testing.assert_allclose(back, METHOD.reconstruct(state, X, KEY), atol=1e-5)
    assert METHOD.decode(state, z, rounded=True).dtype == jnp.uint8
    values = METHOD.evaluate(state, {"x": X}, KEY)
    off = np.clip(np.asarray(back), 0, 16) - np.asarray(X)
    np.testing.assert_allclose(values["absolute"], np.abs(off / 16).mean((1, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(values["distortion"], ((off / 16) ** 2).mean((1, 2, 3)), rtol=1e-4)


@pytest.mark.slow
def test_a_judge_moves_after_its_start():
    early, late = state_of(JUDGED, step=0), state_of(JUDGED, step=3)
    assert [turn.player for turn in JUDGED.turns] == ["model", "discriminator"]
    loss = jax.jit(JUDGED.discriminator_loss)
    assert loss(early, {"x": X}, KEY)[0] == 0 and loss(late, {"x": X}, KEY)[0] > 0.5
    total = jax.jit(JUDGED.loss)
    for state, plain in ((early, True), (late, False)):
        found, (_, metrics) = total(state, {"x": X}, KEY)
        kl = 0.5 * metrics["kl"] / 16
        assert np.isclose(found, metrics["absolute"] + kl, rtol=1e-5) == plain


def test_wrong_use():
    with pytest.raises(ConfigError, match="perceptual: a discriminator belongs to it"):
        dataclasses.replace(METHOD, perceptual="lpips")
    with pytest.raises(ConfigError, match="has no images of grey levels"):
        KLAutoencoder(NETWORK, DataSpec.of("plane", (2,), None))
    with pytest.raises(ValueError, match="5x4 cannot be halved between 2 levels: expected multi"):
        NETWORK.latent_shape((5, 4, 1))
    with pytest.raises(ValueError, match="kl_weight=-1"):
        dataclasses.replace(METHOD, kl_weight=-1)
