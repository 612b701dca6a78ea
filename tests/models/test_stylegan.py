"""The first StyleGAN: its synthesis in plain numpy, styles, noise, and their levels."""

import functools
import importlib.util

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from away import scrambled
from command import ROOT

from jaxgen.methods.progressive import ProgressiveStyles
from jaxgen.models.gans.progan import Discriminator, blurred
from jaxgen.models.gans.stylegan import Generator, adain
from jaxgen.train.optim import average, optimizer
from jaxgen.train.step import init_state, train_step
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
SPEC = DataSpec.of("digits", (8, 8, 1), 17)
BATCH = {"x": jnp.asarray(RANDOM.randint(0, 17, (4, 8, 8, 1)), jnp.uint8)}
SIZE = (2, 8, 8, 1)


def floats(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


def method(**options):
    options = {"penalties": {"r1": {"weight": 1.0}}, "stable_steps": 2, "fade_steps": 3} | options
    generator = Generator(4, 5, layers=2, base=16, most=3)
    return ProgressiveStyles(generator, Discriminator(base=16, most=3, blur=True), SPEC, **options)


@pytest.fixture(scope="module")
def game():
    """A method, a state within the fade whose biases and noise are not zero, its first params."""
    m = method()
    params, variables = jax.jit(m.init)(KEY, BATCH)
    return m, State(jnp.int32(4), scrambled(params, 0.3), variables, {}, {}), params


def of(state):
    return {"params": state.params["generator"], **state.vars["generator"]}


def normalized(x, w, p):
    """Bias, rectifier, then mean 0 and variance 1 of each channel, scaled and shifted by w."""
    x = x + p["bias"]["bias"]
    x = np.maximum(x, 0.2 * x)
    x = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-8)
    style = w @ p["affine"]["kernel"] / np.sqrt(w.shape[1]) + p["affine"]["bias"]
    scale, shift = np.split(style, 2, axis=1)
    return x * (1 + scale[:, None, None]) + shift[:, None, None]


def convolved(x, weights):
    """He's convolution, as correlations of each pair of channels."""
    out = np.zeros((*x.shape[:3], weights.shape[3]))
    for b, i, o in np.ndindex(x.shape[0], x.shape[3], weights.shape[3]):
        out[b, ..., o] += scipy.ndimage.correlate(
            x[b, ..., i].astype(float), weights[..., i, o], mode="constant"
        )
    return out * np.sqrt(2 / np.prod(weights.shape[:3]))


def blur(x):
    taps = np.array([1, 2, 1]) / 4
    return scipy.ndimage.correlate(x, np.outer(taps, taps)[None, :, :, None], mode="constant")


def synthesized(variables, styles, alpha):
    """4x4, then 8x8 faded in, with the noise of the initialisation."""
    p, kept = (jax.tree.map(np.asarray, variables[k]["synthesis"]) for k in ("params", "constants"))

    def after(x, name, i):
        x = x + p[name]["strength"] * kept[name]["noise"]
        return normalized(x, styles[:, i], p[name])

    def image(x, side):
        own = p[f"image{side}"]
        return x @ own["kernel"][0, 0] / np.sqrt(x.shape[3]) + own["bias"]

    h = after(np.repeat(p["constant"][None], len(styles), 0), "after_up4", 0)
    h = after(convolved(h, p["conv4"]["kernel"]), "after_conv4", 1)
    old = image(h, 4).repeat(2, 1).repeat(2, 2)
    h = blur(convolved(h.repeat(2, 1).repeat(2, 2), p["up8"]["kernel"]))
    h = after(h, "after_up8", 2)
    h = after(convolved(h, p["conv8"]["kernel"]), "after_conv8", 3)
    return old, (1 - alpha) * old + alpha * image(h, 8)


@pytest.mark.parametrize("alpha", [0.0, 0.4, 1.0])
def test_synthesis_is_that_of_the_paper(game, alpha):
    m, state, _ = game
    styles = floats(2, 4, 5)

    @functools.partial(jax.jit, static_argnums=1)
    def make(styles, level, alpha):
        made = m.generator.clone(level=level)
        return made.apply(of(state), styles, SIZE, "const", alpha=alpha, method="synthesize")

    old, new = synthesized(of(state), np.asarray(styles), alpha)
    got = make(styles, None, alpha)
    np.testing.assert_allclose(got, new, atol=1e-3)
    if alpha == 0:
        got_low = make(styles[:, :2], 2, 1.0)
        np.testing.assert_allclose(got_low, old, atol=1e-3)
        np.testing.assert_array_equal(got, got_low)


def test_mapping_is_that_of_the_paper(game):
    """Rates of 0.01 on kernels and biases, and He's scale."""
    m, state, _ = game
    p = jax.tree.map(np.asarray, state.params["generator"]["mapping"])
    z = floats(3, 4)
    h = np.asarray(z) / np.sqrt(np.mean(np.asarray(z) ** 2, 1, keepdims=True) + 1e-8)
    for i in range(2):
        h = h @ p[f"layer{i}"]["kernel"] * 0.01 * np.sqrt(2 / h.shape[1])
        h = h + 0.01 * p[f"bias{i}"]["bias"]
        h = np.maximum(h, 0.2 * h)
    got = jax.jit(lambda z: m.generator.apply(of(state), z, method="map"))(z)
    np.testing.assert_allclose(got, h, rtol=2e-5, atol=1e-6)
    wide = Generator(4, 400, 2, most=3)
    drawn = jax.jit(functools.partial(wide.init, method="map"))(KEY, z[:2])
    deviation = np.std(drawn["params"]["mapping"]["layer1"]["kernel"])
    assert deviation == pytest.approx(100, rel=0.02)


def test_adaptive_instance_normalisation():
    x, scale, shift = 5 + 3 * floats(2, 6, 4, 3), floats(2, 3), floats(2, 3)
    got = np.asarray(adain(x, scale, shift))
    np.testing.assert_allclose(got.mean((1, 2)), shift, atol=1e-5)
    np.testing.assert_allclose(got.std((1, 2)), np.abs(scale), rtol=1e-5)
    y = np.asarray(x)
    y = (y - y.mean((1, 2), keepdims=True)) / y.std((1, 2), keepdims=True)
    np.testing.assert_allclose(got, y * scale[:, None, None] + shift[:, None, None], atol=1e-4)


def test_blur_is_a_depthwise_convolution():
    x = floats(2, 5, 6, 3)
    np.testing.assert_allclose(blurred(x), blur(np.asarray(x)), atol=1e-6)


def test_noise(game):
    """Not seen at first; drawn anew, kept or left out once it has a strength."""
    m, state, first = game
    styles = floats(2, 4, 5)

    @functools.partial(jax.jit, static_argnums=2)
    def draw(params, seed, noise):
        own = {**of(state), "params": params}
        rngs = {"noise": jax.random.key(seed)}
        return m.generator.apply(own, styles, SIZE, noise, rngs=rngs, method="synthesize")

    params = state.params["generator"]
    silent = jax.tree_util.tree_map_with_path(
        lambda path, p: np.zeros_like(p) if path[-1].key == "strength" else p, params
    )
    leaves = jax.tree_util.tree_leaves_with_path(first["generator"])
    strengths = [np.asarray(leaf) for path, leaf in leaves if path[-1].key == "strength"]
    assert len(strengths) == 4 and not any(strength.any() for strength in strengths)
    kinds = [draw(silent, i, kind) for i, kind in enumerate(("random", "random", "const", "none"))]
    for other in kinds[1:]:
        np.testing.assert_array_equal(other, kinds[0])
    np.testing.assert_array_equal(draw(params, 1, "const"), draw(params, 2, "const"))
    one, two = (np.asarray(draw(params, seed, "random")) for seed in (1, 2))
    assert np.abs(one - two).max() > 1e-3
    with pytest.raises(ValueError, match="noise='loud', expected"):
        draw(params, 0, "loud")
    with pytest.raises(ValueError, match="3 styles, expected 4 at level 3"):
        m.generator.apply(of(state), styles[:, :3], SIZE, "none", method="synthesize")


@pytest.mark.parametrize("level,layers", [(2, 2), (3, 4)])
def test_cuts_of_mixed_styles(game, level, layers):
    """With probability 0.9 one of the layers of the level but the first, each as likely."""
    m, state, _ = game
    num = 3000

    @jax.jit
    @jax.vmap
    def draw(rng):
        styles, _ = m.at(level, jnp.float32(1)).source.mixed(state, rng, 1, None)
        return jnp.sum(jnp.all(styles[0] == styles[0, :1], axis=1))

    cuts = np.asarray(draw(jax.random.split(KEY, num)))
    found = np.bincount(cuts, minlength=layers + 1) / num
    share = 0.9 / (layers - 1)
    expected = np.array([0.0, *[share] * (layers - 1), 0.1])
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / num)
    assert (found[1:] > 0).all() and found[0] == 0


def test_truncation_ends_at_the_cutoff(game):
    m, state, _ = game
    own = state.vars["generator"]
    moments = {"mapping": {"mean": jnp.arange(5.0)}}
    state = state.replace(vars={**state.vars, "generator": {**own, "moments": moments}})
    styles = floats(2, 4, 5)
    near = m.whole.truncated(state, styles, 0.7, 3)
    np.testing.assert_allclose(
        near[:, :3], 0.7 * styles[:, :3] + 0.3 * jnp.arange(5.0).reshape(1, 1, 5), rtol=1e-5
    )
    np.testing.assert_array_equal(near[:, 3:], styles[:, 3:])


def test_samples_and_mixtures_of_a_level(game):
    """Within 4x4 pixels come in blocks, and layers of 8x8 are not read."""
    m, state, _ = game
    low, fade = state.replace(step=jnp.int32(0)), state
    sample = jax.jit(lambda state: m.sample(state, KEY, 3, truncation=0.7, cutoff=2))
    blocks = np.asarray(sample(low))
    np.testing.assert_array_equal(blocks, blocks[:, ::2, ::2].repeat(2, 1).repeat(2, 2))
    made = np.asarray(sample(fade))
    assert made.shape == (3, 8, 8, 1) and made.dtype == np.uint8
    w = floats(2, 5)
    spread = [m.at(level, jnp.float32(1)).source.spread(w).shape[1] for level in (2, 3)]
    assert spread == [2, 4]
    broken = jax.tree_util.tree_map_with_path(
        lambda path, p: p * jnp.nan if "8" in jax.tree_util.keystr(path) else p,
        state.params["generator"],
    )
    draw = jax.jit(lambda state: m.render(state, w, rounded=False))
    one, two = (draw(s.replace(params={"generator": broken})) for s in (low, fade))
    np.testing.assert_array_equal(one, draw(low))
    assert jnp.isnan(two).all()
    grid = jax.jit(lambda state: m.mix(state, KEY, 2, 3, coarse=4))(fade)
    assert grid.shape == (6, 8, 8, 1)
    np.testing.assert_array_equal(grid[0], grid[2])


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_parameter_count():
    """Of the official network for 1024x1024, as its README prints it."""
    init = functools.partial(Generator().init, size=(4, 1024, 1024, 3))
    shapes = jax.eval_shape(init, {"params": KEY, "noise": KEY}, jnp.zeros((4, 512)))
    assert count(shapes["params"]) == 26_219_627
    assert len(jax.tree.leaves(shapes["constants"])) == 18


def test_order_of_turns():
    turns = method().turns
    assert [t.label for t in turns] == ["discriminator", "generator"]
    lazy = method(penalties={"r1": {"weight": 1.0, "every": 4}}, path_weight=2.0).turns
    assert [t.label for t in lazy] == ["discriminator", "r1", "generator", "path"]


def test_rates_of_the_recipe():
    """Those of the official code by resolution, from the first step of a fade on."""
    spec = importlib.util.spec_from_file_location("config", ROOT / "configs/stylegan.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    c = module.get_config("ffhq1024")
    rate = optimizer(**c.optim.discriminator.to_dict()).learning_rate
    rates = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}
    for images in (0, 700_000, 4_300_000, 4_900_000, 5_500_000, 7_000_000, 20_000_000):
        phase, within = divmod(images, 1_200_000)
        lod = max(7 - phase - max(within - 600_000, 0) / 600_000, 0)
        side = 2 ** (10 - int(np.floor(lod)))
        got = float(rate(jnp.int32(images // 32)))
        assert got == pytest.approx(rates.get(side, 0.001)), images
    for begin, _ in c.optim.generator.rates:
        assert (begin - 1 - c.method.stable_steps) % (2 * c.method.stable_steps) == 0


@pytest.mark.slow
def test_training_goes_through_the_fade():
    """Traced once; a state from within the fade goes on bit by bit; w's mean moves."""
    m = method(mixing=0.9)
    optimizers = {
        k: optimizer("adam", 0.01, b1=0.0, b2=0.99) for k in ("generator", "discriminator")
    }
    options = {"method": m, "optimizers": optimizers, "emas": {"generator": average(10.0)}}
    state = jax.jit(functools.partial(init_state, **options))(KEY, BATCH)

    @jax.jit
    @functools.partial(chex.assert_max_traces, n=1)
    def step(state):
        return train_step(state, BATCH, KEY, **options)

    states = [state]
    for _ in range(8):
        state, metrics = step(state)
        states.append(state)
        assert metrics["generator/nonfinite"] == metrics["discriminator/nonfinite"] == 0
    again = jax.tree.map(jnp.asarray, jax.device_get(states[4]))
    for _ in range(4):
        again, _ = step(again)
    jax.tree.map(np.testing.assert_array_equal, again, states[8])
    old, new = (s.vars["generator"]["moments"]["mapping"]["mean"] for s in (states[0], states[8]))
    assert jnp.abs(new - old).max() > 0
    up = [s.params["generator"]["synthesis"]["up8"]["kernel"] for s in states]
    np.testing.assert_array_equal(up[3], up[0])
    assert (up[4] != up[3]).any()


@pytest.mark.slow
def test_projection_through_the_levels(game):
    m, state, _ = game
    images = m.sample(state, jax.random.key(5), 2)
    search = jax.jit(functools.partial(m.project, steps=100))
    _, distances, found = search(state, images, KEY)
    assert found.shape == images.shape and distances[-1] < 0.5 * distances[0]
