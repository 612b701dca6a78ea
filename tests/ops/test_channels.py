"""Spreading and summing over positions, against plain broadcasting, to second order."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxgen.ops.activations import relu
from jaxgen.ops.channels import channel_sum, scale_channels, spread

SHAPES = [(3, 4, 5, 2), (6, 3), (4,)]


def plain(x, scale, bias):
    lead = (1,) * (x.ndim - 1)
    return jax.nn.relu(x * scale.reshape(*lead, -1) + bias.reshape(*lead, -1))


def ours(x, scale, bias):
    return relu(scale_channels(x, scale) + spread(bias, x.shape))


def operands(shape):
    random = np.random.RandomState(0)
    shapes = (shape, shape[-1:], shape[-1:])
    return tuple(jnp.asarray(random.randn(*s)) for s in shapes)


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_those_of_broadcasting(shape):
    def loss(f):
        return jax.jit(jax.value_and_grad(lambda *a: jnp.sum(jnp.sin(f(*a))), argnums=(0, 1, 2)))

    actual, expected = loss(ours)(*operands(shape)), loss(plain)(*operands(shape))
    chex.assert_trees_all_close(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_both_modes_to_second_order():
    with jax.enable_x64(True):
        x, scale, bias = operands((2, 3, 2))
        x, scale, bias = (a.astype(jnp.float64) for a in (x, scale, bias))
        check_grads(
            lambda *a: ours(*map(jnp.asarray, a)), (x, scale, bias), order=2, modes=("fwd", "rev")
        )
        check_grads(lambda a: channel_sum(jnp.asarray(a)), (x,), order=2, modes=("fwd", "rev"))


def test_under_vmap():
    x, scale, bias = operands((3, 4, 2))

    def slopes(f):
        return jax.value_and_grad(lambda s: jnp.sum(f(x, s, bias)))

    @jax.jit
    def found(x, scale, bias):
        scales = jnp.stack([scale, 2 * scale])
        batched = jax.vmap(ours, (0, None, None))(x[:, None], scale, bias)[:, 0]
        one = [slopes(plain)(s) for s in scales]
        return batched, plain(x, scale, bias), jax.vmap(slopes(ours))(scales), one

    batched, expected, both, one = found(x, scale, bias)
    np.testing.assert_allclose(batched, expected, rtol=1e-6)
    for got, each in zip(both, zip(*one, strict=True), strict=True):
        np.testing.assert_allclose(got, np.stack(each), rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_channel_sum(shape):
    x = operands(shape)[0]
    expected = np.asarray(x, np.float64).sum(tuple(range(x.ndim - 1)))
    np.testing.assert_allclose(channel_sum(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.jit(channel_sum)(x), expected, rtol=1e-5, atol=1e-6)


def test_half_precision_sums_in_float32():
    x = jnp.full((4096, 1), 1.0, jnp.bfloat16)
    assert float(channel_sum(x)[0]) == 4096


def test_the_backward_pass_keeps_operands_only():
    """A scan stacks the input of each step and its output: no mask, no spread parameter."""
    x, scale, bias = operands((3, 4, 2))

    def loss(x, scale, bias):
        def body(x, params):
            return ours(x, *params), None

        params = (jnp.stack([scale] * 5), jnp.stack([bias] * 5))
        return jnp.sum(jax.lax.scan(body, x, params)[0])

    jaxpr = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1, 2)))(x, scale, bias)
    scans = [e for e in jaxpr.jaxpr.eqns if e.primitive.name == "scan"]
    stacked = [v.aval for v in scans[0].outvars if v.aval.shape[:1] == (5,)]
    kept = [a for a in stacked if a.shape[1:] == x.shape]
    assert len(kept) == 2 and all(a.dtype == jnp.float32 for a in kept)


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match=r"3 channels do not fit the shape \(4, 2\)"):
        spread(jnp.zeros(3), (4, 2))
    with pytest.raises(ValueError, match=r"3 scales do not fit the channels of \(4, 2\)"):
        scale_channels(jnp.zeros((4, 2)), jnp.zeros(3))
