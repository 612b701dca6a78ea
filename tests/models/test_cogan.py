"""CoGAN: what is shared and what is not, counts of the paper's networks, pairs and domains."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgen.config import ConfigError
from jaxgen.methods.coupled import Coupled
from jaxgen.models.gans.cogan import Discriminator, Generator
from jaxgen.ops.domains import DOMAINS, edges, negatives
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
DIGITS = DataSpec.of("digits", (8, 8, 1), 17, num_classes=10)
BATCH = {"x": jnp.asarray(RANDOM.randint(0, 17, (8, 8, 8, 1)), jnp.uint8)}


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_parameter_counts_of_28_pixels():
    """Five layers of the generators, of which both make the last; LeNet, whose first both make."""
    size = (2, 28, 28, 2)
    init = functools.partial(Generator().init_with_output, size=size)
    x, made = jax.eval_shape(init, KEY, jnp.zeros((2, 100)))
    shared = 101 * 16 * 1024 + sum(9 * a * b + b for a, b in ((1024, 512), (512, 256), (256, 128)))
    assert x.shape == size
    assert count(made) == shared + 4 + 2 * (6 * 6 * 128 + 1)
    logits, judged = jax.eval_shape(Discriminator().init_with_output, KEY, x)
    assert logits.shape == (4,)
    own, both = 2 * (25 * 20 + 20), 25 * 20 * 50 + 50 + (4 * 4 * 50 + 1) * 500 + 1 + 501
    assert count(judged) == own + both


@pytest.fixture(scope="module")
def game():
    method = Coupled(Generator(3, (4, 4)), Discriminator((3, 4, 5), 3), DIGITS)
    params, variables = jax.jit(method.init)(KEY, BATCH)
    return method, State(jnp.int32(0), params, variables, {}, {})


def test_layers_far_from_the_pixels_are_shared(game):
    """The first image moves its own last layer and all shared ones, never the second's."""
    method, state = game
    z = jax.jit(method.latents, static_argnums=1)(KEY, 4)

    def total(params, k):
        players = state.replace(params=state.params | {"generator": params})
        pair = method.source.apply(players, KEY, z, None)
        return jnp.sum(pair[..., k] ** 2)

    slopes = jax.jit(jax.jacrev(lambda p: jnp.stack([total(p, k) for k in (0, 1)])))
    check_shared(slopes(state.params["generator"]))
    images = jnp.asarray(RANDOM.randn(4, 8, 8, 2))

    def judged(params):
        logits = method.discriminator.apply({"params": params}, images)
        return jnp.sum(logits.reshape(2, 4), axis=1)

    check_shared(jax.jit(jax.jacrev(judged))(state.params["discriminator"]))


def check_shared(slopes):
    """Of both domains' sums by each layer, [2, ...]: own layers have one that is not zero."""
    moved = {
        name: [any(np.any(leaf[k]) for leaf in jax.tree.leaves(tree)) for k in (0, 1)]
        for name, tree in jax.device_get(slopes).items()
    }
    assert moved.pop("first") == [True, False] and moved.pop("second") == [False, True]
    assert moved and all(both == [True, True] for both in moved.values()), moved


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_picture_is_seen_in_both_domains(game, domain):
    method = Coupled(game[0].generator, game[0].discriminator, DIGITS, domain=domain)
    pairs = np.asarray(method.real(BATCH))
    x = np.asarray(method.scaled(BATCH["x"]))
    np.testing.assert_array_equal(pairs[..., :1], x[::2])
    np.testing.assert_allclose(pairs[..., 1:], DOMAINS[domain](jnp.asarray(x[1::2])), atol=1e-6)
    with pytest.raises(ValueError, match="a batch of 3 is not of two domains"):
        method.real({"x": BATCH["x"][:3]})


def test_domains():
    """Outlines against SciPy's dilation; negatives of negatives."""
    x = RANDOM.rand(2, 6, 7, 2).astype(np.float32) * 2 - 1
    grown = scipy.ndimage.grey_dilation(x, (1, 3, 3, 1), mode="constant", cval=-np.inf)
    np.testing.assert_allclose(edges(jnp.asarray(x)), grown - x - 1, atol=1e-6)
    np.testing.assert_array_equal(negatives(negatives(jnp.asarray(x))), x)
    flat = jnp.full((1, 4, 4, 1), 0.3)
    np.testing.assert_allclose(edges(flat), -1, atol=1e-6)


class Pairs(nn.Module):
    """Two of eight pictures and what the domain makes of them, or of another."""

    strange: bool = False
    latent: int = 1

    @nn.compact
    def __call__(self, z, size, cond=None):
        x = jnp.sign(jax.random.normal(jax.random.key(5), (len(z), 8, 8, 1)))
        return jnp.concatenate([x, edges(jnp.roll(x, 1, 0) if self.strange else x)], -1)


@pytest.mark.parametrize("strange", [False, True])
def test_agreement(strange):
    method = Coupled(Pairs(strange), Discriminator((3, 4, 5), 3), DIGITS)
    state = State(jnp.int32(0), {"generator": {}}, {"generator": {}}, {}, {})
    found = {k: float(jnp.mean(v)) for k, v in method.evaluate(state, BATCH, KEY).items()}
    assert {"energy_score", "second_energy_score", "recall", "second_recall"} < set(found)
    assert (found["agreement"] == 1) == (not strange)
    assert found["agreement_of_strangers"] < 0.9


def test_samples_of_pairs_and_of_one_domain(game):
    method, state = game
    domains = ("first", "second")

    @jax.jit
    def found(state):
        return method.sample(state, KEY, 5), [
            method.sample(state, KEY, 5, domain=domain) for domain in domains
        ]

    pairs, each = jax.device_get(found(state))
    assert pairs.shape == (5, 8, 16, 1) and pairs.dtype == np.uint8
    for k, one in enumerate(each):
        np.testing.assert_array_equal(one, pairs[:, :, 8 * k : 8 * k + 8])
    with pytest.raises(ConfigError, match="unknown domain 'secnd': did you mean 'second'"):
        method.sample(state, KEY, 5, domain="secnd")


def test_real_levels_of_pairs(game):
    """Between which there are paths; rounded, they are the pairs."""
    method, state = game

    @jax.jit
    def found(state):
        z = method.latents(KEY, 5)
        return method.decode(state, z, rounded=False), method.decode(state, z)

    real, rounded = map(np.asarray, found(state))
    assert len(np.unique(real % 1)) > 100
    np.testing.assert_array_equal(rounded, np.clip(np.rint(real), 0, 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"domain": "edge"}, "domain in config.method 'edge': did you mean 'edges'"),
        ({"given": ("label",)}, "neither given anything nor packed"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        Coupled(Generator(3, (4, 4)), Discriminator(), DIGITS, **options)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match="images of 8x8 are smaller than 13x13, which 3 layers"):
        init = functools.partial(Generator(3, (4, 4, 4)).init, size=(1, 8, 8, 2))
        jax.eval_shape(init, KEY, jnp.zeros((1, 3)))
