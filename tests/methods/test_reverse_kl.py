"""The reverse-KL fit: its estimators against closed forms, where model and target are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors.affine import Affine
from jaxgen.bijectors.base import Chain
from jaxgen.config import ConfigError
from jaxgen.methods import reverse_kl
from jaxgen.methods.reverse_kl import ReverseKL
from jaxgen.models.flows.planar import PlanarFlow
from jaxgen.ops.targets import Target
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("bell", (2,), None)
STD, LOG_Z = 1.3, np.log(2 * np.pi * 1.3**2) + 0.7


@pytest.fixture(autouse=True)
def _bell(monkeypatch):
    """A target whose every estimate is known: a Gaussian of deviation 1.3, times exp(0.7)."""

    def log_density(x):
        return 0.7 - 0.5 * jnp.sum(jnp.square(x / STD), axis=-1)

    entropy = 1 + np.log(2 * np.pi * STD**2)
    target = Target(log_density, "plane", 2, 0.7, LOG_Z, entropy)
    monkeypatch.setitem(reverse_kl.TARGETS, "bell", target)


def state_of(step=0):
    return State(jnp.int32(step), {"model": {}}, {"model": {}}, {}, {})


def evaluate(model, count=40_000):
    x = STD * jax.random.normal(jax.random.key(1), (count, 2))
    values = jax.jit(ReverseKL(model, SPEC).evaluate)(state_of(), {"x": x}, KEY)
    assert all(v.shape == (count,) and v.dtype == jnp.float32 for v in values.values())
    values = {k: np.asarray(v, np.float64) for k, v in values.items()}
    return {k: (v.mean(), v.std() / np.sqrt(count)) for k, v in values.items()}


def test_a_perfect_model_has_no_divergence():
    found = evaluate(Affine(scale=1 / STD))
    for name, expected in (("kl", 0), ("free_energy", -LOG_Z), ("ess", 1), ("log_z", LOG_Z)):
        assert found[name][0] == pytest.approx(expected, abs=2e-5)
    assert abs(found["nll"][0] - (1 + np.log(2 * np.pi * STD**2))) < 4 * found["nll"][1]


def test_estimates_of_a_wrong_model_are_those_of_two_gaussians():
    wide = 1.7  # wider than the target, so that the weights are bounded
    found = evaluate(Affine(scale=1 / wide))
    v = (wide / STD) ** 2
    kl = v - 1 - np.log(v)
    ess = (2 * v - 1) / v**2
    cross = np.log(2 * np.pi * wide**2) + 1 / v
    for name, expected in (("kl", kl), ("free_energy", kl - LOG_Z), ("ess", ess), ("nll", cross)):
        mean, error = found[name]
        assert abs(mean - expected) < 4 * error < 0.05, name
    assert abs(found["log_z"][0] - LOG_Z) < 4 * found["log_z"][1]


def test_ess_and_log_z_are_exactly_those_of_the_batch_and_its_spread_is_the_estimates():
    """Mean of the values = the usual formula; their spread = that over repeated batches."""
    rng = np.random.RandomState(0)
    log_w = 0.6 * rng.randn(200, 500).astype(np.float32) + 3
    method = ReverseKL(Chain(()), SPEC)
    each = jax.vmap(lambda w: method._weights(jnp.zeros(500), w))
    values = jax.jit(each)(jnp.asarray(log_w))
    w = np.exp(log_w.astype(np.float64))
    ess = w.sum(1) ** 2 / (w**2).sum(1) / 500
    log_z = np.log(w.mean(1))
    for name, expected in (("ess", ess), ("log_z", log_z)):
        found = np.asarray(values[name], np.float64)
        np.testing.assert_allclose(found.mean(1), expected, rtol=1e-4)
        claimed = (found.std(1) / np.sqrt(500)).mean()
        assert claimed == pytest.approx(expected.std(), rel=0.2)


def test_annealing_is_that_of_equation_20():
    method = ReverseKL(Chain(()), SPEC, anneal_steps=100)
    batch = {"x": jnp.zeros((1000, 2))}
    loss, call = {}, jax.jit(method.loss)
    for step, weight in ((0, 0.01), (50, 0.51), (99, 1.0), (1000, 1.0)):
        loss[step], (_, metrics) = call(state_of(step), batch, KEY)
        assert metrics["anneal"] == pytest.approx(weight)
    np.testing.assert_allclose(loss[1000], metrics["free_energy"], rtol=1e-6)
    _, log_q, log_p = jax.jit(method._draw, static_argnums=2)(state_of(), KEY, 1000)
    np.testing.assert_allclose(loss[50], jnp.mean(log_q - 0.51 * log_p), rtol=1e-5)


def test_nothing_of_the_data_enters_the_fit():
    method = ReverseKL(PlanarFlow(depth=2), SPEC)
    batches = [{"x": jnp.full((64, 2), v)} for v in (0.0, 7.0)]
    states = [jax.jit(method.init)(KEY, b) for b in batches]
    jax.tree.map(np.testing.assert_array_equal, *states)
    state = State(jnp.int32(0), *states[0], {}, {})
    losses = [jax.jit(method.loss)(state, b, KEY)[0] for b in batches]
    assert losses[0] == losses[1] and np.isfinite(losses[0])


def test_samples_are_scaled_by_temperature():
    method = ReverseKL(Affine(shift=-2.0), SPEC)
    x = jax.jit(method.sample, static_argnums=2)(state_of(), KEY, 2000, temperature=0.5)
    np.testing.assert_allclose(jnp.mean(x), 2, atol=0.05)
    np.testing.assert_allclose(jnp.std(x), 0.5, atol=0.05)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(spec=DataSpec.of("ring8", (2,), None)), ConfigError, "'ring8' has no known density"),
        (dict(base="cauchy"), ValueError, "base='cauchy', expected one of"),
        (dict(anneal_steps=-1), ValueError, "anneal_steps=-1, expected 0 or more"),
    ],
)
def test_what_does_not_fit_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        ReverseKL(Chain(()), **{"spec": SPEC} | options)
