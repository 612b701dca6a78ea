"""NICE: sizes by formula, volume from the scaling alone, and the count of its bits."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.nice import NICE
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
TINY = NICE(couplings=4, hidden=2, width=8, spread=0.5)
IMAGES = jnp.asarray(np.random.RandomState(0).rand(5, 4, 3, 1))


@pytest.fixture(scope="module")
def variables():
    """Of the tiny model, with a scaling."""
    found = jax.jit(TINY.init)(KEY, IMAGES)
    scale = jnp.asarray(0.3 * np.random.RandomState(0).randn(12))
    flow = found["params"]["flow"]["bijector"] | {"bijectors_2": {"log_scale": scale}}
    return {"params": {"flow": {"bijector": flow}}}


def test_the_mnist_network_of_the_paper():
    """4 couplings, each 392 -> 1000 x 5 -> 392, and one scale a pixel."""
    shapes = jax.eval_shape(NICE().init, KEY, jnp.zeros((2, 28, 28, 1)))["params"]["flow"]
    steps, scaling = shapes["bijector"]["bijectors_1"], shapes["bijector"]["bijectors_2"]
    net = steps["bijector"]["bijectors_0"]["net"]
    kernels = [net[f"Dense_{i}"]["kernel"].shape for i in range(6)]
    assert kernels == [(4, 392, 1000), *[(4, 1000, 1000)] * 4, (4, 1000, 392)]
    assert {k: v.shape for k, v in scaling.items()} == {"log_scale": (784,)}
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    assert count == 4 * (392 * 1000 + 4 * 1000**2 + 1000 * 392 + 5 * 1000 + 392) + 784


def test_weights_start_uniform_in_a_narrow_interval():
    params = jax.jit(NICE(hidden=1, width=200).init)(KEY, IMAGES)["params"]
    net = params["flow"]["bijector"]["bijectors_1"]["bijector"]["bijectors_0"]["net"]
    kernel = np.asarray(net["Dense_0"]["kernel"]).ravel()
    assert scipy.stats.kstest(kernel, "uniform", (-0.01, 0.02)).pvalue > 1e-3
    assert not net["Dense_0"]["bias"].any()


def test_only_the_scaling_changes_volume(variables):
    with jax.enable_x64(True):
        doubles = jax.tree.map(lambda p: p.astype(jnp.float64), variables)
        x = IMAGES.astype(jnp.float64)

        def flat(x):
            return TINY.apply(doubles, x.reshape(1, 4, 3, 1))[0].ravel()

        y, logdet = jax.jit(TINY.apply)(doubles, x)
        jacobian = jax.jit(jax.vmap(jax.jacrev(flat)))(x.reshape(5, 12))
        expected = np.linalg.slogdet(np.asarray(jacobian))[1]
        np.testing.assert_allclose(logdet, expected, atol=1e-8)
        scale = doubles["params"]["flow"]["bijector"]["bijectors_2"]["log_scale"]
        np.testing.assert_allclose(logdet, np.full(5, np.sum(scale)), rtol=1e-14)
        assert (np.abs(np.asarray(jacobian)) > 1e-9).mean() > 0.9  # every element was coupled
        back, total = jax.jit(TINY.apply, static_argnames="method")(doubles, y, method="inverse")
        np.testing.assert_allclose(back, x, atol=1e-10)
        np.testing.assert_allclose(total, -logdet, atol=1e-9)


def test_the_first_coupling_moves_the_odd_elements_by_the_even_ones():
    one = NICE(couplings=1, hidden=1, width=8, spread=0.5)
    variables = jax.jit(one.init)(KEY, IMAGES)
    x, (y, _) = IMAGES.reshape(5, 12), jax.jit(one.apply)(variables, IMAGES)
    y = y.reshape(5, 12)[:, ::-1]  # what comes last in the order of the code
    np.testing.assert_array_equal(y[:, :6], x[:, ::2])
    assert (np.abs(y[:, 6:] - x[:, 1::2]) > 1e-4).any(0).all()


def test_float32_inverse_holds_far_from_the_data(variables):
    """Additive: an error does not grow with the scale of a coupling."""
    for factor, bound in ((1.0, 5e-6), (10.0, 5e-5)):
        y, logdet = jax.jit(TINY.apply)(variables, factor * IMAGES)
        assert logdet.dtype == y.dtype == jnp.float32
        back, _ = jax.jit(TINY.apply, static_argnames="method")(variables, y, method="inverse")
        np.testing.assert_allclose(back, factor * IMAGES, atol=bound)


def test_bits_are_those_of_a_logistic_and_a_scale(variables):
    method = Likelihood(
        TINY, DataSpec.of("scans", (4, 3, 1), 17), preprocess="none", base="logistic"
    )
    state = State(jnp.int32(0), {"model": variables["params"]}, {"model": {}}, {}, {})
    x = jnp.asarray(np.random.RandomState(0).randint(17, size=(5, 4, 3, 1)), jnp.uint8)
    latent = jax.jit(method.encode)(state, x, KEY)
    z = np.asarray(latent, np.float64).reshape(5, 12)
    scale = np.asarray(variables["params"]["flow"]["bijector"]["bijectors_2"]["log_scale"])
    nats = -scipy.stats.logistic.logpdf(z).sum(1) - scale.sum() + 12 * math.log(17)
    bpd = jax.jit(method.evaluate)(state, {"x": x}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, nats / (12 * math.log(2)), rtol=1e-5)
    np.testing.assert_array_equal(jax.jit(method.decode)(state, latent), x)


def test_a_density_of_the_plane_integrates_to_one():
    flow = NICE(couplings=2, hidden=1, width=8, spread=1.0)
    method = Likelihood(flow, DataSpec.of("plane", (2,), None), base="logistic")
    params, variables = jax.jit(method.init)(KEY, {"x": jnp.ones((4, 2))})
    params["model"]["flow"]["bijector"]["bijectors_2"]["log_scale"] = jnp.array([0.4, -0.3])
    state = State(jnp.int32(0), params, variables, {}, {})
    axis = np.linspace(-60, 60, 501)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)
    density = np.exp(np.asarray(log_prob(state, jnp.asarray(grid), KEY), np.float64))
    np.testing.assert_allclose(density.sum() * (axis[1] - axis[0]) ** 2, 1, atol=1e-3)


def test_a_condition_enters_every_coupling():
    cond = jax.nn.one_hot(jnp.arange(5), 5)
    params = jax.jit(TINY.init)(KEY, IMAGES, cond)
    apply = jax.jit(TINY.apply)
    (one, _), (other, _) = apply(params, IMAGES, cond), apply(params, IMAGES, cond[::-1])
    assert (np.abs(one - other)[jnp.array([0, 1, 3, 4])] > 1e-4).mean() > 0.9
    np.testing.assert_array_equal(one[2], other[2])
