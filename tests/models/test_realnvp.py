"""RealNVP: the official arrangement, its initialisation, its two kinds of moments, its density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors.base import Chain
from jaxgen.bijectors.image import Mirror
from jaxgen.bijectors.masks import Checkerboard, MaskedCoupling
from jaxgen.data import load
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.realnvp import (
    RealNVP,
    ResidualNet,
    ShiftScale,
    TabularRealNVP,
    WeightNormConv,
)
from jaxgen.train.optim import optimizer
from jaxgen.train.step import init_state, train_step
from jaxgen.types import DataSpec

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


IMAGES = normals(4, 4, 4, 1)


def leaf(tree, *path):
    """The one array below whose path has all of these names."""
    found = [
        v
        for k, v in jax.tree_util.tree_leaves_with_path(tree)
        if set(path) <= set(jax.tree_util.keystr(k, simple=True, separator="/").split("/"))
    ]
    assert len(found) == 1
    return found[0]


def parameters(channels, scales, width, blocks):
    """Number of parameters of the official code's network, counted by hand."""

    def net(inside, outside, w):
        first = 9 * inside * w + w
        skip = w * w + 2 * w  # kernel, magnitude, bias
        block = 2 * w + 9 * w * w + 9 * w * w + 2 * w + skip  # two norms, two convolutions
        last = w + w * outside + 2 * outside
        return first + skip + blocks * block + last + 1  # and the scale of the tanh

    total, c, w = 0, channels, width
    for scale in range(scales):
        last = scale == scales - 1
        total += (4 if last else 3) * (c + net(2 * c + 1, 2 * c, w))
        if not last:
            total += 3 * (2 * c + net(4 * c, 4 * c, 2 * w))
        c, w = 2 * c, 2 * w
    return total


@pytest.mark.parametrize(
    ("side", "channels", "options"),
    [
        (32, 3, {"scales": 2, "width": 64, "blocks": 8}),  # the paper's CIFAR-10
        (8, 1, {"scales": 3, "width": 4, "blocks": 1}),
    ],
)
def test_parameters_of_the_official_arrangement(side, channels, options):
    x = jax.ShapeDtypeStruct((2, side, side, channels), jnp.float32)
    ((z, _), shapes) = jax.eval_shape(RealNVP(**options).init_with_output, KEY, x)
    count = sum(v.size for v in jax.tree.leaves(shapes["params"]))
    assert count == parameters(channels, **options)
    levels = shapes["params"]["flow"]
    for i in range(options["scales"] - 1):  # three of checkerboards, three of channels, stacked
        first = leaf(levels[f"levels_{i}"]["bijectors_0"], "rescale")
        second = leaf(levels[f"levels_{i}"]["bijectors_2"], "rescale")
        assert first.shape == second.shape == (3,)
    assert leaf(levels[f"levels_{options['scales'] - 1}"], "rescale").shape == (4,)
    assert sum(np.prod(v.shape[1:]) for v in z) == side * side * channels


def test_the_first_latent_is_the_odd_colour_of_the_image():
    """With couplings that do nothing, what leaves first are the pixels of odd row + column."""
    model = RealNVP(scales=2, width=2, blocks=1, norm=False)
    shapes = jax.eval_shape(model.init, KEY, IMAGES)
    calm = jax.tree_util.tree_map_with_path(  # kernels are divided by their norm
        lambda k, v: np.full(v.shape, float("direction" in jax.tree_util.keystr(k)), v.dtype),
        shapes,
    )
    (fine, top), logdet = jax.jit(model.apply)(calm, IMAGES)
    assert not np.any(logdet)
    row, column = np.indices((4, 4))
    for z, colour in ((fine, 1), (top, 0)):
        expected = np.asarray(IMAGES)[:, (row + column) % 2 == colour]
        np.testing.assert_allclose(np.sort(np.ravel(z)), np.sort(expected.ravel()), atol=1e-6)


def test_checkerboards_start_without_scale_and_channels_with():
    """Without the normalisation; the log-determinant of checkerboards is exactly zero."""
    x = np.asarray(normals(2, 4, 4, 1))
    model = RealNVP(scales=1, width=2, blocks=1, norm=False)
    (z, logdet), _ = jax.jit(model.init_with_output)(KEY, x)
    assert not np.any(logdet) and (np.abs(np.asarray(z[0]) - x) > 1e-3).any()
    rescale = jax.jit(lambda x: ResidualNet(2, 1).init(KEY, x, None, 2)["params"]["rescale"])
    assert rescale(x) == 1


def test_mirrored_couplings_are_those_of_the_other_mask():
    """The arrangement that is compiled once equals the code's masks with mirrored kernels."""
    own, other = Checkerboard(), Checkerboard(swap=True)
    between = MaskedCoupling(ShiftScale(), ResidualNet(3, 1, own), own)
    direct = MaskedCoupling(ShiftScale(), ResidualNet(3, 1, other), other)
    flow = Chain((Mirror(), between, Mirror()))
    x = RANDOM.randn(3, 4, 6, 2)
    first = jax.device_get(jax.jit(flow.init)(KEY, jnp.asarray(x)))
    variables = jax.tree.map(lambda v: v.astype(np.float64) + 0.4, first)

    def reflect(path, v):
        return v[..., :, ::-1, :, :] if "direction" in jax.tree_util.keystr(path) else v

    inner = {k: v["bijectors_1"] for k, v in variables.items()}
    mirrored = jax.tree_util.tree_map_with_path(reflect, inner)
    with jax.enable_x64(True):  # values are up to 50, where float32 are 4e-6 apart
        y, logdet = jax.jit(flow.apply)(variables, jnp.asarray(x))
        z, expected = jax.jit(direct.apply)(mirrored, jnp.asarray(x))
        assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, z, atol=1e-10)
    np.testing.assert_allclose(logdet, expected, atol=1e-5)
    assert np.abs(np.asarray(logdet)).min() > 1e-3


def test_kernels_have_the_norm_of_their_magnitude():
    x = jax.random.normal(KEY, (2, 5, 5, 3))
    for size in (1, 3):
        params = jax.jit(WeightNormConv(4, size).init)(KEY, x)["params"]
        np.testing.assert_allclose(params["magnitude"], np.sqrt(size**2 / 6), rtol=1e-6)
        spread = np.sqrt(2 / 3)
        assert 0.5 * spread < np.abs(params["direction"]).max() <= spread
        kernel = np.asarray(params["direction"], np.float64)
        kernel *= 2 / np.sqrt((kernel**2).sum((0, 1, 2)))
        params = params | {"magnitude": jnp.full(4, 2.0), "bias": jnp.full(4, 0.5)}
        y = jax.jit(WeightNormConv(4, size).apply)({"params": params}, x)
        dims = ("NHWC", "HWIO", "NHWC")
        expected = jax.lax.conv_general_dilated(
            x, jnp.asarray(kernel, jnp.float32), (1, 1), "SAME", dimension_numbers=dims
        )
        np.testing.assert_allclose(y, expected + 0.5, atol=1e-5)


def test_log_scales_are_bounded_and_their_gradients_finite():
    net = ResidualNet(2, 1)
    variables = jax.jit(net.init, static_argnums=3)(KEY, IMAGES, None, 2)

    def log_scale(magnitude):
        last = variables["params"]["last"] | {"magnitude": jnp.full(2, magnitude)}
        params = variables["params"] | {"last": last, "rescale": jnp.float32(1.7)}
        out = net.apply({**variables, "params": params}, IMAGES, None, 2)[..., 1]
        return jnp.max(jnp.abs(out))

    value, grad = jax.jit(jax.value_and_grad(log_scale))(1e3)
    assert 1.6 < value <= 1.7 and np.isfinite(grad)


def trained(model, x, steps, rate=1e-2):
    """(method, state) after some steps on the same batch, compiled once."""
    method = Likelihood(model, DataSpec.of("data", x.shape[1:], None))
    adam = {"model": optimizer("adam", rate)}
    state = jax.jit(lambda x: init_state(KEY, {"x": x}, method=method, optimizers=adam, emas={}))(x)

    def step(_, state):
        return train_step(state, {"x": x}, KEY, method=method, optimizers=adam, emas={})[0]

    return method, jax.jit(lambda state: jax.lax.fori_loop(0, steps, step, state))(state)


@pytest.fixture(scope="module")
def points():
    """A tabular flow after 200 steps on one batch of a banana."""
    x = jax.random.normal(KEY, (128, 2))
    x = jnp.stack([x[:, 0], 0.5 * x[:, 0] ** 2 + 0.5 * x[:, 1]], -1) * 2 + 1
    return *trained(TabularRealNVP(depth=4, hidden=(16,)), x, 200), x


def test_running_moments_give_the_likelihood_of_training(points):
    method, state, x = points
    loss = float(jax.jit(method.loss)(state, {"x": x}, KEY)[0])  # nats a dimension
    nll = np.asarray(jax.jit(method.evaluate)(state, {"x": x}, KEY)["nll"]) / 2
    assert np.isfinite(nll).all() and loss < 1.85  # 2.04 of a Gaussian, 1.77 of the density
    assert abs(float(nll.mean()) - loss) < 0.05


def test_evaluation_does_not_depend_on_the_batch(points):
    method, state, x = points
    log_prob = jax.jit(method.log_prob)
    x = np.asarray(x)
    found = np.asarray(log_prob(state, x, KEY))
    order = np.random.RandomState(0).permutation(len(x))
    np.testing.assert_allclose(log_prob(state, x[order], KEY), found[order], atol=1e-5)
    np.testing.assert_allclose(log_prob(state, x[:8], KEY), found[:8], atol=1e-5)


def test_density_integrates_to_one(points):
    method, state, _ = points
    axis = np.linspace(-25, 35, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)
    density = np.exp(np.asarray(log_prob(state, jnp.asarray(grid), KEY), np.float64))
    np.testing.assert_allclose(density.sum() * (axis[1] - axis[0]) ** 2, 1, atol=1e-3)


def test_samples_encode_to_their_own_noise(points):
    method, state, _ = points
    z = normals(256, 2)
    x = jax.jit(method.decode)(state, z)
    np.testing.assert_allclose(jax.jit(method.encode)(state, x, KEY), z, atol=2e-3)


@pytest.mark.parametrize("depth", [1, 3])
def test_an_odd_depth_has_one_coupling_more_than_pairs(depth):
    flow = TabularRealNVP(depth=depth, hidden=(4,), norm=False)
    shapes = jax.eval_shape(flow.init, KEY, jnp.zeros((2, 4)))["params"]
    sizes = [leaf.size for leaf in jax.tree.leaves(shapes)]
    two_nets = 2 * 2 * (4 * 4 + 4)
    assert min(sizes) > 0 and sum(sizes) == depth * two_nets


@pytest.mark.slow
def test_gradients_of_inverted_activations_are_those_of_stored_ones():
    x = jax.random.normal(KEY, (8, 4))
    flow = TabularRealNVP(depth=4, hidden=(8,), norm=False)
    variables = jax.jit(flow.init)(KEY, x)
    params = jax.tree.map(
        lambda p: p + 0.2 * jax.random.normal(jax.random.key(p.size), p.shape),
        variables["params"],
    )

    def loss(params, x, memory):
        flow = TabularRealNVP(depth=4, hidden=(8,), norm=False, memory=memory)
        z, logdet = flow.apply({"params": params}, x)
        return jnp.mean(jnp.square(z)) - jnp.mean(logdet)

    grad = jax.jit(jax.grad(loss, (0, 1)), static_argnums=2)
    stored, inverted = (grad(params, x, memory) for memory in ("store", "invert"))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), stored, inverted
    )


@pytest.mark.parametrize(
    "model",
    [
        TabularRealNVP(depth=2, hidden=(4,), memory="invert"),
        RealNVP(scales=1, width=2, blocks=1, norm=False, memory="invert"),
    ],
)
def test_moments_of_the_batch_are_not_to_be_inverted(model):
    x = jnp.zeros((2, 4)) if isinstance(model, TabularRealNVP) else IMAGES
    with pytest.raises(ValueError, match="memory='invert' cannot walk back through"):
        jax.eval_shape(model.init, KEY, x)


def test_an_odd_side_is_named():
    with pytest.raises(ValueError, match="mirror needs an even width"):
        jax.eval_shape(RealNVP(scales=1, width=2, blocks=1).init, KEY, jnp.zeros((2, 7, 7, 1)))


@pytest.mark.slow
def test_sixty_four_digits_are_learned_by_heart():
    data = load("digits")
    x = jnp.asarray(data.splits["train"].take(np.arange(64))["x"])
    model = RealNVP(scales=2, width=8, blocks=1)
    method = Likelihood(model, data.spec, preprocess="logit")
    adam = {"model": optimizer("adam", 3e-3)}
    state = jax.jit(lambda x: init_state(KEY, {"x": x}, method=method, optimizers=adam, emas={}))(x)
    step = jax.jit(
        lambda state: train_step(state, {"x": x}, KEY, method=method, optimizers=adam, emas={})
    )
    losses = []
    for _ in range(300):
        state, metrics = step(state)
        losses.append(float(metrics["model/bpd"][0]))
    assert losses[-1] < losses[0] - 2


@pytest.mark.slow
def test_couplings_learn_the_ring_of_eight_gaussians():
    """Acceptance of affine couplings: close to the entropy, and never below it."""
    data = load("ring8")
    train, test = (
        jnp.asarray(data.splits[k].take(np.arange(len(data.splits[k])))["x"])
        for k in ("train", "test")
    )
    method = Likelihood(TabularRealNVP(depth=16, hidden=(128, 128), norm=False), data.spec)
    adam = {
        "model": optimizer("adam", 1e-3, 100, schedule="cosine", decay_steps=4000, clip_norm=5.0)
    }
    state = jax.jit(lambda x: init_state(KEY, {"x": x}, method=method, optimizers=adam, emas={}))(
        train[:512]
    )

    def step(i, state):
        rows = jax.random.randint(jax.random.fold_in(KEY, i), (512,), 0, len(train))
        batch = {"x": train[rows]}
        return train_step(state, batch, KEY, method=method, optimizers=adam, emas={})[0]

    state = jax.jit(lambda state: jax.lax.fori_loop(0, 4000, step, state))(state)
    nll = np.asarray(jax.jit(method.evaluate)(state, {"x": test}, KEY)["nll"])
    error = nll.std() / np.sqrt(len(nll))
    assert data.spec.entropy - 3 * error < nll.mean() < data.spec.entropy + 0.06
