"""Inverse autoregressive flow: its gate, its density, and that samples take one pass."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.iaf import IAF, Gate
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)


def test_gate_mixes_and_its_inverse_separates():
    with jax.enable_x64(True):
        x = jnp.linspace(-50.0, 50.0, 101)
        theta = jnp.concatenate([jax.random.normal(KEY, (99, 2)), 1e9 * jnp.eye(2)])
        y, log_slope = jax.jit(Gate().forward)(x, theta)
        x, theta = np.asarray(x), np.asarray(theta)
        raw = 5 * np.tanh(theta[:, 1] / 5) + 2
        gate = 1 / (1 + np.exp(-raw))
        np.testing.assert_allclose(y, gate * x + (1 - gate) * theta[:, 0], rtol=1e-12)
        np.testing.assert_allclose(log_slope, np.log(gate), rtol=1e-12)
        back, inverse = jax.jit(Gate().inverse)(y, theta)
        np.testing.assert_allclose(back[:99], x[:99], atol=1e-10)
        np.testing.assert_allclose(inverse, -log_slope, atol=1e-12)
        assert np.isfinite(back).all()


@pytest.fixture(scope="module")
def moved():
    """A method and a state away from initialisation."""
    method = Likelihood(IAF(depth=2, hidden=(16,)), DataSpec.of("plane", (2,), None))
    x = jnp.asarray(2 * np.random.RandomState(0).randn(64, 2) + 1)
    params, variables = jax.jit(method.init)(KEY, {"x": x})
    return method, State(jnp.int32(0), scrambled(params, 0.2), variables, {}, {})


def test_density_integrates_to_one(moved):
    method, state = moved
    axis = np.linspace(-25, 25, 401)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)(state, jnp.asarray(grid), KEY)
    total = np.exp(np.asarray(log_prob, np.float64)).sum() * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1, atol=1e-3)


def test_samples_encode_to_their_own_noise(moved):
    method, state = moved
    z = np.random.RandomState(0).randn(256, 2).astype(np.float32)
    x = jax.jit(method.decode)(state, z)
    np.testing.assert_allclose(jax.jit(method.encode)(state, x, KEY), z, atol=1e-3)


@pytest.mark.slow
def test_first_batch_is_standardised_and_samples_take_one_pass():
    model = IAF(depth=1, hidden=(16,))
    x = 3 * jax.random.normal(KEY, (512, 6)) - 1
    variables = jax.jit(model.init)(KEY, x)
    actnorm = variables["params"]["flow"]["bijector"]["bijectors_0"]
    np.testing.assert_allclose(actnorm["bias"], -np.mean(x, 0), atol=1e-5)

    def dots(method):
        apply = jax.jit(lambda x: model.apply(variables, x, method=method)[0])
        return apply.lower(x).as_text().count("stablehlo.while")

    # the scan over layers; data to noise has one more, over elements
    assert dots("inverse") == 1 and dots("forward") == 2
