"""The bound of VDM on Gaussian data: its published values, discrete and continuous."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import DIGITS, ENTROPY, KEY, LINE, Oracle, V, integers, normal, spread, state_of

from jaxgen.contract import check
from jaxgen.methods.vdm import VDM
from jaxgen.ops.noise import LogLinear

LOW, HIGH = -13.3, 5.0


def says_noise(z, time):
    """E[eps | z] of N(0, V), by the time that the method gives: 1000 times the place of gamma."""
    path, t = LogLinear(LOW, HIGH), (time / 1000).reshape(-1, *(1,) * (z.ndim - 1))
    alpha, sigma = path.alpha(t), path.sigma(t)
    return sigma / (alpha**2 * V + sigma**2) * z


TRUE = VDM(Oracle(says_noise), LINE, times="antithetic", low=LOW, high=HIGH)
X = normal(60_000, 1)
X = X * jnp.sqrt(V / jnp.mean(X**2))  # the entropy is of this variance


@pytest.mark.parametrize(
    ("timesteps", "bound"),
    [(0, 0.725791), (10, 10.497), (100, 1.2555), (1000, 0.77602), (10_000, 0.73080)],
)
def test_the_bound_of_the_optimal_network_has_its_value(timesteps, bound):
    """Prior, diffusion and reconstruction together; the entropy in continuous time."""
    method = dataclasses.replace(TRUE, timesteps=timesteps)
    columns = jax.jit(method.evaluate)(state_of(method), {"x": X}, KEY)
    mean, error = spread(columns["nll"])
    assert abs(mean - bound) < 3 * error + 1e-4
    parts = sum(np.asarray(columns[k]) for k in ("prior", "diffusion", "reconstruction"))
    np.testing.assert_allclose(columns["nll"], parts, rtol=1e-5, atol=1e-5)


def test_draws_and_strata_have_the_same_mean():
    method, state = dataclasses.replace(TRUE, draws=4), state_of(TRUE)
    values = [jax.jit(method.evaluate)(state, {"x": X}, KEY)["nll"]]
    stratum = jax.jit(TRUE.evaluate_stratum, static_argnums=4)
    values += [sum(stratum(state, {"x": X}, KEY, i, 4)["nll"] for i in range(4)) / 4]
    one = spread(jax.jit(TRUE.evaluate)(state, {"x": X}, KEY)["nll"])[1]
    for found in values:
        mean, error = spread(found)
        assert abs(mean - ENTROPY) < 4 * error and error < 0.9 * one
    assert method.density.kind == "vdm-4" and TRUE.density.kind == "vdm-1"


def test_the_ends_are_learnt_by_the_bound():
    """Their gradient is its numerical derivative, of the same noise."""
    image = VDM(Oracle(lambda z, t: 0.5 * z), DIGITS, low=-6.0, high=3.0)
    x = integers(32)
    state = state_of(image, x)

    def bound(start, width):
        own = state.params["model"] | {"start": start, "width": width}
        return image.loss(state.replace(params={"model": own}), {"x": x}, KEY)[0]

    with jax.enable_x64(False):
        slopes = jax.jit(jax.grad(bound, argnums=(0, 1)))(-6.0, 9.0)
        h, call = 0.02, jax.jit(bound)
        steps = [(h, 0.0), (0.0, h)]
        numbers = [(call(-6 + a, 9 + b) - call(-6 - a, 9 - b)) / (2 * h) for a, b in steps]
    np.testing.assert_allclose(slopes, numbers, rtol=0.02, atol=2e-4)
    metrics = image.loss(state, {"x": x}, KEY)[1][1]
    assert (float(metrics["gamma_low"]), float(metrics["gamma_high"])) == (-6.0, 3.0)


def test_the_levels_of_a_pixel_are_read_without_loss_at_the_lowest_noise():
    """At 2 ln(spacing / 6) the nearest level is nearly sure; at 0 it is not."""
    x, at = integers(8), 2 * np.log(2 / 16 / 6)
    for low, most in ((at, 0.01), (0.0, np.inf)):
        method = VDM(Oracle(lambda z, t: z), DIGITS, low=low, high=5.0)
        columns = method.evaluate(state_of(method, x), {"x": x}, KEY)
        assert columns["reconstruction"].mean() < most
    assert columns["reconstruction"].mean() > 1
    check(method)


def test_samples_have_the_datas_variance():
    state = state_of(TRUE)
    for knobs in ({}, {"sampler": "ddim", "steps": 400}, {"sampler": "dpm", "steps": 100}):
        x = jax.jit(lambda s, knobs=knobs: TRUE.sample(s, KEY, 20_000, **knobs))(state)
        np.testing.assert_allclose(np.var(x), V, rtol=0.06)
    z = jax.jit(TRUE.encode)(state, X[:64], KEY)
    np.testing.assert_allclose(z, X[:64] / np.sqrt(V), rtol=0.03)
    back = jax.jit(TRUE.decode, static_argnames="rounded")(state, z, rounded=True)
    np.testing.assert_allclose(back, X[:64], rtol=2e-3, atol=1e-3)


def test_a_scale_is_of_the_data_alone():
    wide, state = dataclasses.replace(TRUE, scale=3.0), state_of(TRUE)
    one = TRUE.evaluate(state, {"x": X[:64]}, KEY)["nll"]
    other = wide.evaluate(state, {"x": 3 * X[:64]}, KEY)["nll"]
    np.testing.assert_allclose(other, one + np.log(3), rtol=1e-3, atol=1e-3)
