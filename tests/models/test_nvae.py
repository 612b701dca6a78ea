"""NVAE: parameter counts, cells, the flow of the posterior, and what depends on what."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.vaes.nvae import NVAE, soft_normal
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.nvae_cells import MOMENTUM, FactorizedReduce, NormedConv, double_bilinear, flow

KEY = jax.random.key(0)
COLOUR = dict(blocks=1, block_cells=2, flows=1)


def shapes(model, image, width):
    """Of all variables."""
    x = jnp.zeros((2, *image))
    return jax.eval_shape(
        lambda key: model.init({"params": key, "latent": key}, x, (2, *image[:2], width)), KEY
    )


@pytest.mark.parametrize(
    ("options", "image", "width", "count"),
    [
        (dict(channels=32, groups=(5, 10), pad=2), (28, 28, 1), 1, 33_363_134),
        (dict(channels=128, groups=(30,), **COLOUR), (32, 32, 3), 100, 130_852_480),
        pytest.param(
            dict(channels=192, groups=(28,), **COLOUR),
            (32, 32, 3),
            100,
            268_509_444,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            dict(channels=64, groups=(5, 10, 20), **COLOUR),
            (64, 64, 3),
            100,
            153_281_364,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            dict(channels=30, groups=(4, 4, 4, 8, 16), **COLOUR | {"flows": 2}),
            (256, 256, 3),
            100,
            330_798_664,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["mnist", "cifar10", "imagenet32", "celeba64", "celebahq256"],
)
def test_recipes_have_as_many_parameters_as_the_official_models(options, image, width, count):
    params = shapes(NVAE(**options), image, width)["params"]
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params)) == count


def scrambled(tree, seed=0):
    """Values for shapes: kernels and all else away from zero, variances positive."""
    random = np.random.RandomState(seed)

    def value(path, leaf):
        noise = random.randn(*leaf.shape).astype(np.float32)
        centre = 1.0 if path[-1].key in ("scale", "var") else 0.0
        return jax.device_put(centre + np.float32(0.2 if centre else 0.4) * noise)

    return jax.tree_util.tree_map_with_path(value, tree)


IMAGE, SIZE = (4, 4, 1), (3, 4, 4, 2)


@pytest.fixture(scope="module")
def tiny():
    """Scales of one and two groups, with flows: a model, its variables, images."""
    model = NVAE(channels=4, groups=(1, 2), latent=2, blocks=0, group_cells=1, flows=1)
    variables = scrambled(shapes(model, IMAGE, SIZE[-1]))
    return model, variables, jnp.asarray(np.random.RandomState(0).rand(3, *IMAGE))


@pytest.fixture(scope="module")
def draw(tiny):
    """Of the posterior."""
    model, variables, x = tiny
    run = jax.jit(lambda v, x: model.apply(v, x, SIZE, rngs={"latent": KEY}))
    return jax.device_get(run(variables, x))


def test_a_draw_has_the_shapes_it_owes(draw):
    assert [z.shape for z in draw.z] == [(3, 2, 2, 2)] + [(3, 4, 4, 2)] * 2
    assert [kl.shape for kl in draw.kl] == [(3, 2)] * 3
    assert draw.theta.shape == SIZE
    total = sum(np.sum(kl, -1) for kl in draw.kl)  # with flows, of the one draw
    np.testing.assert_allclose(draw.log_q - draw.log_p, total, rtol=1e-3, atol=1e-3)


def test_latents_of_the_posterior_give_the_same_theta_without_it(tiny, draw):
    model, variables, _ = tiny
    top_down = jax.jit(
        lambda v, z, key: model.apply(
            v, None, SIZE, given=z, rngs={"latent": key}, method="top_down"
        )
    )
    again = top_down(variables, draw.z, KEY)
    np.testing.assert_allclose(again.theta, draw.theta, atol=1e-4)
    np.testing.assert_allclose(again.log_p, draw.log_p, rtol=1e-4)
    assert not again.kl
    some = top_down(variables, (None, draw.z[1], None), KEY)
    np.testing.assert_array_equal(some.z[1], draw.z[1])
    assert np.abs(np.subtract(some.z[0], draw.z[0])).min() > 0
    assert np.abs(np.subtract(some.z[2], draw.z[2])).min() > 0


def test_given_latents_neither_theta_nor_the_priors_see_the_image(tiny, draw):
    """Bit-exact; and the flow's inverse finds the density that the draw had."""
    model, variables, x = tiny

    @jax.jit
    def posterior(v, x, z):
        h = model.apply(v, x, method="bottom_up")
        return model.apply(v, h, SIZE, given=z, method="top_down")

    one, other = (posterior(variables, v, draw.z) for v in (x, np.asarray(x)[::-1]))
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one.log_p, other.log_p)
    assert np.abs(np.subtract(one.log_q, other.log_q))[[0, 2]].min() > 1e-2
    np.testing.assert_allclose(one.log_q, draw.log_q, rtol=1e-3, atol=1e-2)


@pytest.mark.slow
def test_remat_computes_what_store_does():
    options = dict(channels=4, groups=(3,), latent=1, blocks=0, group_cells=1)
    x = jax.random.uniform(KEY, (3, *IMAGE))
    variables = scrambled(shapes(NVAE(**options), IMAGE, 1))

    def run(memory):
        model = NVAE(**options, memory=memory)

        def loss(params):
            draw, moved = model.apply(
                {**variables, "params": params},
                x,
                (3, 4, 4, 1),
                rngs={"latent": KEY},
                mutable=["batch_stats"],
            )
            return jnp.mean(jnp.square(draw.theta)) + jnp.mean(draw.log_q - draw.log_p), moved

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])

    store, remat = run("store"), run("remat")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), store, remat)


def test_residual_normal_is_clamped_and_its_divergence_is_the_closed_form():
    random = np.random.RandomState(0)
    raw, residual = 4 * random.randn(2, 5, 6).astype(np.float32)

    def moments(values):
        mean, log_std = np.split(5 * np.tanh(np.asarray(values, np.float64) / 5), 2, axis=-1)
        return mean, np.exp(log_std) + 0.01

    (mean, std), (prior_mean, prior_std) = moments(raw + residual), moments(raw)
    ratio, distance = std / prior_std, (mean - prior_mean) / prior_std
    closed = 0.5 * (distance**2 + ratio**2 - 1) - np.log(ratio)

    @jax.jit
    def found(raw, residual, z):
        q, p = soft_normal(raw + residual), soft_normal(raw)
        return q.kl(p), jax.vmap(lambda z: q.log_prob(z) - p.log_prob(z))(z)

    z = mean + std * random.randn(50_000, *mean.shape)
    kl, gap = map(np.asarray, found(raw, residual, z))
    np.testing.assert_allclose(kl, closed, rtol=1e-3, atol=1e-4)
    error = np.std(gap, axis=0) / math.sqrt(len(z))
    assert np.all(np.abs(np.mean(gap, axis=0) - closed) < 5 * error + 1e-3)
    np.testing.assert_allclose(jnp.exp(soft_normal(jnp.zeros(2)).log_std), [1.01], rtol=1e-6)


def test_small_parameters_give_the_papers_divergence():
    """Equation 2, in the limit in which nothing is clamped, and of large stds."""
    raw = jnp.array([0.02, 0.3])
    residual = jnp.array([0.01, -0.05])
    ours = float(soft_normal(raw + residual).kl(soft_normal(raw))[0])
    ratio = math.exp(2 * -0.05)
    paper = 0.5 * (0.01**2 / math.exp(2 * 0.3) + ratio - math.log(ratio) - 1)
    assert ours == pytest.approx(paper, rel=0.03)


@pytest.fixture(scope="module")
def warp():
    """A pair of flow cells on 3x3 images of two channels, and its variables."""
    module = flow(1, "flow")
    x = jnp.asarray(np.random.RandomState(0).randn(1, 3, 3, 2))
    return module, scrambled(jax.eval_shape(module.init, KEY, x), seed=1), x


def test_flow_cells_keep_volume(warp):
    """The first is triangular in raster order, the mirrored one in the reverse of it."""
    module, variables, x = warp

    def run(b, x, i):
        return b.bijectors[i].forward(x)[0]

    def flat(x):
        image = x.reshape(1, 3, 3, 2)
        return [module.apply(variables, image, i, method=run).ravel() for i in (0, 1)]

    found = jax.jit(lambda x: (jax.jacfwd(flat)(x.ravel()), module.apply(variables, x)[1]))
    jacobians, logdet = jax.tree.map(np.asarray, found(x))
    for jacobian, turned in zip(jacobians, (False, True), strict=True):
        if turned:
            order = np.arange(18).reshape(9, 2)[::-1].ravel()
            jacobian = jacobian[order][:, order]
        np.testing.assert_array_equal(np.triu(jacobian), np.eye(18))
        below = jacobian[np.tril_indices(18, -1)]
        assert np.mean(below != 0) > 0.9  # all that is before reaches, within 7 pixels
    np.testing.assert_array_equal(logdet, [0])


def test_flow_cells_are_undone_exactly(warp):
    module, variables, _ = warp
    x = np.random.RandomState(0).randn(3, 5, 4, 2).astype(np.float32)

    @jax.jit
    def there_and_back(x):
        y, _ = module.apply(variables, x)
        return y, *module.apply(variables, y, method="inverse")

    y, back, logdet = there_and_back(x)
    assert np.abs(y - x).max() > 0.1
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_array_equal(logdet, np.zeros(3))


def test_batch_norm_keeps_the_unbiased_variance():
    x = 2 + 3 * np.random.RandomState(0).randn(2, 2, 1, 3).astype(np.float32)
    module, images = BatchNorm(MOMENTUM), jnp.asarray(x)
    variables = module.init(KEY, images)
    y, moved = module.apply(variables, images, mutable=["batch_stats"])
    flat = x.reshape(4, 3)
    np.testing.assert_allclose(
        np.asarray(y).reshape(4, 3), (flat - flat.mean(0)) / np.sqrt(flat.var(0) + 1e-5), atol=1e-5
    )
    after = jax.device_get(moved["batch_stats"])
    np.testing.assert_allclose(after["mean"], 0.05 * flat.mean(0), rtol=1e-5)
    np.testing.assert_allclose(after["var"], 0.95 + 0.05 * flat.var(0, ddof=1), rtol=1e-5)
    still = module.apply({**variables, **moved}, images)
    np.testing.assert_allclose(
        still, (x - after["mean"]) / np.sqrt(after["var"] + 1e-5), rtol=1e-4, atol=1e-5
    )


def test_kernels_have_their_learned_norm():
    module = NormedConv(5)
    x = jnp.zeros((1, 3, 3, 2))
    variables = scrambled(jax.eval_shape(module.init, KEY, x))
    _, noted = module.apply(variables, x, mutable=["intermediates"])
    norms = np.sqrt(np.sum(np.square(noted["intermediates"]["kernel"]), (0, 1, 2)))
    np.testing.assert_allclose(norms, np.exp(variables["params"]["log_norm"]), rtol=1e-4)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_bilinear_doubling_keeps_the_corners(size):
    x = np.random.RandomState(0).rand(1, size, 3, 1).astype(np.float32)
    y = np.asarray(double_bilinear(jnp.asarray(x)))[0, ..., 0]
    rows = np.linspace(0, size - 1, 2 * size)
    columns = np.linspace(0, 2, 6)
    tall = [np.interp(rows, np.arange(size), x[0, :, j, 0]) for j in range(3)]
    wide = [np.interp(columns, np.arange(3), row) for row in np.transpose(tall)]
    np.testing.assert_allclose(y, wide, atol=1e-6)


def test_each_part_of_the_reduction_sees_one_pixel_of_each_square():
    module, x = FactorizedReduce(8), jnp.ones((1, 4, 4, 2))
    variables = scrambled(jax.eval_shape(module.init, KEY, x))
    apply = jax.jit(module.apply)
    base = np.asarray(apply(variables, x))
    for row, column, part in ((0, 0, 0), (1, 1, 1), (0, 1, 2), (1, 0, 3)):
        other = np.ones((1, 4, 4, 2), np.float32)
        other[0, 2 + row, column] = 5
        moved = np.asarray(apply(variables, other)) != base
        expected = np.zeros((1, 2, 2, 8), bool)
        expected[0, 1, 0, 2 * part : 2 * part + 2] = True
        np.testing.assert_array_equal(moved, expected)


@pytest.mark.parametrize(
    ("options", "call", "message"),
    [
        ({}, dict(cond=jnp.ones((3, 2))), "takes no condition"),
        (dict(blocks=1), {}, "4x4 with pad=0 is not divisible by 8"),
        (dict(groups=(0, 2)), {}, r"groups=\(0, 2\), expected one or more"),
        (dict(memory="stor"), {}, "memory='stor', expected one of"),
    ],
)
def test_mistakes_are_named(options, call, message):
    model = NVAE(**dict(channels=4, groups=(1, 1, 1), latent=1, blocks=0, group_cells=1) | options)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: model.init(KEY, x, SIZE, **call), jnp.zeros((3, *IMAGE)))


def test_latents_of_all_groups_are_expected(tiny, draw):
    model, variables, _ = tiny
    with pytest.raises(ValueError, match="latents of 3 groups, got 1"):
        model.apply(variables, None, SIZE, given=jax.device_put(draw.z[:1]), method="top_down")


@pytest.mark.slow
def test_the_program_does_not_grow_with_the_groups():
    """A gradient through the 30 groups of CIFAR-10 has the operations of one through three.

    What each group adds are the slices of its own draw and divergence, 20 of 11,000 operations.
    """

    def operations(groups):
        model = NVAE(channels=4, groups=(groups,), latent=2, **COLOUR)
        x, size = jnp.zeros((2, 8, 8, 3)), (2, 8, 8, 4)
        keys = {"params": KEY, "latent": KEY}
        variables = jax.eval_shape(lambda: model.init(keys, x, size))
        params = variables.pop("params")

        def loss(params, variables):
            collections = list(variables)
            out, _ = model.apply(
                {"params": params, **variables}, x, size, rngs=keys, mutable=collections
            )
            return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(out))

        text = jax.jit(jax.grad(loss)).lower(params, variables).as_text()
        return len(text.splitlines())

    few, many = operations(3), operations(30)
    assert few > 1000
    assert many <= 1.1 * few
