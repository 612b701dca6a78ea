"""StyleGAN2: layers against explicit sums, counts of parameters, and the further turns."""

import functools
import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import ROOT

from jaxgen.methods.stylegan2 import StyleGAN2
from jaxgen.models.gans.stylegan2 import Discriminator, Generator
from jaxgen.nn.stylegan import EqualDense, modulated_conv, with_deviation
from jaxgen.sharding import batch_sharding, make_mesh
from jaxgen.train.optim import average, build_optimizers
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
SPEC = DataSpec.of("images", (8, 8, 1), 256)
BATCH = {"x": jnp.asarray(RANDOM.randint(0, 256, (4, 8, 8, 1)), jnp.uint8)}


def floats(*shape):
    return RANDOM.randn(*shape).astype(np.float32)


def one_by_one(x, kernel, style, demodulate, up):
    """Every example by a convolution with its own kernel: equations 1 and 3."""
    out = []
    for i in range(len(x)):
        own = kernel * style[i].reshape(1, 1, -1, 1)
        if demodulate:
            own = own / jnp.sqrt(jnp.sum(own**2, axis=(0, 1, 2), keepdims=True) + 1e-8)
        ones = jnp.ones((1, x.shape[-1]))
        out.append(modulated_conv(x[i : i + 1], own, ones, demodulate=False, up=up))
    return jnp.concatenate(out)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution(demodulate, up):
    @jax.jit
    def found(x, kernel, style):
        got = modulated_conv(x, kernel, style, demodulate, up)
        scaled = modulated_conv(x, kernel, 7.0 * style, demodulate, up)
        return got, one_by_one(x, kernel, style, demodulate, up), scaled

    got, expected, scaled = found(floats(3, 4, 4, 5), floats(3, 3, 5, 6), floats(3, 5))
    assert got.shape == ((3, 8, 8, 6) if up else (3, 4, 4, 6))
    np.testing.assert_allclose(got, expected, atol=2e-5)
    if demodulate:
        np.testing.assert_allclose(got, scaled, atol=2e-5)


def test_plain_modulated_convolution_is_grouped():
    """Against XLA's convolution with a group for each example."""
    x, kernel, style = floats(3, 6, 6, 4), floats(3, 3, 4, 5), floats(3, 4)
    own = kernel[None] * style.reshape(3, 1, 1, 4, 1)
    own = own / np.sqrt(np.sum(own**2, axis=(1, 2, 3), keepdims=True) + 1e-8)
    side_by_side = x.transpose(1, 2, 0, 3).reshape(1, 6, 6, 12)
    kernels = own.transpose(1, 2, 3, 0, 4).reshape(3, 3, 4, 15)
    y = jax.lax.conv_general_dilated(
        side_by_side,
        kernels,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    expected = np.asarray(y).reshape(6, 6, 3, 5).transpose(2, 0, 1, 3)
    got = jax.jit(modulated_conv)(x, kernel, style)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_deviation_of_groups():
    """Strided groups, in loops; the same on eight devices."""
    x = floats(16, 3, 2, 5)
    got = np.asarray(jax.jit(with_deviation)(x))
    for i in range(16):
        group = x[i % 4 :: 4]
        deviation = np.sqrt(group.var(0) + 1e-8).mean()
        np.testing.assert_allclose(got[i, ..., 5], deviation, rtol=1e-5)
    np.testing.assert_array_equal(got[..., :5], x)
    split = jax.jit(with_deviation)(jax.device_put(x, batch_sharding(make_mesh())))
    np.testing.assert_allclose(split, got, atol=1e-6)
    with pytest.raises(ValueError, match="groups of 4 do not divide the batch of 6"):
        with_deviation(jnp.asarray(x[:6]))
    whole = np.sqrt(x[:6].var(0) + 1e-8).mean()
    got = jax.jit(lambda x: with_deviation(x, None)[..., 5])(x[:6])
    np.testing.assert_allclose(got, whole, rtol=1e-6)


def test_equalised_rate():
    """Unit variance at first; the stored kernel moves by the rate, the used one by its share."""
    layer, x = EqualDense(400, rate=0.01), floats(50, 300)
    variables = jax.tree.map(np.asarray, jax.jit(layer.init)(KEY, x))
    apply = jax.jit(layer.apply)
    y = np.asarray(apply(variables, x))
    np.testing.assert_allclose(np.std(variables["params"]["kernel"]), 100, rtol=0.02)
    np.testing.assert_allclose(np.std(y), 1, rtol=0.05)
    moved = jax.tree.map(lambda p: p + 1, variables)
    expected = np.sum(x, 1, keepdims=True) * 0.01 / np.sqrt(300) + 0.01
    change = np.asarray(apply(moved, x)) - y
    np.testing.assert_allclose(change, np.broadcast_to(expected, change.shape), atol=1e-5)


def shape(*sides):
    return jax.ShapeDtypeStruct(sides, np.float32)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


COUNTS = {  # (side, base): generator, discriminator, of NVlabs/stylegan2-ada-pytorch
    (1024, 32_768): (30_370_060, 29_012_513),
    (256, 32_768): (30_034_338, 28_864_129),
    (256, 16_384): (24_767_458, 24_001_089),
    (64, 16_384): (23_819_544, 23_407_361),
}


@pytest.mark.parametrize("side", COUNTS, ids=str)
def test_parameter_counts(side):
    size = (2, side[0], side[0], 3)
    init = functools.partial(Generator(base=side[1]).init, size=size)
    rngs = {"params": KEY, "noise": KEY}
    generator = jax.eval_shape(init, rngs, shape(2, 512))
    discriminator = jax.eval_shape(Discriminator(base=side[1]).init, KEY, shape(*size))
    assert (count(generator["params"]), count(discriminator["params"])) == COUNTS[side]


def test_parameter_count_with_classes():
    init = functools.partial(Generator(base=16_384, layers=2).init, size=(2, 32, 32, 3))
    rngs = {"params": KEY, "noise": KEY}
    made = jax.eval_shape(init, rngs, shape(2, 512), cond=shape(2, 10))
    assert count(made["params"]) == 20_215_315


def method(**options):
    return StyleGAN2(
        Generator(4, 6, layers=2, most=8),
        Discriminator(most=8),
        SPEC,
        penalties={"r1": {"weight": 1.0, "every": 16}},
        **options,
    )


@pytest.fixture(scope="module")
def game():
    """A method, and a state whose noise has a strength."""
    m = method()
    params, variables = jax.tree.map(np.asarray, jax.jit(m.init)(KEY, BATCH))
    params = jax.tree_util.tree_map_with_path(
        lambda path, p: p + 0.3 if path[-1].key == "strength" else p, params
    )
    return m, State(jnp.int32(0), jax.tree.map(jnp.asarray, params), variables, {}, {})


@pytest.fixture(scope="module")
def draw(game):
    """draw(state, styles, key, noise) as of `Styles.synthesize`."""
    return jax.jit(game[0].source.synthesize, static_argnums=3)


def test_order_of_turns():
    turns = method().turns
    assert [t.label for t in turns] == ["generator", "path", "discriminator", "r1"]
    assert [t.every for t in turns] == [1, 4, 1, 16]
    assert [t.label for t in method(path_weight=0.0).turns] == ["generator", "discriminator", "r1"]


def test_path_length_is_that_of_the_jacobian(game):
    """||J^T y|| with the whole Jacobian, one w for all layers or one for each."""
    m, state = game
    styles = floats(2, 4, 6)

    def image(styles):
        return m.source.synthesize(state, styles, KEY)

    @jax.jit
    def found(styles):
        key = jax.random.key(7)
        got = m.path_lengths(state, styles, KEY, key)
        return got, jax.random.normal(key, (2, 8, 8, 1)) / 8, jax.jacfwd(image)(styles)

    got, y, jacobian = map(np.asarray, found(styles))
    for i in range(2):
        slope = np.einsum("hwc,hwcld->ld", y[i], jacobian[i, ..., i, :, :])
        expected = np.sqrt(np.mean(np.sum(slope**2, axis=1)))
        np.testing.assert_allclose(got[i], expected, rtol=2e-4)


def test_mean_path_length_moves_before_the_penalty(game):
    m, state = game

    @jax.jit
    def found(state):
        keys = jax.random.split(KEY, 3)
        styles, _ = m.source.mixed(state, keys[0], 2, None)
        lengths = m.path_lengths(state, styles, keys[1], keys[2])
        return m.path_loss(state, BATCH, KEY), lengths

    (loss, (variables, metrics)), lengths = jax.tree.map(np.asarray, found(state))
    mean = variables["game"]["path_mean"]
    np.testing.assert_allclose(mean, 0.01 * metrics["length"], rtol=1e-5)
    np.testing.assert_allclose(loss, 4 * 2.0 * metrics["penalty"], rtol=1e-5)
    np.testing.assert_allclose(metrics["penalty"], np.mean((lengths - mean) ** 2), rtol=1e-3)


def test_styles_of_two_latents(game):
    """Layers from the cut on are of the other; where both are equal nothing changes."""
    state = game[1]
    mixed = jax.jit(lambda k: method(mixing=1.0).source.mixed(state, k, 3, None))
    cuts = set()
    for seed in range(12):
        styles, moved = jax.tree.map(np.asarray, mixed(jax.random.key(seed)))
        same = np.array([np.allclose(styles[:, 0], styles[:, i]) for i in range(4)])
        cut = int(same.sum())
        assert same[:cut].all()
        cuts.add(cut)
    assert cuts == {1, 2, 3}
    mean = moved.vars["generator"]["moments"]["mapping"]["mean"]
    expected = 0.005 * np.mean(styles[:, 0], axis=0)  # of the first latents alone
    np.testing.assert_allclose(mean, expected, rtol=1e-5)
    styles, _ = jax.jit(lambda k: method(mixing=0.0).source.mixed(state, k, 3, None))(KEY)
    assert np.ptp(styles, axis=1).max() == 0


def test_truncation(game):
    m, state = game
    gen = state.vars["generator"]
    values = np.arange(6, dtype=np.float32)
    moments = {"mapping": {"mean": values}}
    state = state.replace(vars=state.vars | {"generator": {**gen, "moments": moments}})
    mean, styles = np.broadcast_to(values.reshape(1, 1, 6), (1, 4, 6)), floats(2, 4, 6)

    @jax.jit
    def found(state):
        of_mean = m.unscaled(m.source.synthesize(state, jnp.asarray(mean), KEY, "const"))
        still = m.sample(state, KEY, 3, truncation=0.0)
        return still, of_mean, m.truncated(state, styles, 0.5, 2)

    still, of_mean, near = map(np.asarray, found(state))
    assert (still == still[:1]).all()
    np.testing.assert_array_equal(still[:1], of_mean)
    np.testing.assert_allclose(near[:, :2], (styles + mean)[:, :2] / 2, rtol=1e-6)
    np.testing.assert_array_equal(near[:, 2:], styles[:, 2:])


def test_every_style_is_used(game, draw):
    """No layer reads past the end or shares another's w."""
    m, state = game
    styles = floats(1, 4, 6)
    before = draw(state, styles, KEY, "none")
    for layer in range(4):
        broken = styles.copy()
        broken[:, layer] = np.nan
        assert np.isnan(draw(state, broken, KEY, "none")).any()
    assert np.isfinite(before).all()
    with pytest.raises(ValueError, match="3 styles, expected 4"):
        m.source.synthesize(state, jnp.asarray(styles[:, :3]), KEY, "none")


def test_noise(game, draw):
    _, state = game
    draw = functools.partial(draw, state, floats(1, 4, 6))
    a, b = draw(jax.random.key(1), "const"), draw(jax.random.key(2), "const")
    np.testing.assert_array_equal(a, b)
    a, b = draw(jax.random.key(1), "random"), draw(jax.random.key(2), "random")
    assert np.abs(np.asarray(a) - b).max() > 1e-4
    with pytest.raises(ValueError, match="noise='loud', expected"):
        draw(KEY, "loud")


def test_half_life_in_images():
    """After 10,000 images the distance from a constant has halved, whatever the batch."""
    for batch in (4, 32, 64):
        decay = average(10_000 / batch).decay(jnp.int32(0))
        np.testing.assert_allclose(float(decay) ** (10_000 / batch), 0.5, rtol=1e-4)
    np.testing.assert_allclose(average(10_000 / 32).decay(jnp.int32(0)), 0.9977844, rtol=1e-6)


@pytest.mark.slow
def test_projection_finds_its_own_image(game):
    """Of a generator that stays within the grey levels, down to their rounding."""
    m, state = game
    quiet = jax.tree_util.tree_map_with_path(
        lambda path, p: 0.4 * p if path[1].key.startswith("image") else p,
        state.params["generator"],
    )
    state = state.replace(params=state.params | {"generator": quiet})
    images = m.sample(state, jax.random.key(5), 2)
    assert images.min() > 0 and images.max() < 255
    _, distances, found = jax.jit(functools.partial(m.project, steps=300))(state, images, KEY)
    rounding = (2 / 255) ** 2 / 12
    assert distances[0] > 50 * rounding and distances[-1] < 1.5 * rounding
    np.testing.assert_allclose(found.astype(int), images.astype(int), atol=2)


def test_style_weights_are_what_layers_make_of_w(game):
    """Against the outputs of the affine layers, which are linear in w but for their biases."""
    m, state = game
    w = floats(3, 6).astype(np.float64)

    def outputs(w):
        styles = m.source.spread(jnp.asarray(w, jnp.float32))
        _, noted = m.generator.apply(
            {"params": state.params["generator"], **state.vars["generator"]},
            styles,
            (3, 8, 8, 1),
            "none",
            method="synthesize",
            capture_intermediates=lambda module, _: module.name == "affine",
            mutable=["intermediates"],
        )
        return np.concatenate(jax.tree.leaves(noted["intermediates"]), axis=1)

    found = np.asarray(m.style_weights(state), np.float64)
    change = outputs(w) - outputs(0 * w)
    assert found.shape == (change.shape[1], 6)
    np.testing.assert_allclose(change, w @ found.T / np.sqrt(6), atol=1e-4)


def test_styles_of_layers_are_what_images_are_made_of(game):
    """Linear in w by the weights; they give the image again, and one of them changes it alone."""
    m, state = game
    w = jnp.asarray(floats(3, 6))
    of_layers, render = jax.jit(m.channels_of), jax.jit(lambda s, c: m.render_channels(s, c, False))
    found = np.asarray(of_layers(state, w))
    weights = np.asarray(m.style_weights(state))
    change = found - np.asarray(of_layers(state, 0 * w))
    assert found.shape == (3, len(weights))
    expected = np.asarray(w) @ weights.T / np.sqrt(6)
    np.testing.assert_allclose(np.sort(change, axis=1), np.sort(expected, axis=1), atol=1e-4)
    plain = np.asarray(jax.jit(lambda s, w: m.render(s, w, False))(state, w))
    np.testing.assert_allclose(render(state, found), plain, atol=1e-4)
    moved = found.copy()
    moved[1, 2] += 3
    other = np.asarray(render(state, jnp.asarray(moved)))
    np.testing.assert_array_equal(other[[0, 2]], np.asarray(render(state, found))[[0, 2]])
    assert np.abs(other[1] - plain[1]).max() > 1e-2


def test_a_grid_of_mixed_styles(game):
    m, state = game
    mix = jax.jit(lambda state, coarse: m.mix(state, KEY, 2, 3, coarse))
    grid = np.asarray(mix(state, 4))  # all layers of the row
    assert grid.shape == (6, 8, 8, 1)
    np.testing.assert_array_equal(grid[0], grid[2])
    grid = np.asarray(mix(state, 0))
    np.testing.assert_array_equal(grid[0], grid[3])


@pytest.mark.parametrize(
    ("path_weight", "share"), [(2.0, 4 / 5), (0.0, 1.0)], ids=["path length", "none"]
)
def test_constants_of_lazy_turns(path_weight, share):
    """Karras et al. 2020: R1 every 16 steps, path length every 4; Adam's first move."""
    spec = importlib.util.spec_from_file_location("config", ROOT / "configs/stylegan2.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    optim = module.get_config("ffhq1024").optim.to_dict()
    built = build_optimizers(optim, method(path_weight=path_weight))
    for player, c in (("generator", share), ("discriminator", 16 / 17)):
        made = built[player]
        np.testing.assert_allclose(made.learning_rate(jnp.int32(7)), 0.002 * c, rtol=1e-6)
        p = jnp.float32(1)
        memory = made.transform.update(jnp.float32(3), made.transform.init(p), p)[1]
        np.testing.assert_allclose(memory[0].nu, (1 - 0.99**c) * 9, rtol=1e-4)
        np.testing.assert_allclose(memory[0].mu, 3, rtol=1e-6)
