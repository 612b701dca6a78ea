"""EDM: its preconditioning, its loss, and its density on Gaussian data."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import DIGITS, KEY, PLANE, Oracle, V, integers, normal, state_of

from jaxgen.contract import check
from jaxgen.errors import ConfigError
from jaxgen.methods.edm import EDM
from jaxgen.ops.augment.labelled import LABELS

STD = np.sqrt(V)


def says_nothing(z, time):
    """The best F of N(0, data_std^2), for which D is c_skip z."""
    return 0 * z


TRUE = EDM(Oracle(says_nothing), PLANE, data_std=STD, exact=True, solver_steps=40)


def test_inputs_and_targets_have_unit_variance_at_any_noise():
    x, eps = normal(200_000, 1), normal(200_000, 1, seed=1, variance=1.0)
    for sigma in (0.01, 0.5, 20.0):
        skip, out, into = TRUE.factors(jnp.float32(sigma))
        z = x + sigma * eps
        np.testing.assert_allclose(np.var(into * z), 1, rtol=0.02)
        np.testing.assert_allclose(np.var((x - skip * z) / out), 1, rtol=0.02)


def test_it_returns_what_has_no_noise():
    wild = EDM(Oracle(lambda z, t: 3 * jnp.sin(5 * z)), PLANE)
    z = normal(5, 2)
    found = wild.estimate(state_of(wild), z, jnp.float32(1e-5), None)
    np.testing.assert_allclose(found.x, z, atol=1e-4)


def test_the_loss_of_the_best_network_is_one_per_dimension():
    """Whatever the noise; a worse one has a larger one, and both are sums over dimensions."""
    state, x = state_of(TRUE), normal(20_000, 2)
    loss, (_, metrics) = jax.jit(TRUE.loss)(state, {"x": x}, KEY)
    np.testing.assert_allclose(loss, 2, rtol=0.03)
    np.testing.assert_allclose(metrics["square"], loss / 2, rtol=1e-6)
    worse = dataclasses.replace(TRUE, model=Oracle(lambda z, t: 0.3 * z))
    assert jax.jit(worse.loss)(state_of(worse), {"x": x}, KEY)[0] > 1.05 * loss
    columns = jax.jit(TRUE.evaluate)(state, {"x": x[:2000]}, KEY)
    np.testing.assert_allclose(columns["denoising"].mean(), 1, rtol=0.1)


def test_the_network_is_given_a_quarter_of_the_logarithm():
    seen = []

    def says(z, time):
        seen.append(time)
        return 0 * z

    method = EDM(Oracle(says), PLANE)
    state = state_of(method)
    method.estimate(state, normal(3, 2), jnp.float32(2.0), None)
    np.testing.assert_allclose(seen[-1], np.full(3, np.log(2) / 4), rtol=1e-6)


def test_the_density_is_that_of_the_data_with_the_least_noise():
    x = normal(16, 2, seed=3)
    found = jax.jit(TRUE.log_prob)(state_of(TRUE), x, KEY)
    v = V + TRUE.low**2
    expected = -0.5 * np.sum(np.square(x) / v + np.log(2 * np.pi * v), 1)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def algorithm_one(steps):
    """Of the paper, without noise, from 80 to 0, in float64: what multiplies standard noise."""
    i = np.arange(steps)
    sigma = (80 ** (1 / 7) + i / (steps - 1) * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    x, slope = 80.0, lambda x, s: s / (s**2 + V) * x
    for a, b in zip(sigma, np.append(sigma[1:], 0), strict=True):
        first = slope(x, a)
        ahead = x + (b - a) * first
        x = x + (b - a) * (first + slope(ahead, b)) / 2 if b else ahead
    return x


def test_samples_are_those_of_the_papers_algorithm():
    state = state_of(TRUE)
    z = jax.random.normal(jax.random.split(KEY, 3)[0], (16, 2))
    for steps in (2, 18, 40):
        x = jax.jit(lambda s, n=steps: TRUE.sample(s, KEY, 16, steps=n))(state)
        np.testing.assert_allclose(x, z * algorithm_one(steps), rtol=1e-3)


def test_samples_and_codes():
    state = state_of(TRUE)
    for knobs in ({"sampler": "dpm", "steps": 60}, {"sampler": "sde", "steps": 200}):
        x = jax.jit(lambda s, knobs=knobs: TRUE.sample(s, KEY, 20_000, **knobs))(state)
        np.testing.assert_allclose(np.var(x), V, rtol=0.1)
    x = normal(16, 2)
    z = jax.jit(TRUE.encode)(state, x, KEY)
    np.testing.assert_allclose(z, x / STD, rtol=0.02, atol=1e-3)
    back = jax.jit(TRUE.decode, static_argnames="rounded")(state, z, rounded=False)
    np.testing.assert_allclose(back, x, rtol=2e-3, atol=1e-3)


def test_grey_levels():
    """Bits per dimension of uniform noise, and samples that are levels."""
    method = EDM(Oracle(says_nothing), DIGITS, given=("label",), null=0.1)
    x = integers(4)
    label = jnp.asarray([0, 1, 2, 0])
    state = state_of(method, batch={"x": x, "label": label})
    columns = jax.jit(method.evaluate)(state, {"x": x, "label": label}, KEY)
    nats = -np.asarray(jax.jit(method.log_prob)(state, x, KEY, {"label": label}))
    assert columns["bpd"].shape == (4,) and np.isfinite(nats).all()
    drawn = method.sample(state, KEY, 4, {"label": label}, steps=4)
    assert drawn.dtype == jnp.uint8 and drawn.max() <= 16
    assert method.density.kind == "ode-12" and method.density.given == ("label",)
    check(method)


class Told(nn.Module):
    """Says the sum of its labels, times a parameter that is 1."""

    augment: int = LABELS

    @nn.compact
    def __call__(self, x, time, cond=None, train=False, augmented=None):
        factor = self.param("factor", nn.initializers.ones, ())
        seen = jnp.zeros(len(x)) if augmented is None else jnp.sum(augmented, axis=1)
        return factor * jnp.zeros_like(x) + seen.reshape(-1, 1, 1, 1)


def test_the_network_is_told_how_training_images_were_changed():
    """Of others its labels are 0; without changes both losses are the same."""
    method = EDM(Told(), DIGITS, augment=1.0)
    state, batch = state_of(method, batch={"x": integers(64)}), {"x": integers(64)}
    changed = jax.jit(method.loss)(state, batch, KEY)[0]
    still = jax.jit(dataclasses.replace(method, augment=0.0).loss)(state, batch, KEY)[0]
    assert changed > 1.05 * still  # labels have a variance of several
    found = method.estimate(state, jnp.zeros((2, *DIGITS.shape)), jnp.float32(1.0), None)
    np.testing.assert_array_equal(found.x, 0)


@pytest.mark.parametrize("options", [{"model": Told(0)}, {"spec": PLANE}, {"augment": 2.0}])
def test_changes_need_images_and_a_network_that_is_told(options):
    with pytest.raises(ConfigError, match="augment"):
        dataclasses.replace(EDM(Told(), DIGITS, augment=0.5), **options)
