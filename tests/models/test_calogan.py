"""CaloGAN: counts by Keras' shapes, layers by naive loops, the weighting between layers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.conserving import Conserving
from jaxgen.models.gans import calogan
from jaxgen.models.gans.calogan import Attention, Discriminator, Generator, LocallyConnected, Near
from jaxgen.ops.calorimeter import CELLS, LAYERS
from jaxgen.types import DataSpec, Field, State

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
FIELDS = {"x": Field("vector", (CELLS,)), "context": Field("vector", (1,), names=("energy",))}
LABEL = Field("label", dtype="int32", classes=2)
BOTH = DataSpec("showers", FIELDS | {"label": LABEL})
SIZE = (4, CELLS)


def count(variables):
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def of_generator(rows, columns, latent):
    """Keras' layers, from the official code: dense, conv, batch norm, two locally connected."""
    wide = (rows + 2) * (columns + 2) * 36
    found = (latent + 1) * wide + (4 * 36 * 16 + 16) + 2 * 16
    found += (rows + 1) * (columns + 1) * (4 * 16 * 6 + 6)
    return found + rows * columns * 4 * 6


def of_discriminator(rows, columns):
    """The same, and how many features there are."""
    found = 4 * 64 + 64
    columns = (columns + 2 - 3) // 2 + 1
    found += rows * columns * (9 * 64 * 16 + 16) + 2 * 16
    rows, columns = rows + 1, columns + 1
    found += rows * columns * (4 * 16 * 8 + 8) + 2 * 8
    rows, columns = rows + 1, (columns + 2 - 2) // 2 + 1
    found += rows * columns * (4 * 8 * 8 + 8) + 2 * 8
    flat = rows * columns * 8
    return found + (flat + 1) * 100 + 2 * 100, flat + 10 + 1 + 10


def test_parameter_counts_of_the_official_sizes():
    parts = [of_generator(*shape, 1024) for shape in LAYERS]
    attention = [rows * columns * (9 * 2 * 2 + 2) for rows, columns in LAYERS[1:]]
    expected = sum(parts) + sum(attention)
    assert (*parts, sum(attention)) == (18_241_584, 7_304_118, 4_172_370, 8_208)
    assert expected == 29_726_280
    init = functools.partial(Generator().init_with_output, size=SIZE, cond=jnp.ones((4, 1)))
    x, made = jax.eval_shape(init, KEY, jnp.zeros((4, 1024)))
    assert x.shape == SIZE and count(made) == expected
    counts, features = zip(*(of_discriminator(*shape) for shape in LAYERS), strict=True)
    expected = sum(counts) + (3 + 1) * 100 + (sum(features) + 3 + 1 + 1 + 1 + 10) + 1
    assert expected == 2_744_332
    judged = jax.eval_shape(Discriminator().init, KEY, x, jnp.ones((4, 1)))
    assert count(judged) == expected


@pytest.mark.parametrize(
    ("window", "stride"), [((2, 2), (1, 1)), ((3, 3), (1, 2)), ((2, 3), (2, 2))]
)
def test_locally_connected_is_a_sum_of_its_own_at_each_position(window, stride):
    x = jnp.asarray(RANDOM.randn(2, 6, 9, 3), jnp.float32)
    layer = LocallyConnected(4, window, stride)
    variables = layer.init(KEY, x)
    params = jax.tree.map(lambda p: RANDOM.randn(*p.shape).astype(np.float32), variables["params"])
    y = layer.apply({"params": params}, x)
    (h, w), (down, right) = window, stride
    assert y.shape == (2, (6 - h) // down + 1, (9 - w) // right + 1, 4)
    for r in range(y.shape[1]):
        for c in range(y.shape[2]):
            patch = x[:, r * down : r * down + h, c * right : c * right + w].reshape(2, -1)
            expected = np.asarray(patch) @ params["kernel"][r, c] + params["bias"][r, c]
            np.testing.assert_allclose(y[:, r, c], expected, atol=1e-4)


def test_what_is_passed_on_hardly_counts_at_first():
    own, passed = (jnp.asarray(RANDOM.randn(2, 12, 6, 1), jnp.float32) for _ in range(2))
    variables = Attention().init(KEY, own, passed)
    still = jax.tree.map(jnp.zeros_like, variables["params"]["local"]["kernel"])
    local = {"kernel": still, "bias": variables["params"]["local"]["bias"]}
    apply = functools.partial(Attention().apply, {"params": {"local": local}})
    mixed, noted = apply(own, passed, mutable=["intermediates"])
    weights = noted["intermediates"]["weights"][0]
    np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-6)
    share = np.exp(-10) / (1 + np.exp(-10))
    np.testing.assert_allclose(weights[..., 1], share, rtol=1e-4)
    np.testing.assert_allclose(mixed, (1 - share) * own + share * passed, atol=1e-6)


def test_layers_are_fitted_to_the_next():
    first = RANDOM.randn(2, 3, 96, 1)
    second = calogan._fitted(jnp.asarray(first), (12, 12))
    expected = first[:, 1, 16:24, 0].mean(1)  # rows 4 to 7 are the second of three
    for row in range(4, 8):
        np.testing.assert_allclose(second[:, row, 2, 0], expected, atol=1e-6)
    third = calogan._fitted(second, (12, 6))
    np.testing.assert_allclose(third[:, 5, 1], (second[:, 5, 2] + second[:, 5, 3]) / 2, atol=1e-6)


def test_nearness_by_hand():
    x = jnp.asarray([[0.0], [0.1], [9.0]])
    near = Near(kernels=2, width=3)
    params = {"project": {"kernel": jnp.ones((1, 6)), "bias": jnp.zeros(6)}}
    found = near.apply({"params": params}, x)
    e = np.exp(-np.abs(np.array([0.3, 27.0, 26.7])))
    expected = np.tanh([1 + e[0] + e[1], 1 + e[0] + e[2], 1 + e[1] + e[2]])
    np.testing.assert_allclose(found, np.stack([expected] * 2, 1), rtol=1e-6)


@pytest.fixture(scope="module")
def game():
    method = Conserving(Generator(4), Discriminator(2), BOTH, given=("label",), energy=0.5)
    x = np.where(RANDOM.rand(6, CELLS) < 0.2, RANDOM.rand(6, CELLS), 0).astype(np.float32)
    batch = {"x": x, "label": np.arange(6, dtype=np.int32) % 2}
    batch["context"] = np.linspace(1, 90, 6, dtype=np.float32)[:, None]
    params, variables = jax.jit(method.init)(KEY, batch)
    return method, State(jnp.int32(0), params, variables, {}, {}), batch


@pytest.mark.slow
def test_the_game(game):
    """The generator pays for energies; sums are seen; showers are given energy and particle."""
    method, state, batch = game
    assert [turn.times for turn in method.turns] == [1, 2]
    loss, (_, shown) = jax.jit(method.generator_loss)(state, batch, KEY)
    free = Conserving(method.generator, method.discriminator, BOTH, given=("label",), energy=0.0)
    without, _ = jax.jit(free.generator_loss)(state, batch, KEY)
    np.testing.assert_allclose(loss - without, 0.5 * shown["energy_error"], rtol=1e-4)
    fake, _ = method.source.train(state, jax.random.split(KEY, 2)[0], 6, method.condition(batch))
    expected = np.abs(np.sum(fake, 1) - batch["context"][:, 0]).mean()
    np.testing.assert_allclose(shown["energy_error"], expected, rtol=1e-4)
    assert float(jnp.min(fake)) >= 0
    z = jnp.ones((2, 4))
    given = {"context": np.array([[50.0], [50.0]]), "label": np.array([0, 1])}
    made = method.decode(state, z, given)
    assert not np.allclose(made[0], made[1])
    same = method.decode(state, z, given | {"label": np.array([0, 0])})
    np.testing.assert_allclose(same[0], same[1], atol=1e-6)


def test_what_the_discriminator_is_told_of_energy(game):
    """Marks beyond 5 GeV, by the output's own weights."""
    _, state, _ = game
    params = jax.tree.map(jnp.zeros_like, state.params["discriminator"])
    kernel = params["out"]["kernel"]
    marks = jnp.zeros_like(kernel).at[-11].set(1.0).at[-12].set(0.01)  # before ten of nearness
    params = params | {"out": params["out"] | {"kernel": marks}}
    x = jnp.zeros((2, CELLS)).at[:, 0].set(20.0)
    variables = {"params": params} | state.vars["discriminator"]
    cond = jnp.asarray([[1.0, 0, 24.0], [1.0, 0, 26.0]])
    logits = Discriminator(2).apply(variables, x, cond)
    np.testing.assert_allclose(logits, [0.04, 0.06 + 10.0], rtol=1e-5)


def test_what_is_no_shower_is_refused():
    points = DataSpec.of("points", (2,), context=("angle",))
    with pytest.raises(ValueError, match=r"data of shape \[2\], expected showers of 504 cells"):
        Generator(4).init(KEY, jnp.zeros((1, 4)), (1, 2), jnp.zeros((1, 1)))
    with pytest.raises(ConfigError, match="is no vector of energies"):
        Conserving(Generator(4), Discriminator(), DataSpec.of("points", (2,)))
    assert Conserving(Generator(4), Discriminator(), points).given == ("context",)
