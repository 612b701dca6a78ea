"""Features of objects: what they are, who learns from them, how they are drawn and lent."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.instance_features import InstanceFeatures
from jaxgen.models.gans.patchgan import MultiScale
from jaxgen.models.gans.pix2pixhd import Encoder, Generator
from jaxgen.types import DataSpec, State

SPEC = (
    DataSpec.of("scenes", (16, 16, 3), 256)
    .with_field("layout", kind="layout", shape=(16, 16), dtype="uint8", classes=4)
    .with_field("instances", kind="instances", shape=(16, 16), dtype="int32")
)
NET = Generator(width=8, halvings=1, blocks=1, features=2, feature_width=4, feature_halvings=1)
JUDGE = MultiScale(scales=1, width=4, layers=1, norm="none")
RANDOM = np.random.RandomState(0)
INSTANCES = np.kron(RANDOM.randint(0, 5, (2, 4, 4)), np.ones((4, 4), int)).astype(np.int32)
BATCH = {
    "x": jnp.asarray(RANDOM.randint(0, 256, (2, 16, 16, 3)), jnp.uint8),
    "layout": jnp.asarray(INSTANCES % 3, jnp.uint8),  # two instances of classes 0 and 1, one of 2
    "instances": jnp.asarray(INSTANCES * 1001),
}
GIVEN = {k: BATCH[k] for k in ("layout", "instances")}
KEY = jax.random.key(0)


def method(**options):
    options = (
        dict(given=("layout", "instances"), game="least_squares", clusters=3, kept=8) | options
    )
    return InstanceFeatures(NET, JUDGE, SPEC, **options)


@pytest.fixture(scope="module")
def state():
    params, variables = jax.jit(method().init)(KEY, BATCH)
    wide = jax.tree.map(lambda p: 5 * p, params["generator"])
    return State(jnp.int32(0), params | {"generator": wide}, variables, {}, {})


def features_by_loop(state, batch):
    """Means over instances, in numpy."""
    x = 2 * jnp.asarray(batch["x"], jnp.float32) / 255 - 1
    own = {"params": state.params["generator"]["encoder"]}
    raw = np.asarray(Encoder(2, 4, 1).apply(own, x), np.float64)
    made = np.empty_like(raw)
    for picture in range(len(x)):
        for number in np.unique(batch["instances"][picture]):
            mine = np.asarray(batch["instances"][picture]) == number
            made[picture][mine] = raw[picture][mine].mean(0)
    return made


def remembered(state, times=1):
    step = jax.jit(method().discriminator_loss)
    for _ in range(times):
        state = state.replace(vars=step(state, BATCH, KEY)[1][0])
    return state


def test_features_are_means_over_instances(state):
    made = method().lent_styles(state, method().pair(BATCH).x, GIVEN)
    np.testing.assert_allclose(made, features_by_loop(state, BATCH), atol=1e-5)
    assert np.std(made) > 0.01


def test_the_encoder_by_hand():
    """Of width 16: 3 to 16 by 7x7, four halvings to 256, four doublings, 16 to 3 by 7x7."""
    made = jax.eval_shape(lambda k: Encoder().init(k, jnp.zeros((1, 32, 32, 3))), KEY)
    count = sum(leaf.size for leaf in jax.tree.leaves(made["params"]))
    widths = [16, 32, 64, 128, 256]
    inner = sum(9 * a * b for a, b in zip(widths, widths[1:], strict=False))
    expected = 49 * 3 * 16 + 16 + inner + sum(widths[1:]) + inner + sum(widths[:-1])
    assert count == expected + 49 * 16 * 3 + 3 == 788_803


@pytest.mark.slow
def test_the_encoder_learns_with_the_generator(state):
    """In every phase; the discriminators' turn moves the memory alone."""
    for step, phases in (
        (0, {}),
        (0, dict(coarse_steps=2)),
        (2, dict(coarse_steps=2, fixed_steps=2)),
    ):
        net = dataclasses.replace(NET, enhancer_blocks=1) if phases else NET
        made = dataclasses.replace(method(**phases), generator=net)
        begun = state
        if phases:
            params, variables = jax.jit(made.init)(KEY, BATCH)
            begun = State(jnp.int32(step), params, variables, {}, {})

        def loss(params, made=made, begun=begun):
            return made.generator_loss(begun.replace(params=params), BATCH, KEY)[0]

        slopes = jax.jit(jax.grad(loss))(begun.params)["generator"]["encoder"]
        assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(slopes["last"]))


def test_what_is_remembered_are_features_of_each_class(state):
    after = remembered(state)
    memory, wanted = after.vars["game"], features_by_loop(state, BATCH)
    for kind in range(4):
        rows = []
        for picture in range(2):
            ids = np.asarray(BATCH["instances"][picture])
            for number in np.unique(ids):
                if (number // 1001) % 3 == kind:
                    rows.append(wanted[picture][ids == number][0])
        assert memory["counts"][kind] == len(rows)
        if rows:
            np.testing.assert_allclose(memory["features"][kind, : len(rows)], rows, atol=1e-5)
    assert memory["counts"][3] == 0
    assert remembered(state, 3).vars["game"]["counts"][0] == 3 * memory["counts"][0]


def test_centres_are_those_of_scikit_learn(state):
    """As low a sum of squares as of its best of 50 starts, on groups that are far apart."""
    cluster = pytest.importorskip("sklearn.cluster")
    made = method(clusters=4, kept=60)
    groups = RANDOM.uniform(-1, 1, (4, 2))
    table = groups[RANDOM.randint(4, size=(4, 60))] + 0.01 * RANDOM.randn(4, 60, 2)
    counts = jnp.asarray([60, 90, 25, 0])
    held = {"features": jnp.asarray(table, jnp.float32), "counts": counts}
    found = np.asarray(jax.jit(made.centres)(state.replace(vars=state.vars | {"game": held})))
    for kind, num in enumerate((60, 60, 25)):
        rows = table[kind, :num]
        best = cluster.KMeans(4, n_init=50, random_state=0).fit(rows)
        apart = np.square(rows[:, None] - found[kind][None]).sum(-1).min(1).sum()
        assert apart <= 1.02 * best.inertia_
    assert np.isfinite(found[3]).all()


@pytest.mark.slow
def test_looks_are_drawn_for_each_part_of_the_centres_of_its_class(state):
    after, made = remembered(state, 2), method()
    centres = np.asarray(made.centres(after))
    draw = jax.jit(made.drawn_styles, static_argnums=3)
    draws = [np.asarray(draw(after, GIVEN, jax.random.key(k), 2)) for k in range(4)]
    looks = set()
    for z in draws:
        for picture in range(2):
            ids = np.asarray(BATCH["instances"][picture])
            for number in np.unique(ids):
                mine = z[picture][ids == number]
                assert (mine == mine[0]).all()
                kind = (number // 1001) % 3
                assert np.abs(centres[kind] - mine[0]).sum(-1).min() < 1e-6
                looks.add((kind, *mine[0].round(5)))
    assert len(looks) > 3  # more than one a class
    still = np.asarray(made.drawn_styles(after, GIVEN, KEY, 2, 0.0))
    np.testing.assert_allclose(still, centres.mean(1)[np.asarray(BATCH["layout"])], atol=1e-6)


@pytest.mark.slow
def test_seeds_change_looks_and_an_example_lends_its_own(state):
    after, made = remembered(state), method()
    translate = jax.jit(made.translate, static_argnames="to")
    one, again, two = (translate(after, GIVEN, jax.random.key(k), to="x") for k in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert (np.asarray(one) != two).any()
    sampled = made.sample(after, KEY, 2, given=GIVEN)
    assert sampled.shape == (2, 16, 16, 3) and sampled.dtype == jnp.uint8
    lent = translate(after, GIVEN | {"x": BATCH["x"]}, KEY, to="x")
    z = jnp.asarray(features_by_loop(after, BATCH), jnp.float32)
    own = {"params": after.params["generator"]}
    expected = NET.apply(own, made.pair(BATCH).cond, 3, z)
    off = np.abs(np.asarray(lent, float) - np.asarray(255 * (expected + 1) / 2))
    assert off.max() < 0.51
    other = translate(after, GIVEN | {"x": BATCH["x"][::-1]}, KEY, to="x")
    assert (np.asarray(lent) != other).any()
    with pytest.raises(ConfigError, match="x of 8x8, the layout of 16x16: an example lends"):
        made.translate(after, GIVEN | {"x": BATCH["x"][:, :8, :8]}, KEY, "x")


def test_without_instances_parts_are_classes(state):
    z = method(given=("layout",)).drawn_styles(
        remembered(state), {"layout": BATCH["layout"]}, KEY, 2
    )
    for kind in range(3):
        mine = np.asarray(z)[0][np.asarray(BATCH["layout"][0]) == kind]
        assert (mine == mine[:1]).all()


def test_options_that_cannot_be():
    with pytest.raises(ConfigError, match="features are drawn by class: add layout"):
        image = SPEC.with_field("photo", kind="image", shape=(16, 16, 3), dtype="uint8", levels=256)
        InstanceFeatures(NET, JUDGE, image, given=("photo", "instances"))
    with pytest.raises(ConfigError, match="generator.features=0"):
        dataclasses.replace(method(), generator=dataclasses.replace(NET, features=0))
    with pytest.raises(ConfigError, match="clusters=9, kept=8"):
        method(clusters=9)
    with pytest.raises(ValueError, match="images of 18x16: the encoder of features halves them 2"):
        Encoder(2, 4, 2).init(KEY, jnp.zeros((1, 18, 16, 3)))
