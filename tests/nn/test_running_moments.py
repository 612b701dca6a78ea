"""Batch normalisation against the closed form, as PyTorch's `batch_norm` computes it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.models.flows.spline import ConvResidualNet
from jaxgen.models.gans import cogan
from jaxgen.nn import batch_norm, gan_layers

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)

# the layer, the path of its statistics, the share of them that a batch leaves
LAYERS = {
    "plain": (batch_norm.BatchNorm(), (), 0.9),
    "without scale": (batch_norm.BatchNorm(0.8, scaled=False), (), 0.8),
    "GAN": (gan_layers.BatchNorm(), ("moments",), 0.9),
    "CoGAN": (cogan.Rectified(), ("BatchNorm_0",), 0.9),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_running_variance_is_the_unbiased_one(name):
    """Two batches of few examples, where n / (n - 1) is far from one, to 1e-6."""
    layer, path, kept = LAYERS[name]
    with jax.enable_x64(True):
        batches = RANDOM.randn(2, 2, 2, 2, 3) + np.array([5.0, 0.0, -1.0])
        variables = jax.jit(layer.init)(KEY, jnp.asarray(batches[0]))
        mean, var = np.zeros(3), np.ones(3)
        apply = jax.jit(lambda v, x: layer.apply(v, x, mutable=["batch_stats"])[1])
        for x in batches:
            variables = variables | apply(variables, jnp.asarray(x))
            rows = x.reshape(-1, 3)
            mean = kept * mean + (1 - kept) * rows.mean(0)
            var = kept * var + (1 - kept) * rows.var(0, ddof=1)
        found = variables["batch_stats"]
        for key in path:
            found = found[key]
        np.testing.assert_allclose(found["mean"], mean, rtol=1e-6)
        np.testing.assert_allclose(found["var"], var, rtol=1e-6)


def test_the_nets_of_the_image_spline_flow_too():
    net, x = ConvResidualNet(4, 1), jnp.asarray(RANDOM.randn(2, 2, 2, 3))
    variables = jax.jit(lambda: net.init(KEY, x, None, 3))()
    apply = jax.jit(lambda v: net.apply(v, x, None, 3, mutable=["batch_stats"])[1])
    moved = apply(variables)["batch_stats"]
    first = np.asarray(x) @ np.asarray(variables["params"]["Conv_0"]["kernel"][0, 0])
    expected = 0.9 + 0.1 * first.reshape(-1, 4).var(0, ddof=1)
    np.testing.assert_allclose(moved["BatchNorm_0"]["var"], expected, rtol=1e-5)


def test_a_batch_has_its_biased_variance_and_one_example_the_running_one():
    with jax.enable_x64(True):
        x, scale, bias = RANDOM.randn(3, 2, 4), np.arange(1.0, 5.0), np.arange(4.0)
        layer = batch_norm.BatchNorm()
        variables = {
            "params": {"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)},
            "batch_stats": {"mean": jnp.asarray(bias), "var": jnp.asarray(scale)},
        }
        y, _ = layer.apply(variables, jnp.asarray(x), mutable=["batch_stats"])
        rows = x.reshape(-1, 4)
        normal = (x - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-5)
        np.testing.assert_allclose(y, normal * scale + bias, atol=1e-12)
        y = layer.apply(variables, jnp.asarray(x[:1]))
        normal = (x[:1] - bias) / np.sqrt(scale + 1e-5)
        np.testing.assert_allclose(y, normal * scale + bias, atol=1e-12)


def test_moments_of_half_precision_are_collected_in_single():
    x = jnp.asarray(RANDOM.randn(64, 4) + 100, jnp.bfloat16)
    layer = batch_norm.BatchNorm()
    y, moved = layer.apply(layer.init(KEY, x), x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16 and moved["batch_stats"]["var"].dtype == jnp.float32
    rows = np.asarray(x, np.float64)
    np.testing.assert_allclose(moved["batch_stats"]["mean"], rows.mean(0) / 10, rtol=1e-5)
    np.testing.assert_allclose(
        moved["batch_stats"]["var"], 0.9 + rows.var(0, ddof=1) / 10, rtol=1e-4
    )
