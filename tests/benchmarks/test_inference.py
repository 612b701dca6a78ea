"""References of the benchmark of posteriors, against grids and weighed draws of the prior."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import ROOT

from jaxgen.ops.simulators import SIMULATORS

sys.path.insert(0, str(ROOT / "benchmarks"))
import inference  # noqa: E402


def test_two_moons_reference_is_its_likelihood_on_a_grid():
    observed = np.array(inference.OBSERVATIONS["two_moons"][0], np.float32)
    draws = inference.reference("two_moons", 0, num=20_000).astype(np.float64)
    side = np.linspace(-1, 1, 1601)
    middles = (side[1:] + side[:-1]) / 2
    grid = np.stack(np.meshgrid(middles, middles, indexing="ij"), -1).reshape(-1, 2)
    value = jax.jit(SIMULATORS["two_moons"].log_likelihood)(jnp.float32(grid), observed)
    mass = np.exp(np.asarray(value, np.float64)).reshape(1600, 1600)
    mass /= mass.sum()
    assert np.abs(draws).max() <= 1
    for axis in (0, 1):
        known = np.concatenate([[0], np.cumsum(mass.sum(1 - axis))])
        own = np.searchsorted(np.sort(draws[:, axis]), side) / len(draws)
        assert np.abs(own - known).max() < 2 / np.sqrt(len(draws))
    cells = mass.reshape(16, 100, 16, 100).sum((1, 3))
    counts = np.histogram2d(*draws.T, (side[::100], side[::100]))[0] / len(draws)
    assert np.abs(counts - cells).max() < 0.01


@pytest.mark.slow
def test_slcp_reference_has_the_moments_of_weighed_draws_of_the_prior():
    observed = jnp.float32(inference.OBSERVATIONS["slcp"][0])
    slcp = SIMULATORS["slcp"]
    draws = inference.reference("slcp", 0, num=10_000).astype(np.float64)
    assert np.abs(draws).max() <= 3 and np.abs((draws[:, 2:4] > 0).mean(0) - 0.5).max() < 0.02
    theta = jax.jit(lambda key: slcp.prior(key, 10**6))
    parts, values = [], []
    for seed in range(100, 120):
        part = theta(jax.random.key(seed))
        parts.append(np.asarray(part, np.float64))
        values.append(np.asarray(jax.jit(slcp.log_likelihood)(part, observed), np.float64))
    weight = np.exp(np.concatenate(values) - np.max(values))
    kept = weight > 1e-12
    x, weight = np.concatenate(parts)[kept], weight[kept] / weight.sum()
    spread = np.sqrt(np.sum(weight**2))  # of a weighed mean, in deviations
    for f in (lambda t: t[:, [0, 1, 4]], lambda t: np.abs(t), lambda t: np.square(t)):
        mean = weight @ f(x)
        deviation = np.sqrt(weight @ np.square(f(x) - mean))
        assert (np.abs(f(draws).mean(0) - mean) < 5 * deviation * spread).all()
