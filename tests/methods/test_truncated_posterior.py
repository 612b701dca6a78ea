"""Truncated rounds: where and when they simulate, what fails, simulators of one's own."""

import dataclasses
import json
import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from tiny import config_of

import jaxgen
from jaxgen.bijectors.affine import ConditionalAffine
from jaxgen.config import ConfigError
from jaxgen.methods.truncated_posterior import ROWS, TruncatedPosterior
from jaxgen.models.science.simulators import Called, Embedded
from jaxgen.names import build_method
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
PAIRS = DataSpec.of("pairs", (4,), None)
OBSERVED, COUNT, ROUND_STEPS = (0.3, -1.2), 500, 7


class Analytic(nn.Module):
    """Mean and log-scale of the posterior of x = theta - 1 + noise of variance 0.3."""

    @nn.compact
    def __call__(self, x, cond, features):
        mean = (cond + 1) / 1.3
        return jnp.concatenate([mean, jnp.full_like(mean, 0.5 * np.log(0.3 / 1.3))], axis=-1)


class Linear(nn.Module):
    """Which fails where the first parameter is above `limit`."""

    limit: float = np.inf

    @nn.compact
    def __call__(self, theta):
        noise = jax.random.normal(self.make_rng("noise"), theta.shape)
        x = theta - 1 + np.sqrt(0.3) * noise
        return jnp.where(theta[:, :1] > self.limit, jnp.nan, x)


def method(**options):
    prior = dict(mean=(0.0, 0.0), std=(1.0, 1.0))
    rounds = dict(rounds=3, simulations=COUNT, round_steps=ROUND_STEPS, candidates=20_000)
    options = dict(simulator=Linear(), observation=OBSERVED) | prior | rounds | options
    return TruncatedPosterior(ConditionalAffine(Analytic()), PAIRS, 2, **options)


@pytest.fixture(scope="module")
def three_rounds():
    return played(method(outside=0.1), (0, ROUND_STEPS - 1, ROUND_STEPS, 2 * ROUND_STEPS, 99))


def played(one, steps):
    """The simulations after steps of these numbers, and their metrics."""
    params, variables = jax.jit(one.init)(KEY, {"x": jnp.zeros((8, 4))})
    state, found = State(jnp.int32(0), params, variables, {}, {}), []
    loss = jax.jit(one.loss)
    for step in steps:
        state = state.replace(step=jnp.int32(step))
        _, (variables, metrics) = loss(state, {"x": jnp.zeros((8, 4))}, jax.random.key(step))
        state = state.replace(vars=variables)
        found.append((jax.device_get(variables[ROWS]), jax.device_get(metrics)))
    return found


def test_rounds_are_simulated_when_they_are_due_and_kept(three_rounds):
    counts = [held["count"] for held, _ in three_rounds]
    assert counts == [COUNT, COUNT, 2 * COUNT, 3 * COUNT, 3 * COUNT]
    first, last = three_rounds[0][0]["rows"], three_rounds[-1][0]["rows"]
    np.testing.assert_array_equal(first[:COUNT], last[:COUNT])
    assert first.shape == (3 * COUNT, 4) and (first[COUNT:] == 0).all() and (last != 0).all()
    for held, metrics in three_rounds:
        assert metrics[ROWS] == held["count"] and np.isfinite(metrics["nll"])


def test_a_round_is_the_prior_cut_to_the_highest_density(three_rounds):
    """Of a Gaussian posterior that is a disc, whose share of the prior has a closed form."""
    rows = three_rounds[-1][0]["rows"].astype(np.float64)
    mean, variance = (np.array(OBSERVED) + 1) / 1.3, 0.3 / 1.3
    reach = scipy.stats.chi2(2).ppf(0.9) * variance
    away = np.square(rows[:, :2] - mean).sum(1)
    assert (away[:COUNT] > reach).any()
    assert away[COUNT:].max() < 1.1 * reach
    share = scipy.stats.ncx2(2, np.square(mean).sum()).cdf(reach)
    found = three_rounds[-1][1]["inside"]
    assert abs(found - share) < 5 * np.sqrt(share / 20_000) + 0.02
    # proportional to the prior within, and simulated from the parameters beside them
    inside = np.random.RandomState(0).randn(200_000, 2)
    inside = inside[np.square(inside - mean).sum(1) < reach]
    assert scipy.stats.ks_2samp(rows[COUNT:, 0], inside[:, 0]).pvalue > 1e-3
    noise = (rows[:, 2:] - rows[:, :2] + 1) / np.sqrt(0.3)
    assert scipy.stats.kstest(noise.ravel(), "norm").pvalue > 1e-3


def test_failed_simulations_are_left_out():
    (held, _), *_ = played(method(simulator=Linear(limit=0.0)), (0,))
    rows = held["rows"][: held["count"]]
    assert 150 < held["count"] < 350
    assert np.isfinite(held["rows"]).all() and (rows[:, 0] <= 0).all() and (rows[:, 0] != 0).all()


def test_few_candidates_give_few_simulations():
    found = played(method(outside=0.5, candidates=COUNT), (0, ROUND_STEPS))
    more = found[1][0]["count"] - COUNT
    assert 0 < more < COUNT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(observation=(0.0,)), r"observation=\(0.0,\), expected 2 numbers"),
        (dict(outside=0.0), "0 < outside < 1"),
        (dict(candidates=10), "at least as many candidates as simulations"),
        (dict(rounds=0), "expected 1 or more rounds"),
        (dict(mean=None, std=None), "draws from the prior: give low and high"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        method(**options)


class Doubled(Called):
    """In NumPy."""

    def simulate(self, random, theta):
        return 2 * theta + random.standard_normal(theta.shape)


class Flat(Called):
    def simulate(self, random, theta):
        return theta[:, 0]


def test_a_simulator_in_numpy_is_a_function_of_the_key():
    theta = jnp.ones((1000, 2))
    call = jax.jit(lambda key: Doubled(observed=2).apply({}, theta, rngs={"noise": key}))
    a, b, c = (np.asarray(call(jax.random.key(seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).min() > 0 and abs(a.mean() - 2) < 0.1 and abs(a.std() - 1) < 0.1


def test_a_simulator_of_another_shape_is_refused():
    with pytest.raises(ConfigError, match=re.escape("Flat.simulate gave float32 [5] of 5 rows")):
        Flat(observed=2)._on_host(np.zeros(2, np.uint32), np.zeros((5, 2), np.float32))
    with pytest.raises(ConfigError, match="simulator 'two_moon'.*two_moons"):
        Embedded("two_moon").apply({}, jnp.zeros((2, 2)), rngs={"noise": KEY})


def test_a_stored_config_runs_no_simulator_that_is_not_allowed():
    config = config_of("tsnpe")
    spec = DataSpec.of("two_moons", (4,), None)
    config["model"]["simulator"] = {"name": f"{__name__}:Doubled", "observed": 2}
    with pytest.raises(ConfigError, match="it is not run"):
        build_method(config, spec, allow=())
    made = build_method(config, spec, allow=(__name__,))
    assert dataclasses.is_dataclass(made) and isinstance(made.simulator, Doubled)


@pytest.mark.slow
def test_a_run_that_was_stopped_between_rounds_is_the_one_that_was_not(tmp_path, data_root):
    """Of three rounds of five steps one is simulated before the stop, at step 8, and one after."""
    options = dict(quiet=True, **{"data.data_dir": str(data_root), "evaluate.num_samples": 0})
    digests = []
    for name, stops in (("whole", (16,)), ("stopped", (8, 16))):
        for steps in stops:
            jaxgen.fit("tsnpe:tiny", steps=steps, workdir=tmp_path / name, **options)
        digests.append(json.loads((tmp_path / name / "summary.json").read_text())["state_digest"])
    assert digests[0] == digests[1]
