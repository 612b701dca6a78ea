"""Attention over what is before: what is seen of what, the first position, one at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from causal import KEY, check_causal, check_one_hot, drawn, jacobian, stepped, total

from jaxgen.models.autoregressive.pixelsnail import PixelSNAIL, attend
from jaxgen.nn.heads import Head

RANDOM = np.random.RandomState(0)
X = jnp.asarray(RANDOM.randint(0, 4, (2, 3, 4, 2)), jnp.uint8)
HEAD = Head(4, 8)
MAP = jnp.asarray(RANDOM.randn(2, 3, 4, 2), jnp.float32)
TINY = dict(width=4, blocks=2, resnets=1, key_width=3)


@pytest.fixture(scope="module")
def run():
    """theta, that of steps, and the Jacobian, from one program."""
    net = PixelSNAIL(**TINY)

    @jax.jit
    def everything(variables):
        theta = net.apply(variables, X, HEAD, MAP)
        steps = stepped(net, HEAD, variables, X, MAP)
        return theta, steps, jacobian(net, HEAD, variables, X[:1], MAP[:1])

    return everything(drawn(net, X, HEAD, MAP))


def test_jacobian_and_no_blind_spot(run):
    check_causal(run[2], HEAD, channelwise=False)


def test_one_position_at_a_time_is_the_whole_image(run):
    theta, steps, _ = run
    assert np.abs(theta).max() > 0.1
    np.testing.assert_allclose(steps, theta, atol=1e-5)


def test_attention_excludes_the_position_itself():
    """Against a softmax in float64; the first position has nothing to attend to."""
    query, key = (jnp.asarray(RANDOM.randn(2, 5, 3), jnp.float32) for _ in range(2))
    value = jnp.asarray(RANDOM.randn(2, 5, 4), jnp.float32)
    found = attend(query, key, value, jnp.tri(5, 5, -1, dtype=bool))
    np.testing.assert_array_equal(found[:, 0], np.zeros((2, 4)))
    q, k, v = (np.asarray(a, np.float64) for a in (query, key, value))
    for i in range(1, 5):
        weights = np.exp(np.einsum("bk,bmk->bm", q[:, i], k[:, :i]) / np.sqrt(3))
        weights /= weights.sum(1, keepdims=True)
        expected = np.einsum("bm,bmc->bc", weights, v[:, :i])
        np.testing.assert_allclose(found[:, i], expected, atol=1e-5)


def test_probabilities_of_all_images_sum_to_one():
    net = PixelSNAIL(**(TINY | dict(blocks=1)))
    found = total(net, "logistic_mixture", 2, (2, 2, 1), mixtures=2)
    assert found == pytest.approx(1, abs=1e-6)


def test_size_of_the_official_network():
    """Of CIFAR-10: 12 blocks of 4 residual ones of 256, keys of 16, 10 components."""
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.uint8)
    params = jax.eval_shape(lambda x: PixelSNAIL().init(KEY, x, Head(256, 100)), x)["params"]

    def layer(taps, inputs, outputs):
        return taps * inputs * outputs + 2 * outputs

    def block(taps, width, beside=0):
        convs = layer(taps, width, width) + layer(taps, width, 2 * width)
        return convs + (layer(1, beside, width) if beside else 0)

    w, content, query = 256, 3 + 256 + 6, 256 + 6
    ends = layer(3, 4, w) + layer(2, 4, w) + layer(1, w, 100)
    attention = block(1, content) + layer(1, content, w // 2 + 16)
    attention += block(1, query) + layer(1, query, 16)
    expected = ends + 12 * (4 * block(4, w) + attention + block(1, w, w // 2))
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected == 46_180_788


@pytest.mark.slow
def test_codes_are_given_as_ones_and_zeros():
    check_one_hot(PixelSNAIL(**(TINY | dict(blocks=1)), one_hot=True))
