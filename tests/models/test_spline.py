"""The spline flow: a density that integrates to one, and samples that follow it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.spline import SplineFlow
from jaxgen.types import DataSpec, State

SPEC = DataSpec("plane", (2,), None)
KEY = jax.random.key(0)


@pytest.fixture(scope="module", params=["coupling", "autoregressive"])
def trained(request):
    """A method and a state away from initialisation."""
    method = Likelihood(SplineFlow(depth=2, form=request.param, bins=4, width=16, blocks=1), SPEC)
    batch = {"x": 2 * jax.random.normal(KEY, (64, 2)) + 1}
    params, variables = jax.jit(method.init)(KEY, batch)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(KEY, len(leaves))
    moved = [p + 0.2 * jax.random.normal(k, p.shape) for p, k in zip(leaves, keys, strict=True)]
    return method, State(jnp.int32(0), tree.unflatten(moved), variables, {}, {})


def test_density_integrates_to_one(trained):
    method, state = trained
    axis = np.linspace(-45, 45, 1501)  # scrambled parameters spread the data far
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)
    density = np.exp(np.asarray(log_prob(state, jnp.asarray(grid), KEY), np.float64))
    np.testing.assert_allclose(density.sum() * (axis[1] - axis[0]) ** 2, 1, atol=1e-3)


def test_samples_encode_to_their_own_noise(trained):
    method, state = trained
    z = jax.random.normal(KEY, (256, 2))
    x = jax.jit(method.decode)(state, z)
    np.testing.assert_allclose(jax.jit(method.encode)(state, x, KEY), z, atol=2e-3)


def test_sample_mean_log_prob_is_minus_the_entropy_of_noise_minus_logdet(trained):
    """E log p(x) of own samples, by change of variables from the noise."""
    method, state = trained
    x = jax.jit(method.sample, static_argnums=2)(state, KEY, 4096)
    direct = np.asarray(jax.jit(method.log_prob)(state, x, KEY))
    entropy_of_noise = 1 + np.log(2 * np.pi)
    variables = {"params": state.params["model"], **state.vars["model"]}
    z = method.encode(state, x, KEY)
    logdet = method.model.apply(variables, z, None, method="inverse")[1]
    error = np.std(direct) / np.sqrt(len(x))
    np.testing.assert_allclose(
        direct.mean(), -entropy_of_noise - np.mean(logdet), atol=5 * error + 1e-3
    )


def test_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form='affine', expected one of"):
        SplineFlow(form="affine").init(KEY, jnp.zeros((2, 2)))
