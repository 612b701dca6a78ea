"""Local bits back: round trips, sizes, the Jacobian, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from coded import draws, flow, loaded, spec_of, unlike

from jaxgen import coding
from jaxgen.coding import flows as module
from jaxgen.coding import integers
from jaxgen.coding.network import Network
from jaxgen.coding.stack import Stack
from jaxgen.config import ConfigError
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.nice import NICE


@pytest.fixture(scope="module")
def run():
    return flow()


@pytest.fixture(scope="module")
def x(run):
    return draws(run, 150)


@pytest.mark.slow
def test_the_size_is_the_bound(run, x):
    """Net of the start, within 1 % of the bound of uniform dequantisation."""
    data = coding.compress(run, x)
    np.testing.assert_array_equal(coding.decompress(run, data), x)
    bound = coding.bits_per_dim(run, x)
    assert abs(coding.inspect(data)["bits"]["net"] / x.size / bound - 1) < 0.01
    columns = jax.jit(run.method.evaluate)(run.state, {"x": x}, jax.random.key(0))
    np.testing.assert_allclose(bound, np.mean(columns["bpd"]), rtol=0.02)


def test_whatever_the_examples_are(run, x):
    """Black, white and noise in chunks, and one alone."""
    every = np.concatenate([unlike(run, 6), x[:5]])
    data = coding.compress(run, every, chunk=4)
    np.testing.assert_array_equal(coding.decompress(run, data), every)
    np.testing.assert_array_equal(coding.decompress(run, coding.compress(run, x[:1])), x[:1])


def test_another_base_and_a_logit():
    run = flow("nice", base="logistic", preprocess="logit")
    x = unlike(run, 4)
    np.testing.assert_array_equal(coding.decompress(run, coding.compress(run, x)), x)


def test_the_jacobian_is_that_of_the_likelihood(run, x):
    """The factor's diagonal gives the log-determinant that the flow says; the map goes back."""
    coder = module.Flows(Network(run), 1)
    point = x[0].reshape(-1) + 0.25
    z, lower = (np.asarray(part) for part in coder._forward(point))
    np.testing.assert_array_equal(lower, np.tril(lower))
    with jax.enable_x64(True):
        real = jnp.asarray(point.reshape(1, *x.shape[1:]) / run.spec.levels - 0.5)
        _, logdet = run.method.player.apply(coder.network.state, real)
    own = np.log(np.diag(lower)).sum() + point.size * np.log(run.spec.levels)
    np.testing.assert_allclose(own, np.asarray(logdet)[0], rtol=1e-9)
    np.testing.assert_allclose(np.asarray(coder._back(z)), point, atol=1e-9)


@pytest.mark.parametrize("std", [0.01, 1.0, 50.0, 3e6, 1e12])
def test_normals_of_any_width(std):
    """Draws come back, have the width, and cost what their density says."""
    stack, mean = Stack(40_000), integers.steps(np.linspace(-1e6, 1e6, 4000) + 0.3)
    bins = integers.normal(mean, np.full(4000, std))
    found = integers.pop_near(stack, bins)
    wide = max(std, integers.NARROWEST)
    if std >= 1:
        spread = np.std(found - (mean - np.rint(mean)))  # with the rounding to steps
        np.testing.assert_allclose(spread, np.sqrt(wide**2 + 1 / 12), rtol=0.05)
    integers.push_near(stack, found, bins)
    stack.check_empty()
    integers.push_far(stack, found, bins)
    if std >= 50:
        entropy = 4000 * (np.log2(wide) + 0.5 * np.log2(2 * np.pi * np.e))
        taken = 32 * (len(stack._coder.get_compressed()) - 40_000)
        np.testing.assert_allclose(taken, entropy, rtol=0.01)
    np.testing.assert_array_equal(integers.pop_far(stack, bins), found)
    stack.check_empty()


def test_what_is_far_comes_back_too():
    stack = Stack(64)
    x = np.array([0, 5, -5, 10**6, -(10**6), 2**46, -(2**46), 640, 639, -640, -641])
    for std in (1.0, 64.0, 1e5):
        bins = integers.normal(np.zeros(len(x)), np.full(len(x), std))
        integers.push_far(stack, x, bins)
        np.testing.assert_array_equal(integers.pop_far(stack, bins), x)
        stack.check_empty()


def test_draws_are_no_further_than_a_normal_has_them():
    """Of narrow normals too: else a probability of 2^-24 for each of many bins would be drawn."""
    stack = Stack(400_000)
    bins = integers.normal(np.zeros(400_000), np.full(400_000, 4.0))
    assert np.abs(integers.pop_near(stack, bins)).max() <= 4 * (integers.FAR + 1)


def test_models_that_do_not_fit(run, x):
    with pytest.raises(ConfigError, match="flows code one example after the other"):
        coding.compress(run, x[:2], batch=2)
    with pytest.raises(ConfigError, match=r"its Jacobian has 3,072\^2 numbers"):
        coding.coder(Network(loaded(Likelihood(NICE(2, 1, 4), spec_of((32, 32, 3), 256)))))
    spec = dataclasses.replace(run.method, spec=spec_of(levels=256), n_bits=5)
    with pytest.raises(ConfigError, match="does not model the grey levels of squares"):
        coding.compress(dataclasses.replace(run, method=spec), x[:1])
    data = coding.compress(run, x[:2])
    with pytest.raises(ConfigError, match=r"by the model \w{12}, and runs/x at step 7 is"):
        coding.decompress(flow(seed=1), data)
