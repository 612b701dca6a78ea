"""CaloFlow: what is no flow of it is inverted exactly, and its samples keep what they are given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.data.embedded import showers
from jaxgen.methods import caloflow
from jaxgen.methods.caloflow import CaloFlow
from jaxgen.models.flows.spline import SplineFlow
from jaxgen.ops import calorimeter
from jaxgen.ops.calorimeter import CELLS, LEAST
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
CELL_FLOW = SplineFlow(1, "autoregressive", 4, 8.0, width=8, blocks=1, mixer="order")
SPEC = DataSpec("showers", showers.FIELDS)


@pytest.fixture(scope="module")
def batch():
    return {k: jnp.asarray(v) for k, v in showers.showers(16, seed=5).items()}


@pytest.fixture(scope="module")
def trained(batch):
    method = CaloFlow(SplineFlow(2, bins=4, width=8, blocks=1), CELL_FLOW, SPEC, ("label",))
    params, variables = jax.jit(method.init)(KEY, batch)
    return method, State(jnp.int32(0), params, variables, {}, {})


def test_noise_is_only_where_nothing_is_read(batch):
    cells, sums = (np.asarray(v, np.float64) for v in caloflow.noisy(KEY, batch["x"]))
    x = np.asarray(batch["x"], np.float64)
    there = x > 0
    np.testing.assert_allclose(LEAST * np.exp(2 * cells[there]), x[there], rtol=1e-5)
    noise = cells[~there]
    assert noise.max() < 0 and abs(noise.mean() + 2.5) < 4 * 0.8 / np.sqrt(len(noise))
    true = np.stack([part.sum((1, 2)) for part in calorimeter.layers(x)], axis=1)
    np.testing.assert_allclose(sums[true > 0], true[true > 0], rtol=1e-5)
    assert (true == 0).any() and 0 < sums[true == 0].min() and sums[true == 0].max() < LEAST


def test_energies_of_layers_and_back(batch):
    _, sums = caloflow.noisy(KEY, batch["x"])
    w = caloflow.shares(sums, batch["context"])
    expected = np.log(np.asarray(sums, np.float64).sum(1) / batch["context"][:, 0])
    np.testing.assert_allclose(w[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(caloflow.from_shares(w, batch["context"]), sums, rtol=2e-4)


def test_a_shower_with_its_noise_is_read_out_as_it_was(batch):
    cells, sums = caloflow.noisy(KEY, batch["x"])
    np.testing.assert_allclose(caloflow.read_out(cells, sums), batch["x"], rtol=1e-3, atol=2e-6)
    twice = caloflow.read_out(cells, 2 * sums)
    np.testing.assert_allclose(twice, 2 * batch["x"], rtol=1e-3, atol=4e-6)


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
    """At the start the cells' flow is the identity: a normal density of cells."""
    method, state = trained
    found = jax.jit(method.evaluate)(state, batch, KEY)
    v = np.asarray(caloflow.noisy(KEY, batch["x"])[0], np.float64)
    expected = 0.5 * (v**2 + np.log(2 * np.pi)).sum(1)
    np.testing.assert_allclose(found["cells_nll"], expected, rtol=1e-4)
    assert found["energies_nll"].shape == (32,)


def test_what_is_no_shower_is_refused():
    points = DataSpec.of("points", (2,), context=("energy",))
    with pytest.raises(ConfigError, match="points are no showers in three layers"):
        CaloFlow(SplineFlow(), CELL_FLOW, points)
