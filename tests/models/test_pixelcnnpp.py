"""Two streams at several resolutions: what is seen of what, weight normalisation, the recipe."""

import runpy

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from causal import KEY, check_causal, drawn, jacobian, stepped, total
from command import ROOT

from jaxgen.models.autoregressive.pixelcnnpp import PixelCNNPP
from jaxgen.nn.causal_conv import CausalConv, CausalConvTranspose
from jaxgen.nn.gated_resnet import GatedResnet, concat_elu
from jaxgen.nn.heads import Head
from jaxgen.nn.weight_norm import WeightNormDense

RANDOM = np.random.RandomState(0)
X = jnp.asarray(RANDOM.randint(0, 4, (2, 4, 8, 2)), jnp.uint8)
HEAD = Head(4, 8)
MAP = jnp.asarray(RANDOM.randn(2, 4, 8, 2), jnp.float32)


@pytest.fixture(scope="module")
def run():
    """theta, that of steps, and the Jacobian, from one program."""
    net = PixelCNNPP(width=3, blocks=1, levels=2)

    @jax.jit
    def everything(variables):
        theta = net.apply(variables, X, HEAD, MAP)
        steps = stepped(net, HEAD, variables, X, MAP)
        return theta, steps, jacobian(net, HEAD, variables, X[:1, :, :4], MAP[:1, :, :4])

    return everything(drawn(net, X, HEAD, MAP))


def test_jacobian_and_no_blind_spot(run):
    """Pixels are predicted whole: their colours meet in the mixture alone."""
    check_causal(run[2], HEAD, channelwise=False)


def test_one_position_at_a_time_is_the_whole_image(run):
    theta, steps, _ = run
    assert np.abs(theta).max() > 0.1
    np.testing.assert_allclose(steps, theta, atol=1e-5)


@pytest.mark.slow
def test_three_resolutions_with_several_blocks():
    """As above, and sums over all images of two."""
    net = PixelCNNPP(width=3, blocks=2, levels=3)
    variables = drawn(net, X, HEAD, MAP)
    run = jax.jit(lambda v: (net.apply(v, X, HEAD, MAP), stepped(net, HEAD, v, X, MAP)))
    theta, steps = run(variables)
    assert np.abs(theta).max() > 0.1
    np.testing.assert_allclose(steps, theta, atol=1e-5)
    jac = jax.jit(lambda v: jacobian(net, HEAD, v, X[:1], MAP[:1]))(variables)
    check_causal(jac, HEAD, channelwise=False)
    found = total(net.clone(levels=2), "logistic_mixture", 2, (2, 2, 1), mixtures=2)
    assert found == pytest.approx(1, abs=1e-6)


def test_probabilities_of_all_images_sum_to_one():
    net = PixelCNNPP(width=3, blocks=1, levels=1)
    found = total(net, "logistic_mixture", 2, (2, 2, 1), mixtures=2)
    assert found == pytest.approx(1, abs=1e-6)


def test_dropout_is_of_training():
    net = PixelCNNPP(width=3, blocks=1, levels=1)
    variables = drawn(net, X, HEAD)
    for train in (False, True):

        def run(v, train=train):
            return net.apply(v, X, HEAD, train=train)

        if train:
            with pytest.raises(flax.errors.InvalidRngError, match="dropout"):
                jax.eval_shape(run, variables)
        else:
            jax.eval_shape(run, variables)


@pytest.mark.parametrize(
    "layer",
    [
        CausalConv(5, (2, 3), 1, std=0.1),
        CausalConv(5, (2, 2), 1, stride=2, std=1.0),
        CausalConvTranspose(5, 3, std=0.3),
        WeightNormDense(5, std=2.0),
    ],
    ids=["convolution", "halving", "doubling", "dense"],
)
def test_the_first_batch_has_the_moments_that_were_asked_for(layer):
    """Salimans & Kingma 2016, section 3; kernels have the norm of their scale."""
    x = jnp.asarray(5 + 2 * RANDOM.randn(8, 4, 6, 3), jnp.float32)
    y, variables = jax.jit(layer.init_with_output)(KEY, x)
    np.testing.assert_allclose(np.mean(y, (0, 1, 2)), np.zeros(5), atol=1e-5)
    np.testing.assert_allclose(np.std(y, (0, 1, 2)), np.full(5, layer.std), rtol=1e-4)
    params = variables["params"]
    longer = params | {"direction": 3 * params["direction"]}
    np.testing.assert_allclose(layer.apply({"params": longer}, x), y, atol=1e-5)


def test_the_kernel_is_the_scale_times_the_direction():
    layer = WeightNormDense(4)
    params = {"direction": RANDOM.randn(3, 4), "scale": RANDOM.rand(4), "bias": RANDOM.randn(4)}
    params = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), params)
    g, v, b = (np.asarray(params[k], np.float64) for k in ("scale", "direction", "bias"))
    x = jnp.asarray(RANDOM.randn(2, 3), jnp.float32)
    expected = np.asarray(x, np.float64) @ (g * v / np.linalg.norm(v, axis=0)) + b
    np.testing.assert_allclose(layer.apply({"params": params}, x), expected, atol=1e-6)


def test_concatenated_elu_and_the_identity():
    x = jnp.asarray(RANDOM.randn(2, 3, 3, 4), jnp.float32)
    expected = np.concatenate([np.where(x > 0, x, np.expm1(x)), np.where(x < 0, -x, np.expm1(-x))])
    both = concat_elu(x)
    assert both.shape == (2, 3, 3, 8)
    np.testing.assert_allclose(np.concatenate(np.split(both, 2, -1)), expected, atol=1e-6)
    block = GatedResnet("down_right")
    params = block.init(KEY, x, x)["params"]
    assert np.abs(block.apply({"params": params}, x, x) - x).max() > 0.01
    second = jax.tree.map(jnp.zeros_like, params["second"])
    np.testing.assert_array_equal(block.apply({"params": params | {"second": second}}, x, x), x)


def test_size_of_the_official_network():
    """Of CIFAR-10: 5 blocks of 160 at each of three resolutions, 10 components.

    Of every convolution a kernel, a scale and a bias; `beside` are dense layers.
    """
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
    params = jax.eval_shape(lambda x: PixelCNNPP().init(KEY, x, Head(256, 100)), x)["params"]

    def layer(taps, inputs, outputs):
        return taps * inputs * outputs + 2 * outputs

    def block(taps, beside):
        convs = layer(taps, 2 * w, w) + layer(taps, 2 * w, 2 * w)
        return convs + (layer(1, beside * 2 * w, w) if beside else 0)

    w = 160
    ends = sum(layer(taps, 4, w) for taps in (6, 3, 2)) + layer(1, w, 100)
    up = 15 * (block(6, 0) + block(4, 1))
    down = 17 * (block(6, 1) + block(4, 2))
    sizes = 4 * (layer(6, w, w) + layer(4, w, w))
    expected = ends + up + down + sizes
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected == 53_659_080


def test_adam_and_rate_of_the_official_run():
    """`adam_updates`, whose small number is inside of the root; the rate falls at every step."""
    from jaxgen.train.optim import build_optimizer

    config = runpy.run_path(str(ROOT / "configs/pixelcnnpp.py"))["get_config"]("cifar10")
    section = config.optim.model.to_dict()
    optimizer = build_optimizer("model", section | {"eps_root": 1e-8})
    p = theirs = jnp.asarray(RANDOM.randn(5), jnp.float32)
    state, mean, square = optimizer.transform.init(p), 0.0, 0.0
    for t in range(1, 6):
        g = np.asarray(1e-4 * RANDOM.randn(5), np.float64)
        mean, square = 0.95 * mean + 0.05 * g, 0.9995 * square + 0.0005 * g**2
        unbiased = mean / (1 - 0.95**t), square / (1 - 0.9995**t)
        rate = 1e-3 * 0.999995 ** (t - 1)
        theirs = theirs - rate * unbiased[0] / np.sqrt(unbiased[1] + 1e-8)
        step, state = optimizer.transform.update(jnp.asarray(g, jnp.float32), state, p)
        assert float(optimizer.learning_rate(jnp.int32(t - 1))) == pytest.approx(rate, rel=1e-5)
        p = p + optimizer.learning_rate(jnp.int32(t - 1)) * step
    np.testing.assert_allclose(p, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (PixelCNNPP(memory="invert"), "memory='invert', expected one of"),
        (PixelCNNPP(levels=4), "levels=4: expected images whose sides 8 divides, got 4x8"),
    ],
)
def test_mistakes_are_named(net, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: net.init(KEY, x, HEAD), X)
