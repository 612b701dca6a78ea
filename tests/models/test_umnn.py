"""The flow of monotonic networks: a density that integrates to one, and its root searches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.umnn import UMNN
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def moved():
    """A method and a state away from initialisation."""
    model = UMNN(depth=2, hidden=(16,), embedding=4, integrand=(8,), nodes=40)
    method = Likelihood(model, DataSpec.of("plane", (2,), None))
    x = jnp.asarray(2 * np.random.RandomState(0).randn(64, 2) + 1)
    params, variables = jax.jit(method.init)(KEY, {"x": x})
    return method, State(jnp.int32(0), scrambled(params, 0.05), variables, {}, {})


def test_density_integrates_to_one(moved):
    method, state = moved
    axis = np.linspace(-20, 20, 201)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)(state, jnp.asarray(grid), KEY)
    total = np.exp(np.asarray(log_prob, np.float64)).sum() * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1, atol=1e-3)


@pytest.mark.slow
def test_samples_encode_to_their_own_noise(moved):
    method, state = moved
    z = jax.random.normal(KEY, (64, 2))
    x = jax.jit(method.decode)(state, z)
    np.testing.assert_allclose(jax.jit(method.encode)(state, x, KEY), z, atol=1e-3)


def test_parameters_of_the_official_tabular_recipe():
    """POWER: five flows of a MADE 512-512 to 30 numbers an element, integrands 31-50-50-50-50-1."""
    x = jax.ShapeDtypeStruct((2, 6), jnp.float32)
    shapes = jax.eval_shape(UMNN().init, KEY, x)["params"]
    made = 6 * 512 + 512 + 512 * 512 + 512 + 512 * 180 + 180
    integrand = 31 * 50 + 50 + 3 * (50 * 50 + 50) + 50 + 1
    expected = 2 * 6 + 5 * (made + integrand)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == expected
