"""ProGAN: players against plain numpy, fades at their ends, and what moves in which phase."""

import functools
import io

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.progressive import Progressive
from jaxgen.models.gans.progan import Discriminator, Generator, kernel
from jaxgen.nn.stylegan import unit_length
from jaxgen.ops.growth import coarse
from jaxgen.ops.ranges import symmetric
from jaxgen.train.optim import average, optimizer
from jaxgen.train.step import init_state, train_step
from jaxgen.types import DataSpec

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
SPEC = DataSpec.of("digits", (8, 8, 1), 17)
BATCH = {"x": jnp.asarray(RANDOM.randint(0, 17, (4, 8, 8, 1)), jnp.uint8)}
STABLE, FADE, STEPS = 2, 3, 8  # 4x4 at steps 0 to 2, the fade at 3 and 4, 8x8 from 5 on


def floats(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


def drawn(init, *inputs):
    """Params of a player, none of them zero."""
    shapes = jax.eval_shape(init, KEY, *inputs)["params"]
    return jax.tree.map(lambda p: np.asarray(floats(*p.shape)), shapes)


def players(**options):
    generator = Generator(5, base=16, most=3, **options)
    return generator, Discriminator(base=16, most=3, group=2, **options)


@pytest.fixture(scope="module")
def params():
    """Of both players, for images of 8x8 with three colours and four classes or none."""
    generator, discriminator = players()
    out = []
    for cond in (None, jnp.eye(4)):
        init = functools.partial(generator.init, size=(4, 8, 8, 3), cond=cond)
        images = jnp.zeros((4, 8, 8, 3))
        out.append((drawn(init, jnp.zeros((4, 5))), drawn(discriminator.init, images, cond)))
    return out


def convolved(x, weights):
    """Sums over a window, of He's scale."""
    reach = weights.shape[0] // 2
    wide = np.pad(np.asarray(x, float), [(0, 0), (reach, reach), (reach, reach), (0, 0)])
    out = np.zeros((*x.shape[:3], weights.shape[3]))
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            out += wide[:, i : i + x.shape[1], j : j + x.shape[2]] @ np.asarray(weights[i, j])
    return out / np.sqrt(np.prod(weights.shape[:3]))


def leaky(x):
    return np.maximum(x, 0.2 * x)


def normal(x):
    return x / np.sqrt(np.mean(x**2, -1, keepdims=True) + 1e-8)


def layer(p, x, name, between=lambda y: y):
    y = between(np.sqrt(2) * convolved(x, p[name]["kernel"]["kernel"]))
    return leaky(y + p[name]["bias"]["bias"])


def halved(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def doubled(x):
    return x.repeat(2, 1).repeat(2, 2)


def made(p, z, alpha):
    """The generator of table 2 at 4x4, and at 8x8 faded in."""
    p, z = jax.tree.map(np.asarray, (p, z))
    h = normal(z) @ p["dense"]["kernel"] / np.sqrt(z.shape[1]) * np.sqrt(2) / 4
    h = normal(leaky(h.reshape(len(z), 4, 4, -1) + p["bias"]["bias"]))
    h = normal(layer(p, h, "conv4"))
    old = convolved(h, p["image4"]["kernel"]) + p["image4"]["bias"]
    h = normal(layer(p, doubled(h), "up8"))
    h = normal(layer(p, h, "conv8"))
    new = convolved(h, p["image8"]["kernel"]) + p["image8"]["bias"]
    return old, (1 - alpha) * doubled(old) + alpha * new


def judged(p, x, alpha, cond=None):
    """The discriminator of table 2 at 8x8, with halving before the bias."""
    p, x = jax.tree.map(np.asarray, (p, x))
    h = layer(p, layer(p, x, "image8"), "conv8")
    h = alpha * layer(p, h, "down8", halved) + (1 - alpha) * layer(p, halved(x), "image4")
    channel = np.empty((len(x), 4, 4, 1))
    for i in range(len(x)):
        group = h[i % (len(x) // 2) :: len(x) // 2]
        channel[i] = np.sqrt(group.var(0) + 1e-8).mean()
    h = layer(p, np.concatenate([h, channel], -1), "last").reshape(len(x), -1)
    h = np.sqrt(2) * h @ p["dense"]["kernel"] / np.sqrt(h.shape[1])
    h = leaky(h + p["bias"]["bias"])
    out = h @ p["logit"]["kernel"] / np.sqrt(h.shape[1]) + p["logit"]["bias"]
    return out[:, 0] if cond is None else (out * cond).sum(1)


@jax.jit
def of_generator(p, z, alpha):
    """At a share of the second level, and of the first level alone."""
    one, other = players()[0], players(level=2)[0]
    size = (4, 8, 8, 3)
    return one.apply({"params": p}, z, size, alpha=alpha), other.apply({"params": p}, z, size)


@jax.jit
def of_discriminator(p, x, cond, alpha):
    """As of the generator."""
    one, other = players()[1], players(level=2)[1]
    return one.apply({"params": p}, x, cond, alpha=alpha), other.apply({"params": p}, x, cond)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_generator_is_that_of_the_paper(params, alpha):
    z, (p, _) = floats(4, 5), params[0]
    old, new = made(p, z, alpha)
    got, low = of_generator(p, z, alpha)
    np.testing.assert_allclose(got, new, atol=2e-5)
    np.testing.assert_allclose(low, doubled(old), atol=2e-5)
    if alpha == 0:
        np.testing.assert_array_equal(got, low)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_discriminator_is_that_of_the_paper(params, alpha, classes):
    cond = jnp.eye(4)[np.array([2, 0, 3, 3])] if classes else None
    x, (_, p) = floats(4, 8, 8, 3), params[classes]
    got, low = of_discriminator(p, x, cond, alpha)
    np.testing.assert_allclose(got, judged(p, x, alpha, cond), atol=2e-5)
    if alpha == 0:
        np.testing.assert_array_equal(got, low)


@pytest.mark.parametrize("player", [0, 1], ids=["generator", "discriminator"])
def test_without_a_fade_the_level_below_is_not_seen(params, player):
    model, p = players()[player], params[0][player]
    x = (floats(4, 5), (4, 8, 8, 3)) if player == 0 else (floats(4, 8, 8, 3),)
    other = {**p, "image4": jax.tree.map(lambda v: 100 * v + 7, p["image4"])}
    apply = jax.jit(lambda q: model.apply({"params": q}, *x, alpha=jnp.float32(1)))
    one, two = apply(p), apply(other)
    np.testing.assert_array_equal(one, two)


def test_classes_reach_the_samples(params):
    p, z = params[1][0], jnp.repeat(floats(1, 5), 4, 0)
    made = jax.jit(lambda p: players()[0].apply({"params": p}, z, (4, 8, 8, 3), jnp.eye(4)))(p)
    assert np.ptp(made, axis=0).max() > 0.01


def test_pixels_have_length_one():
    x = 10 * floats(2, 3, 3, 7)
    got = unit_length(jnp.asarray(x))
    np.testing.assert_allclose(got, normal(x), rtol=1e-5)
    np.testing.assert_allclose(jnp.mean(got**2, -1), 1, rtol=1e-5)


def test_convolutions_keep_their_scale_and_their_rate():
    """He's deviation, and a step on the stored kernel that is scaled with it."""
    conv, x = kernel(32), floats(20, 6, 6, 50)
    weights = np.asarray(jax.jit(conv.init)(KEY, x)["params"]["kernel"])
    assert np.std(weights) == pytest.approx(1, rel=0.03)
    apply = jax.jit(lambda w: conv.apply({"params": {"kernel": w}}, x))
    y = np.asarray(apply(weights))
    assert np.std(y[:, 1:-1, 1:-1]) == pytest.approx(np.sqrt(2), rel=0.05)
    moved = np.asarray(apply(weights + 1)) - y
    window = np.asarray(x)[:, 1:4, 1:4].sum((1, 2, 3)) * np.sqrt(2 / (9 * 50))
    np.testing.assert_allclose(moved[:, 2, 2, 0], window, rtol=1e-3, atol=1e-3)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_counts():
    """Layer by layer from table 2; the discriminator's is what the official code prints."""

    def channels(side):
        return min(512, 16_384 // side)

    sides = [2**i for i in range(2, 11)]
    made = 512 * 16 * 512 + 512 + 9 * 512**2 + 512
    for side in sides[1:]:
        before, now = channels(side // 2), channels(side)
        made += (9 * before * now + now) + (9 * now * now + now)
    made += sum(3 * channels(side) + 3 for side in sides)
    init = functools.partial(Generator().init, size=(4, 1024, 1024, 3))
    assert count(jax.eval_shape(init, KEY, jnp.zeros((4, 512)))) == made == 23_079_115
    shapes = jax.eval_shape(Discriminator().init, KEY, jnp.zeros((4, 1024, 1024, 3)))
    assert count(shapes) == 23_087_249


@pytest.mark.parametrize("size", [(8, 8, 1), (12, 10, 3), (28, 28, 1)], ids=str)
def test_shapes(size):
    generator, discriminator = players()
    for level in (None, 2, 3):
        init = functools.partial(generator.clone(level=level).init_with_output, size=(4, *size))
        x, variables = jax.eval_shape(init, KEY, jnp.zeros((4, 5)))
        assert x.shape == (4, *size)
        top = 32 if size[0] == 28 else 16 if size[0] == 12 else 8
        sides = {int(k[5:]) for k in variables["params"] if k.startswith("image")}
        expected = top if level is None else 2**level
        assert sides == {4 * 2**i for i in range(4) if 4 * 2**i <= expected}
        logits = jax.eval_shape(discriminator.clone(level=level).init_with_output, KEY, x)[0]
        assert logits.shape == (4,)


@pytest.fixture(scope="module")
def game():
    """(method, its optimisers, the state before the first step, a compiled step)."""
    penalties = {"drift": {"weight": 0.001}}
    method = Progressive(
        Generator(4, base=16, most=4),
        Discriminator(base=16, most=4),
        SPEC,
        game="wasserstein",
        penalties=penalties,
        stable_steps=STABLE,
        fade_steps=FADE,
    )
    # with a first moment, a head that is no longer used would go on but for the restart
    optimizers = {k: optimizer("adam", 0.01, b1=0.5) for k in ("generator", "discriminator")}
    options = {"method": method, "optimizers": optimizers, "emas": {"generator": average(10.0)}}
    state = jax.jit(functools.partial(init_state, **options))(KEY, BATCH)

    def step(state, rng):
        return train_step(state, BATCH, rng, **options)

    return method, state, jax.jit(chex.assert_max_traces(step, 1))


@pytest.fixture(scope="module")
def run(game):
    """States before every step and after the last, and metrics of each."""
    _, state, step = game
    states, metrics = [state], []
    for _ in range(STEPS):
        state, out = step(state, KEY)  # traced once, whatever the phase
        states.append(state)
        metrics.append(out)
    return states, metrics


def changed(before, after):
    """Names of the layers of which a parameter differs."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {f"{path[0].key}/{path[1].key}" for (path, a), b in pairs if not np.array_equal(a, b)}


def layers(params, *sides):
    """Names of layers that belong to no side, or to one of these."""
    names = {f"{player}/{name}" for player, own in params.items() for name in own}
    digits = {name: "".join(c for c in name if c.isdigit()) for name in names}
    return {name for name in names if not digits[name] or int(digits[name]) in sides}


def test_what_moves_when(run):
    """Levels to come stay as they were drawn; heads of a level that is over stop at once."""
    states, metrics = run
    all_of = states[0].params
    for i in range(STEPS):
        moved = changed(states[i].params, states[i + 1].params)
        if i <= STABLE:
            assert moved == layers(all_of, 4), i
        elif i < STABLE + FADE:
            assert moved == layers(all_of, 4, 8), i
        else:
            assert moved == layers(all_of, 4, 8) - {"generator/image4", "discriminator/image4"}, i
        side = 4 if i <= STABLE else 8
        for player in ("generator", "discriminator"):
            assert metrics[i][f"{player}/side"][0] == side
            assert metrics[i][f"{player}/nonfinite"] == 0
    until = states[STABLE + 1]
    to_come = set(all_of["generator"]) - {n.split("/")[1] for n in layers(all_of, 4)}
    for name in to_come:  # the average of what has not moved is what was drawn
        jax.tree.map(
            np.testing.assert_array_equal, until.ema["generator"][name], all_of["generator"][name]
        )


def test_optimisers_begin_anew_with_a_fade_and_after_it(run):
    """The official code's `reset_opt_for_new_lod`."""
    counts = [int(state.opt["discriminator"][0].count) for state in run[0][1:]]
    assert counts == [1, 2, 3, 1, 2, 1, 2, 3]
    generator = [int(state.opt["generator"][0].count) for state in run[0][1:]]
    assert generator == counts


def test_a_state_kept_within_the_fade_goes_on_as_it_was(game, run):
    """Bit by bit, from bytes."""
    states, _ = run
    leaves, tree = jax.tree.flatten(states[4])
    file = io.BytesIO()
    np.savez(file, *leaves)
    file.seek(0)
    with np.load(file) as kept:
        state = jax.tree.unflatten(
            tree, [jnp.asarray(kept[f"arr_{i}"]) for i in range(len(leaves))]
        )
    assert 0 < game[0].growth.at(state.step)[1] < 1
    for _ in range(4, STEPS):
        state, _ = game[2](state, KEY)
    jax.tree.map(np.testing.assert_array_equal, state, states[STEPS])


@pytest.mark.parametrize("step", [0, 4, 6], ids=["4x4", "fade", "8x8"])
def test_real_images_are_shown_at_the_level(game, run, step):
    """Mean squared logits of real images, in the unit of the drift (weight 0.001)."""
    method, (states, metrics) = game[0], run
    state, level = states[step], 2 if step < 3 else 3
    alpha = {0: 1.0, 4: 2 / 3, 6: 1.0}[step]
    real = jax.jit(lambda x: symmetric(coarse(x, level, alpha), 17))(BATCH["x"])
    critic = method.discriminator.clone(level=level)
    judge = jax.jit(lambda params, x: critic.apply({"params": params}, x, alpha=alpha))
    logits = np.asarray(judge(state.params["discriminator"], real))
    got = metrics[step]["discriminator/drift"][0]
    np.testing.assert_allclose(got, np.mean(logits**2), rtol=1e-4)


def test_samples_are_those_of_the_level(game, run):
    method, states = game[0], run[0]
    sample = jax.jit(lambda state: method.sample(state, KEY, 4))
    low, high = (np.asarray(sample(states[i])) for i in (1, 6))
    np.testing.assert_array_equal(low, low[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
    assert low.shape == high.shape == (4, 8, 8, 1) and low.dtype == np.uint8
    assert (high != high[:, ::2, ::2].repeat(2, 1).repeat(2, 2)).any()


@pytest.mark.parametrize(
    "options,message",
    [
        ({"first": 5}, r"method.first=5, expected one of \[4, 8\]"),
        ({"first": 16}, r"method.first=16, expected one of \[4, 8\]"),
        ({"fade_steps": -1}, "stable_steps and fade_steps are 0 or more"),
        ({"orthogonal": 0.1}, "it would move layers that are not trained yet"),
        ({"spec": DataSpec.of("points", (2,), None)}, "points has no images"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_options(options, message):
    with pytest.raises(ConfigError, match=message):
        Progressive(*players(), **{"spec": SPEC, **options})
