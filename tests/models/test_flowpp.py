"""Flow++: the size of the official network, its arrangement, its start, and its exactness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.flowpp import (
    AttentionNet,
    Dequantizer,
    Flip,
    FlowPP,
    GatedConv,
    NormalizedConv,
    Pointwise,
    Stripes,
)
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SMALL = {"width": 4, "blocks": 1, "heads": 2, "components": 2}


def test_parameter_count_of_the_official_code():
    """31,443,440, as `run_cifar.py` says."""
    method = Likelihood(
        FlowPP(), DataSpec.of("cifar10", (32, 32, 3), 256), dequantizer=Dequantizer()
    )
    x = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.uint8)
    params, _ = jax.eval_shape(method.init, KEY, {"x": x})
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 31_443_440


def test_columns_then_rows_are_the_official_squeeze():
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    columns, _ = Stripes(2).forward(x)
    np.testing.assert_array_equal(columns[0, 1, 1], [12, 13, 14, 15])
    np.testing.assert_array_equal(columns[..., :2], x[:, :, ::2])
    y, logdet = Stripes(1).forward(columns)
    assert y[0, 0, 0].tolist() == [0, 1, 2, 3, 8, 9, 10, 11] and logdet.tolist() == [0]
    back, _ = Stripes(1).inverse(y)
    np.testing.assert_array_equal(back, columns)
    np.testing.assert_array_equal(Stripes(2).inverse(back)[0], x)


def test_odd_sides_are_refused():
    with pytest.raises(ValueError, match="divisible by 4, got images"):
        jax.eval_shape(FlowPP(**SMALL).init, KEY, jnp.zeros((2, 4, 6, 1)))


def test_flip_changes_each_half_in_turn():
    x = jnp.arange(6.0).reshape(1, 1, 1, 6)
    assert Flip().forward(x)[0].ravel().tolist() == [3, 4, 5, 0, 1, 2]


def test_pointwise_keeps_the_halves_apart():
    x = np.random.RandomState(0).randn(2, 2, 2, 6).astype(np.float32)
    layer = Pointwise(noise=0.3)
    variables = jax.jit(layer.init)(KEY, x)
    y, logdet = jax.jit(layer.apply)(variables, x)
    y, weight = np.asarray(y), np.asarray(variables["params"]["weight"])
    np.testing.assert_allclose(y[..., :3], x[..., :3] @ weight[0], atol=1e-5)
    np.testing.assert_allclose(y[..., 3:], x[..., 3:] @ weight[1], atol=1e-5)
    expected = 4 * np.linalg.slogdet(np.asarray(weight))[1].sum()
    np.testing.assert_allclose(logdet, expected, atol=1e-5)


def test_layers_start_by_the_data():
    x = (3 * np.random.RandomState(0).randn(16, 4, 4, 5) + 2).astype(np.float32)
    layer = NormalizedConv(7, 3, 0.1)
    variables = jax.jit(layer.init)(KEY, x)
    apply = jax.jit(layer.apply)
    y, twice = (np.asarray(apply(variables, v)) for v in (x, 2 * x))
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), 0.1, rtol=1e-4)
    assert np.std(twice) > 0.15


@pytest.mark.slow
def test_the_context_and_the_positions_are_heard():
    x = jax.random.normal(KEY, (2, 2, 2, 4))
    layer = GatedConv()
    given = jax.random.normal(KEY, (2, 2, 2, 3))
    variables = jax.jit(layer.init)(KEY, x, given)
    apply = jax.jit(layer.apply)
    difference = apply(variables, x, given) - apply(variables, x, -given)
    assert jnp.abs(difference).max() > 1e-3
    # the same pixel everywhere: what differs comes from the positions and the border
    net = AttentionNet(width=4, blocks=1, heads=2)
    same = jnp.broadcast_to(x[:, :1, :1], (2, 6, 6, 4))
    start = jax.jit(net.init_with_output, static_argnums=3)
    variables = scrambled(start(KEY, jax.random.normal(KEY, (2, 6, 6, 4)), None, 2)[1], 0.03)
    y = jax.jit(net.apply, static_argnums=3)(variables, same, None, 2)
    assert jnp.abs(y[:, 2, 2] - y[:, 3, 3]).max() > 1e-4
    label = jax.nn.one_hot(jnp.array([0, 1]), 3)
    assert start(KEY, x, label, 2)[0].shape == (2, 2, 2, 2)


def test_dropout_is_of_training_alone():
    x = jnp.asarray(np.random.RandomState(0).randn(4, 2, 2, 2))
    net = AttentionNet(width=4, blocks=1, heads=2, dropout=0.5)

    @jax.jit
    def found(x):
        variables = net.init(KEY, x, None, 2)
        again = [net.apply(variables, x, None, 2) for _ in range(2)]
        return *again, net.apply(variables, x, None, 2, rngs={"dropout": KEY})

    calm, same, noisy = map(np.asarray, found(x))
    np.testing.assert_array_equal(calm, same)
    assert np.abs(noisy - calm).max() > 1e-4


@pytest.mark.parametrize("name", ["flow", "dequantizer"])
@pytest.mark.slow
def test_logdet_and_inverse(name):
    bijector = FlowPP(**SMALL) if name == "flow" else Dequantizer(**SMALL, features=4)
    with jax.enable_x64(True):
        x = jax.random.normal(KEY, (3, 4, 4, 1))
        image = None if name == "flow" else jax.random.uniform(KEY, x.shape) - 0.5
        variables = scrambled(jax.jit(bijector.init)(KEY, x, image), 0.03)

        @jax.jit
        def everything(x):
            def one(x, image):
                image = None if image is None else image[None]
                return bijector.apply(variables, x[None], image)[0].ravel()

            y, logdet = bijector.apply(variables, x, image)
            back, inverse = bijector.apply(variables, y, image, method="inverse")
            axes = (0, None if image is None else 0)
            return logdet, jax.vmap(jax.jacfwd(one), axes)(x, image), back, inverse

        logdet, jacobian, back, inverse = everything(x)
        expected = np.linalg.slogdet(np.asarray(jacobian).reshape(3, 16, 16))[1]
        np.testing.assert_allclose(logdet, expected, atol=1e-8)
        np.testing.assert_allclose(back, x, atol=1e-10)
        np.testing.assert_allclose(logdet + inverse, 0, atol=1e-9)


@pytest.mark.slow
def test_trains_with_its_dequantiser():
    """Gradients reach every part, and integers survive the round trip."""
    spec = DataSpec.of("scans", (4, 4, 1), 17)
    method = Likelihood(
        FlowPP(**SMALL), spec, preprocess="logit", dequantizer=Dequantizer(**SMALL, features=4)
    )
    x = jnp.asarray(np.random.RandomState(0).randint(17, size=(16, 4, 4, 1)).astype(np.uint8))
    params, variables = jax.jit(method.init)(KEY, {"x": x})
    state = State(jnp.int32(0), scrambled(params, 0.03), variables, {}, {})

    def loss(params):
        return method.loss(state.replace(params=params), {"x": x}, KEY)[0]

    value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in jax.tree.leaves(grads))
    encoded = jax.jit(method.encode)(state, x, KEY)
    np.testing.assert_array_equal(jax.jit(method.decode)(state, encoded), x)
