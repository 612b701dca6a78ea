"""What translators pay, by hand; pools, statistics and dropout of samples; who moves when."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import _module, tiny

from jaxgen.config import ConfigError
from jaxgen.methods.cyclegan import CycleGAN
from jaxgen.methods.translation import Translation, feature_distance
from jaxgen.models.gans.cyclegan import Discriminators
from jaxgen.models.gans.patchgan import MultiScale, PatchDiscriminator
from jaxgen.models.gans.pix2pix import Generator
from jaxgen.schedules import value
from jaxgen.types import DataSpec, Field, State

KEY = jax.random.key(0)
TWO = DataSpec(
    "two",
    {"x": Field("image", (12, 12, 1)), "b": Field("image", (12, 12, 1))},
)
RANDOM = np.random.RandomState(0)
BATCH = {k: jnp.asarray(RANDOM.uniform(-0.4, 0.4, (4, 12, 12, 1)).astype("f")) for k in "xb"}


class Known(nn.Module):
    """To b: half; to a: twice: one undoes the other. A parameter that does nothing."""

    bias: float = 0.0

    @nn.compact
    def __call__(self, x, to, channels):
        nothing = self.param(f"nothing_{to}", nn.initializers.zeros, ())
        return x * (0.5 if to == "b" else 2.0) + self.bias + nothing


def state_of(method, batch):
    params, variables = jax.jit(method.init)(KEY, batch)
    return State(step=jnp.int32(0), params=params, vars=variables, opt={}, ema={})


def cyclegan(bias=0.0, **options):
    return CycleGAN(Known(bias), Discriminators(4, 1, "none"), TWO, **options)


def test_perfect_inverses_pay_nothing_for_the_way_back():
    method = cyclegan()
    state = state_of(method, BATCH)
    _, (_, metrics) = method.generator_loss(state, BATCH, KEY)
    assert float(metrics["cycle_a"]) < 1e-7 and float(metrics["cycle_b"]) < 1e-7
    values = method.evaluate(state, BATCH, KEY)
    assert float(jnp.max(values["cycle_a"])) < 1e-6
    wrong = cyclegan(0.1)
    _, (_, metrics) = wrong.generator_loss(state_of(wrong, BATCH), BATCH, KEY)
    # there: x / 2 + 0.1; back: twice, and 0.1 more: 0.3 off; the other way 0.05 + 0.1 off
    np.testing.assert_allclose([metrics["cycle_a"], metrics["cycle_b"]], [0.3, 0.15], rtol=1e-5)


def test_what_stays_as_it_is_pays_nothing_for_its_identity():
    """Networks that change nothing are at the optimum of both terms, however different domains."""

    class Same(nn.Module):
        @nn.compact
        def __call__(self, x, to, channels):
            return x + self.param(f"nothing_{to}", nn.initializers.zeros, ())

    method = CycleGAN(Same(), Discriminators(4, 1, "none"), TWO, identity_weight=0.5)
    _, (_, metrics) = method.generator_loss(state_of(method, BATCH), BATCH, KEY)
    for name in ("identity_a", "identity_b", "cycle_a", "cycle_b"):
        assert float(metrics[name]) == 0.0
    _, (_, metrics) = cyclegan().generator_loss(state_of(cyclegan(), BATCH), BATCH, KEY)
    expected = [np.mean(np.abs(BATCH["x"])), 0.5 * np.mean(np.abs(BATCH["b"]))]
    found = [metrics["identity_a"], metrics["identity_b"]]  # twice, and half
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_both_players_pay_by_hand():
    """Zhu et al. 2017: squares without a half for generators, halved for discriminators."""
    method = cyclegan(0.1, cycle_weight=7.0, identity_weight=0.5, pool=0)
    state = state_of(method, BATCH)
    judge = functools.partial(method.discriminator.apply, {"params": state.params["discriminator"]})
    made = {"b": BATCH["x"] * 0.5 + 0.1, "a": BATCH["b"] * 2 + 0.1}
    real = {"a": BATCH["x"], "b": BATCH["b"]}
    logits = {k: [np.asarray(judge(v, k), np.float64) for v in (real[k], made[k])] for k in "ab"}
    same = np.mean(np.abs(real["b"] * 0.5 + 0.1 - real["b"]))
    same += np.mean(np.abs(real["a"] * 2 + 0.1 - real["a"]))
    expected = sum(np.mean((fake - 1) ** 2) for _, fake in logits.values())
    expected += 7 * 0.45 + 7 * 0.5 * same
    found, _ = method.generator_loss(state, BATCH, KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    expected = sum(0.5 * (np.mean((r - 1) ** 2) + np.mean(f**2)) for r, f in logits.values())
    found, _ = method.discriminator_loss(state, BATCH, KEY)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_pool_is_state_and_a_function_of_the_key():
    method = cyclegan(pool=6)
    state = state_of(method, BATCH)
    start = state.vars["game"]
    assert start["pool_a"].shape == (6, 12, 12, 1) and int(start["pooled"]) == 0
    step = jax.jit(method.discriminator_loss)
    _, (moved, _) = step(state, BATCH, KEY)
    np.testing.assert_allclose(moved["game"]["pool_b"][:4], BATCH["x"] * 0.5, rtol=1e-6)
    assert int(moved["game"]["pooled"]) == 4 and not moved["game"]["pool_b"][4:].any()
    state = state.replace(vars=moved)
    again = [step(state, BATCH, key)[1][0]["game"] for key in (KEY, KEY, jax.random.key(5))]
    jax.tree.map(np.testing.assert_array_equal, again[0], again[1])
    full = step(state.replace(vars=state.vars | {"game": again[0]}), BATCH, KEY)[1][0]["game"]
    assert int(full["pooled"]) == 6


def test_translations_are_in_the_units_of_their_domain():
    spec = DataSpec(
        "grey",
        {
            "x": Field("image", (8, 8, 1), "uint8", levels=17),
            "b": Field("image", (8, 8, 1), "uint8", levels=256),
        },
    )
    method = dataclasses.replace(cyclegan(), spec=spec)
    batch = {"x": jnp.full((2, 8, 8, 1), 16, jnp.uint8), "b": jnp.full((2, 8, 8, 1), 64, jnp.uint8)}
    state = state_of(method, batch)
    there = method.translate(state, batch, KEY, "b")
    assert there.dtype == jnp.uint8 and (np.asarray(there) == 191).all()  # (1/2 + 1) 255 / 2
    back = method.translate(state, batch, KEY, "a")
    np.testing.assert_array_equal(back, method.sample(state, KEY, 2, given={"b": batch["b"]}))
    assert (np.asarray(back) == 0).all()
    with pytest.raises(ConfigError, match="unknown translation 'c'"):
        method.translate(state, batch, KEY, "c")


def test_domains_that_cannot_be():
    with pytest.raises(ConfigError, match="expected images x and b of two domains"):
        CycleGAN(Known(), None, DataSpec.of("one", (8, 8, 1), 256))
    other = TWO.with_field("b", shape=(12, 12, 3))
    with pytest.raises(ConfigError, match="identity_weight: domains of other numbers of channels"):
        dataclasses.replace(cyclegan(), spec=other)


LAYOUT = DataSpec(
    "layout",
    {"x": Field("image", (16, 16, 3)), "layout": Field("layout", (16, 16), "int32", classes=4)},
)
PAIRS = {
    "x": jnp.asarray(RANDOM.uniform(-1, 1, (2, 16, 16, 3)).astype("f")),
    "layout": jnp.asarray(RANDOM.randint(4, size=(2, 16, 16))),
}


def pairs(**options):
    parts = Generator(4, 3), MultiScale(2, 4, 1, "instance", 2, True)
    return Translation(*parts, LAYOUT, **options)


def test_what_pairs_cost_by_hand():
    """Hinge, |x - x'| and features, of what the networks give."""
    method = pairs(game="hinge", absolute_weight=3.0, feature_weight=10.0, joined=True)
    state = state_of(method, PAIRS)
    found, (_, metrics) = method.generator_loss(state, PAIRS, KEY)
    cond = jax.nn.one_hot(PAIRS["layout"], 4)
    dropout = jax.random.split(KEY)[1]
    names = ["batch_stats"]
    fake, _ = method.generator.apply(
        {"params": state.params["generator"], **state.vars["generator"]},
        cond,
        3,
        mutable=names,
        rngs={"dropout": dropout},
    )
    both, twice = jnp.concatenate([fake, PAIRS["x"]]), jnp.concatenate([cond, cond])
    (logits, features), _ = method.discriminator.apply(
        {"params": state.params["discriminator"], **state.vars["discriminator"]},
        both,
        twice,
        True,
        mutable=["spectral"],
    )
    game = -np.mean([np.mean(m[:2]) for m in logits])  # the first half is generated
    absolute = np.mean(np.abs(fake - PAIRS["x"]))
    apart = np.mean([sum(np.mean(np.abs(f[:2] - f[2:])) for f in s) for s in features])
    np.testing.assert_allclose(found, game + 3 * absolute + 10 * apart, rtol=1e-4)
    assert len(features) == 2 and len(features[0]) == 2  # layers but the last
    expected = np.mean(
        [np.mean(np.maximum(0, 1 - m[2:]) + np.maximum(0, 1 + m[:2])) for m in logits]
    )
    paid, _ = method.discriminator_loss(state, PAIRS, KEY)
    np.testing.assert_allclose(paid, expected, rtol=1e-4)


def test_features_as_pix2pixhd_weighs_them():
    """4 / (layers + 1) / scales of the sum over both, of which real ones have no gradient."""
    real, fake = (
        tuple(tuple(jnp.asarray(RANDOM.randn(2, 3, 3, n)) for n in range(1, 5)) for _ in range(3))
        for _ in range(2)
    )
    expected = 0.0
    for scale in range(3):
        for layer in range(4):
            off = np.mean(np.abs(np.subtract(real[scale][layer], fake[scale][layer])))
            expected += 4 / (3 + 1) / 3 * off
    np.testing.assert_allclose(feature_distance(real, fake), expected, rtol=1e-5)
    slope = jax.grad(feature_distance)(real, fake)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(slope))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(jax.grad(feature_distance, 1)(real, fake)))


@pytest.mark.parametrize("statistics", ["image", "running"])
def test_statistics_of_samples(statistics):
    """An image's own: who stands beside it changes nothing; running ones have moved."""
    generator = Generator(4, 3, dropout=0.0)
    method = dataclasses.replace(pairs(statistics=statistics), generator=generator)
    state = state_of(method, PAIRS)
    both = method.sample(state, KEY, 2, given={"layout": PAIRS["layout"]})
    alone = method.sample(state, KEY, 1, given={"layout": PAIRS["layout"][:1]})
    np.testing.assert_allclose(both[:1], alone, atol=1e-5)
    moved = jax.tree.map(lambda v: v + 1, state.vars["generator"])
    other = state.replace(vars=state.vars | {"generator": moved})
    after = method.sample(other, KEY, 2, given={"layout": PAIRS["layout"]})
    assert bool(jnp.allclose(after, both)) == (statistics == "image")


def test_dropout_stays_on_when_one_samples():
    given = {"layout": PAIRS["layout"]}
    for rate, alike in ((0.5, False), (0.0, True)):
        method = dataclasses.replace(
            pairs(statistics="image"), generator=Generator(4, 3, dropout=rate)
        )
        state = state_of(method, PAIRS)
        one, two = (method.sample(state, jax.random.key(k), 2, given=given) for k in (0, 1))
        assert bool(jnp.array_equal(one, two)) == alike


def test_options_that_cannot_be():
    with pytest.raises(ConfigError, match="statistics in config.method 'imag'"):
        pairs(statistics="imag")
    with pytest.raises(ConfigError, match="it has no loss of one example"):
        pairs(game="relativistic")
    rows = DataSpec.of("rows", (8, 8, 1), 256, num_classes=3)
    with pytest.raises(ConfigError, match="expected a field with a value for each pixel"):
        Translation(Generator(), PatchDiscriminator(), rows, ("label",))
    method = pairs()
    state = state_of(method, PAIRS)
    with pytest.raises(ConfigError, match="knows no styles"):
        method.translate(state, PAIRS, KEY, "x")


def test_rates_of_the_recipes():
    """Constant for half of the steps, then linear to zero; two time scales of SPADE."""
    made = {
        name: _module(name)["get_config"](preset)
        for name, preset in (("cyclegan", "folder"), ("pix2pix", "folder"), ("spade", "ade20k"))
    }
    for name, rate in (("cyclegan", 2e-4), ("pix2pix", 2e-4), ("spade", 1e-4)):
        c = made[name]
        for player, factor in (("generator", 1), ("discriminator", 4 if name == "spade" else 1)):
            of = functools.partial(value, c.optim[player].learning_rate.to_dict())
            steps = c.train.steps
            found = [float(of(jnp.int32(k))) for k in (0, steps // 2, steps * 3 // 4, steps)]
            wanted = [factor * rate * share for share in (1, 1, 0.5, 0)]
            np.testing.assert_allclose(found, wanted, atol=2e-8)
    turns = [[t.player for t in pairs(generator_first=first).turns] for first in (False, True)]
    assert turns == [["discriminator", "generator"], ["generator", "discriminator"]]


@pytest.mark.slow
def test_a_reference_gives_its_style(data_root):
    """SPADE: the same layouts in the style of x; another reference, another picture."""
    made = tiny("spade", data_root, 2)
    method, state = made.method, made.state
    batch = {k: jnp.asarray(v) for k, v in made.batch.items()}
    wide = jax.tree.map(lambda p: 30 * p, state.params["generator"])
    state = state.replace(params=state.params | {"generator": wide})
    given = {"layout": batch["layout"]}
    translate = jax.jit(lambda x, key: method.translate(state, {**given, "x": x}, key, "x"))
    own, other = (translate(x, KEY) for x in (batch["x"], batch["x"][::-1]))
    again = translate(batch["x"], jax.random.key(9))
    np.testing.assert_array_equal(own, again)
    assert (np.asarray(own) != other).any()
    doubled = jnp.repeat(jnp.repeat(batch["x"], 2, axis=1), 2, axis=2)
    scaled = np.asarray(translate(doubled, KEY), np.float32)  # the same picture, but for its edges
    assert np.abs(scaled - own).mean() < 0.2 * np.abs(np.float32(other) - own).mean()
