"""Masked and gated networks: what is seen of what, sums over all images, one position at a time."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from causal import KEY, check_causal, check_one_hot, drawn, jacobian, stepped, total

from jaxgen.models.autoregressive.pixelcnn import GatedPixelCNN, PixelCNN
from jaxgen.nn.causal_conv import group_mask, groups_of
from jaxgen.nn.heads import Head
from jaxgen.ops.observations import Categorical

RANDOM = np.random.RandomState(0)
X = jnp.asarray(RANDOM.randint(0, 4, (2, 5, 5, 3)), jnp.uint8)
HEAD = Head(4, 12)
ROWS = jnp.asarray(RANDOM.randn(2, 3), jnp.float32)
MAP = jnp.asarray(RANDOM.randn(2, 5, 5, 2), jnp.float32)
TINY = dict(width=6, blocks=3, size=3, first_size=3, last=24)


@pytest.fixture(scope="module", params=["masked", "gated"])
def run(request):
    """Network, theta of the start, theta, that of steps, Jacobian, all from one program."""
    cls, cond = {"masked": (PixelCNN, MAP), "gated": (GatedPixelCNN, ROWS)}[request.param]
    net = cls(**TINY)

    @jax.jit
    def everything(variables):
        steps = stepped(net, HEAD, variables, X, cond, channelwise=True)
        start, _ = net.init_with_output(KEY, X, HEAD, cond)
        theta = net.apply(variables, X, HEAD, cond)
        return start, theta, steps, jacobian(net, HEAD, variables, X[:1], cond[:1])

    return net, *everything(drawn(net, X, HEAD, cond))


def test_jacobian_and_blind_spot(run):
    """The masked network has one, which is what the gated one is for."""
    net, *_, jac = run
    check_causal(jac, HEAD, channelwise=True, blind=not isinstance(net, GatedPixelCNN))


def test_one_position_at_a_time_is_the_whole_image(run):
    _, _, theta, steps, _ = run
    assert np.abs(theta).max() > 0.1
    np.testing.assert_allclose(steps, theta, atol=1e-5)


def test_all_values_are_equally_likely_at_first(run):
    np.testing.assert_array_equal(run[1], np.zeros((2, 5, 5, 12)))
    nats = -Categorical(4).log_prob(X, run[1])
    np.testing.assert_allclose(np.asarray(nats / np.log(2) / 75), np.full(2, 2), rtol=1e-6)


def test_pixels_predicted_whole_do_not_see_themselves():
    """Where theta has other numbers than one for each value, and where that is asked for."""
    for head, channelwise in ((Head(4, 7), True), (HEAD, False)):
        net = GatedPixelCNN(**(TINY | dict(blocks=1)), channelwise=channelwise)
        x = X[:1, :2, :3]
        found = jacobian(net, head, drawn(net, x, head), x)
        check_causal(found, head, channelwise=False)


@pytest.mark.parametrize(("cls", "size"), [(PixelCNN, (2, 2, 1)), (GatedPixelCNN, (1, 2, 2))])
def test_probabilities_of_all_images_sum_to_one(cls, size):
    assert total(cls(**TINY), "categorical", 2, size) == pytest.approx(1, abs=1e-6)


def test_codes_are_given_as_ones_and_zeros():
    check_one_hot(GatedPixelCNN(**(TINY | dict(blocks=1)), one_hot=True))


def test_masks():
    """A leaves out the own group, B has it: van den Oord et al. 2016, figure 2."""
    np.testing.assert_array_equal(groups_of(7, 3), [0, 0, 0, 1, 1, 2, 2])
    three = np.arange(3)
    np.testing.assert_array_equal(group_mask(three, three, True), np.triu(np.ones((3, 3)), 1))
    np.testing.assert_array_equal(group_mask(three, three, False), np.triu(np.ones((3, 3))))


def count(net, size, head, cond=None):
    x = jax.ShapeDtypeStruct((1, *size), jnp.uint8)
    variables = jax.eval_shape(functools.partial(net.init, head=head, cond=cond), KEY, x)
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def test_sizes_of_the_papers_networks():
    """Kernels cut to what their masks leave; CIFAR-10 of the first paper, 15 blocks of 128."""
    h, last, width = 128, 1024, 768
    block = 2 * h * h + h + 2 * 3 * h * h + h + h * 2 * h + 2 * h
    ends = 4 * 7 * 3 * 2 * h + 2 * h + 2 * h * last + last + last * last + last
    expected = ends + 15 * block + last * width + width
    assert count(PixelCNN(), (32, 32, 3), Head(256, 768)) == expected

    def gated(inputs, vertical, horizontal):
        each = vertical * inputs * 2 * h + horizontal * inputs * 2 * h + 2 * 2 * h
        return each + 4 * h * h + 2 * h + h * h + h

    classes = 10 * 2 * 2 * h
    ends = h * last + last + last * last + last + last * width + width
    expected = ends + gated(3, 3 * 7, 4) + 15 * gated(h, 2 * 3, 2) + 16 * classes
    net = GatedPixelCNN()
    assert count(net, (32, 32, 3), Head(256, 768), jnp.zeros((1, 10))) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "invert"}, "memory='invert', expected one of"),
        ({"size": 2}, "size=2, first_size=3: expected odd numbers"),
        ({"first_size": 1}, "first_size=1: expected odd numbers, the second 3 or more"),
        ({"width": 2}, "width=2, last=24: expected 3 or more with channelwise"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(lambda x: GatedPixelCNN(**(TINY | options)).init(KEY, x, HEAD), X)


def loss(net, variables, train):
    rngs = {"dropout": jax.random.key(1)}
    return jnp.sum(jnp.sin(net.apply(variables, X, HEAD, ROWS, train=train, rngs=rngs)))


def test_memory_changes_no_gradient_and_dropout_is_of_training():
    net = GatedPixelCNN(**TINY, dropout=0.5)
    variables = drawn(net, X, HEAD, ROWS)
    found = [
        jax.jit(jax.value_and_grad(functools.partial(loss, net.clone(memory=memory), train=train)))
        for memory, train in (("store", True), ("remat", True), ("store", False))
    ]
    (stored, slope), (remade, same), (plain, _) = (f(variables) for f in found)
    assert float(stored) == pytest.approx(float(remade), rel=1e-5)
    assert abs(stored - plain) > 0.01
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-4), slope, same)
