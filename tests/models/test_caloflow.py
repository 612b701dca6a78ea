"""CaloFlow: what is no flow of it is inverted exactly, and its samples keep what they are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.embedded import showers
from jaxgen.methods import caloflow
from jaxgen.methods.caloflow import CaloFlow
from jaxgen.models.flows.caloflow import CellFlow
from jaxgen.models.flows.spline import SplineFlow
from jaxgen.ops.calorimeter import CELLS, LEAST
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec("showers", showers.FIELDS)


@pytest.fixture(scope="module")
def batch():
    return {k: jnp.asarray(v) for k, v in showers.showers(16, seed=5).items()}


@pytest.fixture(scope="module")
def trained(batch):
    method = CaloFlow(
        SplineFlow(2, bins=4, width=8, blocks=1), CellFlow(2, 4, width=8), SPEC, ("label",)
    )
    params, variables = jax.jit(method.init)(KEY, batch)
    return method, State(jnp.int32(0), params, variables, {}, {})


def test_noise_is_only_where_nothing_is_read(batch):
    x = caloflow.noisy(KEY, batch["x"])
    there = np.asarray(batch["x"]) > 0
    np.testing.assert_array_equal(np.asarray(x)[there], np.asarray(batch["x"])[there])
    noise = np.asarray(x)[~there]
    assert 0 < noise.min() and noise.max() < LEAST
    assert abs(noise.mean() / LEAST - 0.5) < 4 * np.sqrt(1 / 12 / len(noise))


def test_energies_of_layers_and_back(batch):
    sums = caloflow.layer_sums(caloflow.noisy(KEY, batch["x"]))
    w = caloflow.shares(sums, batch["context"])
    expected = np.log(np.asarray(sums, np.float64).sum(1) / batch["context"][:, 0])
    np.testing.assert_allclose(w[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(caloflow.from_shares(w, batch["context"]), sums, rtol=2e-4)


def test_a_shower_with_its_noise_is_read_out_as_it_was(batch):
    x = caloflow.noisy(KEY, batch["x"])
    found = caloflow.read_out(x, caloflow.layer_sums(x))
    np.testing.assert_allclose(found, batch["x"], rtol=1e-3, atol=2e-6)
    twice = caloflow.read_out(x, caloflow.layer_sums(x) + caloflow.layer_sums(batch["x"]))
    np.testing.assert_allclose(twice, 2 * batch["x"], rtol=1e-3, atol=4e-6)


def test_the_cells_flow_inverts_and_counts_volume():
    """A small one, against the determinant of its Jacobian."""
    flow = CellFlow(3, 4, 4.0, 8)
    x, cond = jax.random.normal(KEY, (2, 6)), jax.random.normal(KEY, (2, 3))
    variables = flow.init(KEY, x, cond)
    params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(KEY, p.shape), variables["params"])
    variables = {**variables, "params": params}
    y, logdet = flow.apply(variables, x, cond)
    back, _ = flow.apply(variables, y, cond, method="inverse")
    np.testing.assert_allclose(back, x, atol=1e-4)
    jacobian = jax.jacfwd(lambda x: flow.apply(variables, x[None], cond[:1])[0][0])(x[0])
    np.testing.assert_allclose(logdet[0], np.linalg.slogdet(jacobian)[1], atol=1e-4)
    assert abs(float(logdet[0])) > 1e-3


def test_samples_have_the_energies_of_the_first_flow(trained, batch):
    method, state = trained
    given = {"context": batch["context"], "label": batch["label"]}
    x = method.sample(state, KEY, 32, given)
    assert x.shape == (32, CELLS) and bool(jnp.all((x == 0) | (x >= LEAST)))
    classes, first, _ = jax.random.split(KEY, 3)
    known = caloflow.logged(method.givens.of_call(given, 32, classes))
    w, _ = method.first.apply(state, jax.random.normal(first, (32, 3)), known, method="inverse")
    sums = np.asarray(caloflow.from_shares(w, batch["context"]))
    bright = sums[:, 1] > 1  # below, noise and cells under the least count
    np.testing.assert_allclose(caloflow.layer_sums(x)[bright, 1], sums[bright, 1], rtol=0.02)
    assert bright.sum() > 10


def test_the_likelihoods_are_those_of_the_flows(trained, batch):
    """At the start the cells' flow is the identity: a normal density of log cells."""
    method, state = trained
    found = jax.jit(method.evaluate)(state, batch, KEY)
    v = np.log1p(np.asarray(caloflow.noisy(KEY, batch["x"]), np.float64) / LEAST)
    expected = 0.5 * (v**2 + np.log(2 * np.pi)).sum(1)
    np.testing.assert_allclose(found["cells_nll"], expected, rtol=1e-4)
    assert found["energies_nll"].shape == (32,)


def test_what_is_no_shower_is_refused():
    points = DataSpec.of("points", (2,), context=("energy",))
    with pytest.raises(ConfigError, match="points are no showers in three layers"):
        CaloFlow(SplineFlow(), CellFlow(), points)
