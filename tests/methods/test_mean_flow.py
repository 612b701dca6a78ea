"""MeanFlow on Gaussian data, whose mean velocity between two times is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import KEY, PLANE, Oracle, V, normal, state_of

from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods.flow_matching import FlowMatching
from jaxgen.methods.mean_flow import MeanFlow

SCALE = 30  # of the times that the network is given; of flow matching's 1000


def variance(t):
    return (1 - t) ** 2 * V + t**2


def says_mean_velocity(z, time):
    """z (1 - sqrt(V(r) / V(t))) / (t - r); its limit where r = t."""
    t, gap = time[:, :1] / SCALE, time[:, 1:] / SCALE
    near = gap < 1e-4
    safe = jnp.where(near, 1.0, gap)
    far = (1 - jnp.sqrt(variance(t - safe) / variance(t))) / safe
    return jnp.where(near, (t - (1 - t) * V) / variance(t), far) * z


TRUE = MeanFlow(Oracle(says_mean_velocity), PLANE, exact=True, solver_steps=20)
STATE = state_of(TRUE)


@pytest.mark.parametrize("equal", [0.0, 0.75])
def test_the_mean_velocity_is_a_fixed_point_of_the_loss(equal):
    """Its gradient by the network's factor vanishes there; a larger factor is driven back."""
    method, x = dataclasses.replace(TRUE, equal=equal), normal(60_000, 2)

    def loss(factor):
        params = {"model": {"factor": factor}}
        return method.loss(STATE.replace(params=params), {"x": x}, KEY)[0]

    slope = jax.jit(jax.grad(loss))
    at, above, below = (float(slope(jnp.float32(f))) for f in (1.0, 1.2, 0.8))
    assert below < 0 < above and abs(at) < 0.15 * min(above, -below)


def test_equal_times_are_flow_matching():
    """The same examples, noise and velocity: times are the later of two."""
    method, x = dataclasses.replace(TRUE, equal=1.0), normal(4000, 2)
    error = jax.jit(method.loss)(STATE, {"x": x}, KEY)[1][1]["error"]

    def velocity(z, time):
        return says_mean_velocity(z, jnp.stack([time, 0 * time], 1) * (SCALE / 1000))

    flow = FlowMatching(Oracle(velocity), PLANE, exact=True, solver_steps=20)
    square = jax.jit(flow.loss)(state_of(flow), {"x": x}, KEY)[1][1]["square"]
    assert 0.5 < float(error / square) < 2
    z, t = normal(8, 2), jnp.float32(0.3)
    same = method.velocity(STATE, z, t, None), flow.velocity(state_of(flow), z, t, None)
    np.testing.assert_allclose(*same, rtol=1e-5)
    own, other = (m.log_prob(state_of(m), z, KEY) for m in (TRUE, flow))
    np.testing.assert_allclose(own, other, rtol=1e-4)


def test_one_step_draws_the_data_and_so_do_many():
    noise = jax.random.split(KEY, 3)[0]
    z = jax.random.normal(noise, (16, 2))
    for steps in (1, 2, 5):
        x = jax.jit(lambda s, n=steps: TRUE.sample(s, KEY, 16, steps=n))(STATE)
        np.testing.assert_allclose(x, z * np.sqrt(V), rtol=1e-3, atol=1e-5)
    euler = FlowMatching(
        Oracle(lambda z, t: says_mean_velocity(z, jnp.stack([t, 0 * t], 1) * (SCALE / 1000))), PLANE
    )
    x = euler.sample(state_of(euler), KEY, 16, steps=1)
    assert np.abs(x - z * np.sqrt(V)).max() > 0.1  # the control: by the velocity itself


def test_the_loss_says_nothing_and_is_not_shown_alone():
    loss, (_, metrics) = jax.jit(TRUE.loss)(STATE, {"x": normal(4000, 2)}, KEY)
    assert 0.9 < loss < 1 and metrics["error"] > 0.1
    check(TRUE)


def test_other_paths_are_refused():
    with pytest.raises(ConfigError, match="mean flows are of noise='linear'"):
        dataclasses.replace(TRUE, noise="trigonometric")
    with pytest.raises(ConfigError, match="steps=20000: expected an integer from 1 to 10000"):
        TRUE.sample(STATE, KEY, 2, steps=20_000)
