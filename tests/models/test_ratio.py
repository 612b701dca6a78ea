"""The classifier of pairs: units do not matter, and what is trained with it finds the posterior."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxgen
from jaxgen.data.embedded import simulated
from jaxgen.evaluate.metrics.c2st import c2st
from jaxgen.models.science.ratio import RatioClassifier
from jaxgen.ops.simulators import SIMULATORS, linear_gaussian_posterior

KEY = jax.random.key(0)


def test_units_do_not_matter_and_both_sides_do():
    theta, observed = jax.random.normal(KEY, (2, 64, 3))
    network = RatioClassifier(width=8, blocks=1)
    variables = network.init(KEY, theta, observed)
    params = jax.tree.map(
        lambda p: p + 0.1 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), variables["params"]
    )
    logits = network.apply(variables | {"params": params}, theta, observed)
    assert logits.shape == (64,) and float(jnp.std(logits)) > 0.05
    wide = network.init(KEY, 1e3 * theta, 1e-3 * observed)
    same = network.apply(wide | {"params": params}, 1e3 * theta, 1e-3 * observed)
    np.testing.assert_allclose(same, logits, atol=1e-4)
    for a, b in ((theta[::-1], observed), (theta, observed[::-1])):
        other = network.apply(variables | {"params": params}, a, b)
        assert np.abs(other - logits).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nle", "nre"])
def test_the_linear_gaussian_posterior_is_found(name, tmp_path):
    """By a classifier, draws cannot be told from the analytic ones, but for a few in a hundred."""
    rows, _ = simulated.simulate(SIMULATORS["linear_gaussian"], 20_000, seed=3)
    run = jaxgen.fit(f"{name}:linear_gaussian", rows, workdir=tmp_path / name, quiet=True)
    observed = (0.4, -1.3, 0.1)
    draws = run.sample(3000, seed=0, observation=observed)
    mean, variance = linear_gaussian_posterior(jnp.array([observed]))
    exact = np.asarray(mean) + np.sqrt(variance) * np.random.RandomState(0).randn(3000, 3)
    assert c2st(exact, draws) < 0.56  # sbi's own bound of a posterior that was learned
    assert c2st(exact, np.asarray(run.sample(3000, observation=(-0.6, -1.3, 0.1)))) > 0.7
