"""Patches: their size by the support of the Jacobian, number, parameters, scales, their games."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.methods.adversarial import Adversarial
from jaxgen.models.gans.gan import Generator
from jaxgen.models.gans.patchgan import MultiScale, PatchDiscriminator
from jaxgen.nn.gan_layers import shrunk
from jaxgen.ops.augment import AUGMENTATIONS
from jaxgen.ops.augment.ada import ADA
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("noise", (16, 16, 1), None)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


BATCH = {"x": normals(4, 16, 16, 1)}


@pytest.mark.parametrize(
    ("layers", "side"),
    [(1, 16), (2, 34), (3, 70), (4, 142), pytest.param(5, 286, marks=pytest.mark.slow)],
)
def test_receptive_field(layers, side):
    """Pixels that the middle logit depends on, without normalisation."""
    model = PatchDiscriminator(2, layers, "none")
    x = normals(1, 2 * side, 2 * side, 1)

    @jax.jit
    @jax.grad
    def slopes(x):
        logits, _ = model.init_with_output(KEY, x)
        return logits[0, logits.shape[1] // 2, logits.shape[2] // 2]

    slope = slopes(x)[0, ..., 0]
    seen = np.flatnonzero(np.abs(slope).sum(1))
    assert seen[-1] - seen[0] + 1 == side and len(seen) == side


@pytest.mark.parametrize(
    ("norm", "channels", "expected"), [("instance", 3, 2_764_737), ("batch", 6, 2_768_705)]
)
def test_parameter_counts_and_number_of_patches(norm, channels, expected):
    """Of CycleGAN and of pix2pix; 30x30 logits of images of 256."""
    model, x = PatchDiscriminator(norm=norm), jnp.zeros((1, 256, 256, channels))
    made = jax.eval_shape(model.init, KEY, x)
    assert sum(leaf.size for leaf in jax.tree.leaves(made["params"])) == expected
    assert jax.eval_shape(model.init_with_output, KEY, x)[0].shape == (1, 30, 30)


def test_scales():
    model = MultiScale(2, 2, 1, "none")
    one = PatchDiscriminator(2, 1, "none")

    @jax.jit
    def both(x):
        maps, variables = model.init_with_output(KEY, x)
        pairs = enumerate((x, shrunk(x)))
        own = [{"params": variables["params"][f"scale{i}"]} for i in range(2)]
        return maps, [one.apply(own[i], image) for i, image in pairs]

    maps, parts = both(normals(2, 16, 16, 1))
    assert [part.shape for part in maps] == [(2, 6, 6), (2, 2, 2)]
    for got, expected in zip(maps, parts, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("norm", ["none", "instance", "batch"])
def test_features_are_what_the_next_layer_is_given(norm):
    """The last of them, through the last layer alone, is the logits; the logits stay the same."""
    model, x = PatchDiscriminator(2, 1, norm), BATCH["x"]

    @jax.jit
    def both(x):
        variables = model.init(KEY, x)
        return variables, model.apply(variables, x, features=True), model.apply(variables, x)

    variables, (logits, features), alone = both(x)
    np.testing.assert_allclose(logits, alone, rtol=1e-5)
    assert [h.shape for h in features] == [(4, 8, 8, 2), (4, 7, 7, 4)]
    last = max(name for name in variables["params"] if name.startswith("Conv"))
    kernel, bias = (np.asarray(variables["params"][last][k]) for k in ("kernel", "bias"))
    wide = np.pad(np.asarray(features[-1]), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (4, 4), (1, 2))
    expected = np.einsum("bhwcij,ijc->bhw", windows, kernel[..., 0]) + bias
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_features_of_scales():
    model, one = MultiScale(2, 2, 1, "none"), PatchDiscriminator(2, 1, "none")

    @jax.jit
    def both(x):
        variables = model.init(KEY, x)
        own = {"params": variables["params"]["scale1"]}
        of_one = one.apply(own, shrunk(x), features=True)[1]
        return model.apply(variables, x, features=True), model.apply(variables, x), of_one

    (logits, features), alone, expected = both(BATCH["x"])
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, logits, alone)
    jax.tree.map(close, features[1], expected)


def game(discriminator, **options):
    method = Adversarial(Generator(2, (4,)), discriminator, SPEC, **options)
    params, variables = jax.jit(method.init)(KEY, BATCH)
    sharp = jax.tree.map(
        lambda p: 8 * np.asarray(p), params["discriminator"]
    )  # logits of one and more
    params = params | {"discriminator": sharp}
    return method, State(jnp.int32(0), params, variables, {}, {})


@pytest.mark.parametrize("scales", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_least_squares_of_each_patch(scales):
    """Mao et al. 2017, equation 9, of every patch, then means, in NumPy; not that of a mean."""
    method, state = game(MultiScale(scales, 2, 1, "none"), game="least_squares")

    @jax.jit
    def found(state):
        keys = [jax.random.split(KEY, players)[0] for players in (6, 2)]
        shown = [BATCH["x"], *(method.source.train(state, key, 4, None)[0] for key in keys)]
        maps = [method.critic(state, x, None, KEY)[0] for x in shown]
        losses = method.discriminator_loss, method.generator_loss
        return maps, [loss(state, BATCH, KEY) for loss in losses]

    maps, ((loss, (_, metrics)), (of_generator, _)) = found(state)
    real, fake, made = jax.tree.map(lambda m: np.asarray(m, np.float64), maps)
    pairs = list(zip(real, fake, strict=True))
    each = [0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean() for r, f in pairs]
    np.testing.assert_allclose(loss, sum(each) / scales, rtol=1e-5)
    of_means = [0.5 * ((r.mean() - 1) ** 2 + f.mean() ** 2) for r, f in pairs]
    assert abs(loss - sum(of_means) / scales) > 0.01
    shares = [np.mean([(r > 0.5).mean() for r in real]), np.mean([(f < 0.5).mean() for f in fake])]
    accuracies = [metrics["accuracy_real"], metrics["accuracy_fake"]]
    np.testing.assert_allclose(accuracies, shares, rtol=1e-6)
    expected = np.mean([0.5 * ((f - 1) ** 2).mean() for f in made])
    np.testing.assert_allclose(of_generator, expected, rtol=1e-5)


class Still(ADA):
    """Remembers as ADA does, and leaves the images alone, as ADA does at first."""

    def apply(self, rng, x, kept):
        return x


def test_regularisers_of_maps(monkeypatch):
    """Slopes of the sum of all logits; LeCam by scale; the sign of an image is a mean."""
    monkeypatch.setitem(AUGMENTATIONS, "still", Still)
    penalties = {"r1": {"weight": 0.5}, "drift": {"weight": 0.1}}
    augment = {"name": "still", "interval": 4}
    discriminator = MultiScale(2, 2, 1, "none")
    method, state = game(discriminator, penalties=penalties, lecam=0.3, augment=augment)
    own, x = {"params": state.params["discriminator"]}, BATCH["x"]
    state = state.replace(step=jnp.int32(1))
    _, (variables, metrics) = jax.jit(method.discriminator_loss)(state, BATCH, KEY)

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def slopes(x):
        maps = discriminator.apply(own, x)
        return sum(jnp.sum(m) for m in maps), maps

    slope, real = jax.tree.map(lambda v: np.asarray(v, np.float64), slopes(x))
    squares = np.sum(slope**2, axis=(1, 2, 3))
    np.testing.assert_allclose(metrics["r1"], 0.5 * squares.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["drift"], np.mean([(m**2).mean() for m in real]), rtol=1e-4)
    memory = variables["game"]
    means = [0.01 * m.mean() for m in real]
    np.testing.assert_allclose(memory["lecam"]["real"], means, rtol=1e-4)
    signs = np.mean([np.sign(m).mean((1, 2)) for m in real], axis=0)
    np.testing.assert_allclose(memory["augment"]["signs"], signs.sum(), rtol=1e-5)
    assert memory["augment"]["seen"] == 4


def test_a_label_is_of_an_example():
    """Smoothed: one draw for all patches of both scales."""
    method, state = game(MultiScale(2, 2, 1, "none"), real_target=(0.6, 0.9))

    @jax.jit
    def found(state):
        keys = jax.random.split(KEY, 6)
        target = jax.random.uniform(keys[2], (4, 1, 1), minval=0.6, maxval=0.9)
        shown = BATCH["x"], method.source.train(state, keys[0], 4, None)[0]
        maps = [method.critic(state, x, None, KEY)[0] for x in shown]
        return method.discriminator_loss(state, BATCH, KEY)[0], target, maps

    loss, t, maps = jax.tree.map(lambda v: np.asarray(v, np.float64), found(state))
    each = []
    for r, f in zip(*maps, strict=True):
        logs = [np.logaddexp(0, v) for v in (-r, r, f)]
        each.append(np.mean(t * logs[0] + (1 - t) * logs[1] + logs[2]))
    np.testing.assert_allclose(loss, np.mean(each), rtol=1e-5)


def test_halving():
    x = np.asarray(normals(1, 5, 6, 1))
    got = np.asarray(jax.jit(shrunk)(x))
    assert got.shape == (1, 3, 3, 1)
    np.testing.assert_allclose(got[0, 1, 1, 0], x[0, 1:4, 1:4, 0].mean(), rtol=1e-5)
    np.testing.assert_allclose(got[0, 0, 0, 0], x[0, :2, :2, 0].mean(), rtol=1e-5)


def test_mistakes():
    with pytest.raises(ValueError, match="norm='layer', expected 'instance'"):
        PatchDiscriminator(norm="layer").init(KEY, jnp.zeros((1, 32, 32, 1)))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_images(layers):
    side = 3 * 2**layers
    model = PatchDiscriminator(1, layers, "none")
    init = functools.partial(jax.eval_shape, model.init_with_output, KEY)
    assert init(jnp.zeros((1, side, 2 * side, 1)))[0].shape == (1, 1, 4)
    message = f"images of {side - 1}x{side} are too small for {layers} layers: .* {side} or more"
    with pytest.raises(ValueError, match=message):
        init(jnp.zeros((1, side - 1, side, 1)))
