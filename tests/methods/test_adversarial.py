"""The adversarial method: who sees what, what a move counts, and what is remembered."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.adversarial import Adversarial
from jaxgen.models.gans.gan import Discriminator, Generator
from jaxgen.ops.games import GAMES
from jaxgen.train.optim import optimizer
from jaxgen.train.step import init_state, train_step
from jaxgen.types import DataSpec

POINTS = DataSpec.of("points", (2,), None)
DIGITS = DataSpec.of("digits", (8, 8, 1), 17, num_classes=10)
RANDOM = np.random.RandomState(0)
BATCH = {"x": jnp.asarray(RANDOM.randn(8, 2), jnp.float32)}
IMAGES = {
    "x": jnp.asarray(RANDOM.randint(0, 17, (8, 8, 8, 1)), jnp.uint8),
    "label": RANDOM.randint(0, 10, 8).astype(np.int32),
}
KEY = jax.random.key(3)


class Line(nn.Module):
    """w . x, with a memory of how often it was called in training."""

    @nn.compact
    def __call__(self, x, cond=None):
        calls = self.variable("moments", "calls", jnp.zeros, ())
        if self.is_mutable_collection("moments") and not self.is_initializing():
            calls.value += 1
        w = self.param("w", nn.initializers.ones, (x.reshape(len(x), -1).shape[1],))
        return x.reshape(len(x), -1) @ w


def players(**options):
    return Adversarial(Generator(2, (4,)), Discriminator((4,)), POINTS, **options)


def start(method, batch=BATCH, **rates):
    optimizers = {k: optimizer("sgd", rates.get(k, 0.1)) for k in ("generator", "discriminator")}
    init = functools.partial(init_state, method=method, optimizers=optimizers, emas={})
    return jax.jit(init)(KEY, batch), optimizers


def stepped(method, batch=BATCH, **rates):
    state, optimizers = start(method, batch, **rates)
    step = functools.partial(train_step, method=method, optimizers=optimizers, emas={})
    return state, *jax.jit(step)(state, batch, KEY)


@pytest.fixture(scope="module")
def begun():
    """The first state of `players`, whatever the game."""
    return start(players())[0]


@pytest.mark.parametrize("game", GAMES)
def test_losses_are_those_of_the_game(begun, game):
    """Recomputed from the logits of the same draws."""
    method, state = players(game=game), begun
    keys = jax.random.split(KEY, 6)
    fake, _ = method.source.train(state, keys[0], 8, None)

    def logits(x):
        return method.discriminator.apply({"params": state.params["discriminator"]}, x)

    loss, _ = method.discriminator_loss(state, BATCH, KEY)
    expected = GAMES[game].discriminator(logits(BATCH["x"]), logits(fake))
    np.testing.assert_allclose(loss, jnp.mean(expected), rtol=1e-6)
    fake, _ = method.source.train(state, jax.random.split(KEY, 2)[0], 8, None)
    loss, _ = method.generator_loss(state, BATCH, KEY)
    expected = GAMES[game].generator(logits(BATCH["x"]), logits(fake))
    np.testing.assert_allclose(loss, jnp.mean(expected), rtol=1e-6)


def test_a_player_moves_alone_and_in_order():
    """Discriminator first; the generator's move is against what that became."""
    method = players()
    before, after, _ = stepped(method)
    key = jax.random.fold_in(KEY, 0)
    second = jax.random.fold_in(jax.random.fold_in(key, 1), 0)
    middle = before.replace(params=before.params | {"discriminator": after.params["discriminator"]})

    def paid(params):
        moved = middle.replace(params=middle.params | {"generator": params})
        return method.generator_loss(moved, BATCH, second)[0]

    gradient = jax.jit(jax.grad(paid))(before.params["generator"])
    expected = jax.tree.map(lambda p, g: p - 0.1 * g, before.params["generator"], gradient)
    for a, b in zip(
        jax.tree.leaves(expected), jax.tree.leaves(after.params["generator"]), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_critic_steps_see_fresh_examples():
    method = Adversarial(Generator(2, (4,)), Line(), POINTS, game="wasserstein", critic_steps=3)
    batch = {"x": jnp.asarray(RANDOM.randn(24, 2), jnp.float32)}
    before, after, metrics = stepped(method, batch, generator=0.0, discriminator=0.1)
    assert metrics["discriminator/loss"][1] == 3 and metrics["generator/loss"][1] == 1
    assert after.vars["discriminator"]["moments"]["calls"] == 3 * 2 + 1
    fakes = []
    for j in range(3):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(KEY, 0), 0), j)
        fakes.append(method.source.train(before, jax.random.split(key, 6)[0], 8, None)[0])
    moved = after.params["discriminator"]["w"] - before.params["discriminator"]["w"]
    expected = 0.1 * 3 * (batch["x"].mean(0) - jnp.concatenate(fakes).mean(0))
    np.testing.assert_allclose(moved, expected, atol=1e-6)


@pytest.mark.parametrize("fresh", [True, False])
def test_the_generator_may_have_real_examples_of_its_own(fresh):
    method = Adversarial(Generator(2, (4,)), Line(), POINTS, game="relativistic", fresh=fresh)
    batch = {"x": jnp.asarray(RANDOM.randn(16, 2), jnp.float32)}
    _, after, metrics = stepped(method, batch, generator=0.0, discriminator=0.1)
    key = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(KEY, 0), 1), 0)
    own = batch["x"][1::2] if fresh else batch["x"]
    expected, _ = method.generator_loss(after, {"x": own}, key)
    np.testing.assert_allclose(metrics["generator/loss"][0], expected, rtol=1e-5)


@pytest.mark.parametrize("every", [1, 4])
def test_a_lazy_penalty_counts_for_the_steps_it_stands_for(every):
    """Of a linear critic, r1 is |w|^2 / 2: four steps at once, or one at a time."""
    line = Adversarial(
        Generator(2, (4,)), Line(), POINTS, game="wasserstein", penalties={"r1": {"weight": 0.5}}
    )
    method = dataclasses.replace(line, penalties={"r1": {"weight": 0.5, "every": every}})
    state, _ = start(method)
    if every == 1:
        loss, (_, metrics) = method.discriminator_loss(state, BATCH, KEY)
        bare, _ = dataclasses.replace(line, penalties={}).discriminator_loss(state, BATCH, KEY)
        np.testing.assert_allclose(loss - bare, 0.5 * 1.0, rtol=1e-5)
        np.testing.assert_allclose(metrics["r1"], 1.0, rtol=1e-6)
        return
    assert [turn.label for turn in method.turns] == ["discriminator", "r1", "generator"]
    assert [turn.every for turn in method.turns] == [1, 4, 1]
    loss, _ = method.turns[1].loss(state, BATCH, KEY)
    np.testing.assert_allclose(loss, 4 * 0.5 * 1.0, rtol=1e-6)


def test_packing_puts_examples_side_by_side():
    method = players(packing=2)
    x = jnp.arange(16.0).reshape(8, 2)
    packed = method.critic.views.packed(x)
    np.testing.assert_array_equal(packed, np.arange(16.0).reshape(4, 4))
    images = jnp.asarray(RANDOM.randn(6, 3, 3, 2), jnp.float32)
    packed = dataclasses.replace(method.critic.views, packing=3).packed(images)
    assert packed.shape == (2, 3, 3, 6)
    for i in range(2):
        for j in range(3):
            np.testing.assert_array_equal(packed[i, ..., 2 * j : 2 * j + 2], images[3 * i + j])
    with pytest.raises(ValueError, match="packing=3 does not divide the batch of 8"):
        dataclasses.replace(method.critic.views, packing=3).packed(x)
    stepped(method)


def test_instance_noise_falls_to_zero():
    method = players(instance_noise=0.8, instance_noise_steps=100)
    for step, expected in ((0, 0.8), (25, 0.6), (100, 0.0), (500, 0.0)):
        np.testing.assert_allclose(
            method.critic.views.noise_at(jnp.int32(step)), expected, atol=1e-6
        )
    line = Adversarial(Generator(2, (4,)), Line(), POINTS, instance_noise=2.0)
    state, _ = start(line)
    x = jnp.zeros((4000, 2))
    logits, _ = line.critic(state, x, None, KEY)
    np.testing.assert_allclose(jnp.std(logits), 2.0 * np.sqrt(2), rtol=0.05)


def test_memory_is_kept_in_the_state():
    method = players(lecam=0.3, history=0.2)
    before, after, metrics = stepped(method)
    kept = after.vars["game"]
    assert kept["history"]["generator"]["moves"] == kept["history"]["discriminator"]["moves"] == 1
    for player in ("generator", "discriminator"):
        mean = kept["history"][player]["mean"]
        jax.tree.map(np.testing.assert_array_equal, mean, before.params[player])
    assert kept["lecam"]["real"] != 0 and np.isfinite(metrics["discriminator/lecam"]).all()


@pytest.mark.parametrize("conditional", [False, True])
def test_images_keep_their_units(conditional):
    given = ("label",) * conditional
    players = Generator(3, (4,)), Discriminator((4,))
    method = Adversarial(*players, DIGITS, given=given, prior="uniform")
    state, _ = start(method, IMAGES)
    x = np.arange(17, dtype=np.uint8)
    scaled = jax.jit(method.scaled)(x)
    np.testing.assert_allclose(scaled, np.linspace(-1, 1, 17), atol=1e-6)
    np.testing.assert_array_equal(jax.jit(method.unscaled)(scaled), x)
    sample = jax.jit(lambda given: method.sample(state, KEY, 5, given=given))
    samples = np.asarray(sample(None))
    assert samples.dtype == np.uint8 and samples.shape == (5, 8, 8, 1) and samples.max() <= 16
    z = np.asarray(jax.jit(method.latents, static_argnums=1)(KEY, 1000))
    assert z.min() >= -1 and z.max() <= 1 and abs(np.std(z) - 3**-0.5) < 0.02
    with pytest.raises(ConfigError, match="truncation: the prior is uniform"):
        method.sample(state, KEY, 5, truncation=0.5)
    if conditional:
        one, other = (np.asarray(sample({"label": k})) for k in (1, 2))
        assert (one != other).any()
        decoded = jax.jit(method.decode)(state, z[:4], given={"label": np.array([1, 1, 2, 2])})
        assert decoded.shape == (4, 8, 8, 1)
    else:
        with pytest.raises(ConfigError, match="label: this model is given nothing"):
            method.sample(state, KEY, 5, given={"label": 1})


def test_truncated_latents():
    """The identity for a generator shows z itself."""

    class Identity(nn.Module):
        latent: int = 2

        @nn.compact
        def __call__(self, z, size, cond=None):
            return z

    method = Adversarial(Identity(), Line(), POINTS)
    state, _ = start(method)
    for t, variance in ((0.5, 0.0806), (1.0, 0.2911), (2.0, 0.7737)):
        z = method.sample(state, KEY, 50_000, truncation=t)
        assert np.abs(z).max() <= t
        np.testing.assert_allclose(np.var(z), variance, rtol=0.02)
    np.testing.assert_allclose(np.var(method.sample(state, KEY, 50_000)), 1, rtol=0.02)
    still = method.sample(state, KEY, 5, temperature=0.0)
    np.testing.assert_array_equal(still, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"game": "hing"}, "game in config.method 'hing': did you mean 'hinge'"),
        ({"penalties": {"r3": {"weight": 1.0}}}, "name in config.method.penalties 'r3'"),
        ({"penalties": {"r1": {}}}, "config.method.penalties.r1 misses weight"),
        ({"penalties": {"r1": {"weigth": 1.0}}}, "'weigth': did you mean 'weight'"),
        ({"augment": {"name": "crop"}}, "name in config.method.augment 'crop'"),
        ({"prior": "cauchy"}, "prior='cauchy', expected 'normal' or 'uniform'"),
        ({"given": ("label",)}, "points has no such field"),
        ({"game": "hinge", "real_target": (0.7, 0.9)}, "the game 'hinge' has no labels"),
        ({"real_target": (0.9, 0.7)}, "expected \\(low, high\\]"),
        ({"critic_steps": 0}, "critic_steps and packing are 1 or more"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        players(**options)


def test_evaluation_knows_a_collapse():
    """Samples at one place have a worse energy score and no recall; the right ones have both."""
    data = {"x": jnp.asarray(RANDOM.randn(256, 2), jnp.float32)}

    class Scaled(nn.Module):
        scale: float
        latent: int = 2

        @nn.compact
        def __call__(self, z, size, cond=None):
            return self.scale * z

    found = {}
    for scale in (1.0, 0.01, 3.0):
        method = Adversarial(Scaled(scale), Line(), POINTS)
        state, _ = start(method, data)
        values = jax.jit(method.evaluate)(state, data, KEY)
        found[scale] = {k: float(np.mean(v)) for k, v in values.items()}
    right, collapsed, wide = (found[s] for s in (1.0, 0.01, 3.0))
    assert right["energy_score"] < min(collapsed["energy_score"], wide["energy_score"]) - 0.05
    assert collapsed["precision"] > 0.95 and collapsed["recall"] < 0.05
    assert wide["precision"] < 0.6 and wide["recall"] > 0.9
    assert min(right["precision"], right["recall"]) > 0.85


@pytest.mark.parametrize(
    ("spread", "real", "fake", "names"),
    [
        (0.9, 0.7, 0.8, set()),
        (0.05, 0.7, 0.8, {"collapse"}),
        (0.9, 0.999, 1.0, {"won"}),
        (0.9, 0.999, 0.5, set()),
        (0.01, 1.0, 1.0, {"collapse", "won"}),
        (2e12, 0.7, 0.8, {"explosion"}),
        (float("inf"), 0.7, 0.8, {"explosion"}),
    ],
)
def test_alarms(spread, real, fake, names):
    values = {
        "generator/spread": spread,
        "discriminator/accuracy_real": real,
        "discriminator/accuracy_fake": fake,
    }
    assert set(players().alarms(values)) == names


class Normed(nn.Module):
    """Batch normalisation of z, whose moments are those of the samples."""

    latent: int = 2

    @nn.compact
    def __call__(self, z, size, cond=None):
        train = self.is_mutable_collection("batch_stats")
        return nn.BatchNorm(use_running_average=not train, momentum=0.7)(3 * z + 5)


def test_standing_statistics():
    """The mean of the moments of the batches, at that truncation; the state stays as it is."""
    method = Adversarial(Normed(), Line(), POINTS)
    state, _ = start(method)
    sample = jax.jit(functools.partial(method.sample, num=500))
    plain = np.asarray(sample(state, KEY))
    assert np.abs(np.mean(plain)) > 4  # of moments that nothing has moved
    standing = functools.partial(method.sample, num=500, truncation=0.5, standing=8)
    samples = np.asarray(jax.jit(standing)(state, KEY))
    np.testing.assert_allclose(np.mean(samples, axis=0), 0, atol=0.1)
    np.testing.assert_allclose(np.std(samples, axis=0), 1, atol=0.05)
    np.testing.assert_array_equal(sample(state, KEY), plain)
