"""Pictures of samples on their way, of methods whose networks know the truth."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import DIGITS, PLANE, Oracle, state_of

from jaxgen.config import ConfigError
from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.methods.flow_matching import FlowMatching
from jaxgen.models.autoregressive.pixelcnn import PixelCNN
from jaxgen.views.trajectory import trajectory


def run_of(method, x=None):
    """What the view asks a run for."""
    state = state_of(method, x)

    def sample(num, seed, **knobs):
        return np.asarray(method.sample(state, jax.random.key(seed), num, **knobs))

    return types.SimpleNamespace(method=method, spec=method.spec, sample=sample)


def test_from_noise_to_samples():
    network = Oracle(lambda z, time: z)
    run = run_of(
        FlowMatching(network, DIGITS, sampling_steps=4), jnp.zeros((2, 4, 4, 1), jnp.uint8)
    )
    found = trajectory(run, num=3, frames=5, seed=1, sampler="euler")
    x = found.arrays["x"]
    assert x.shape == (3, 5, 4, 4, 1) and x.dtype == np.uint8
    np.testing.assert_array_equal(x[:, -1], run.sample(3, 1, sampler="euler"))
    np.testing.assert_array_equal(x[:, 2], run.sample(3, 1, sampler="euler", until=0.5))
    assert (x[:, 0] != x[:, -1]).any()
    np.testing.assert_array_equal(found.arrays["shares"], [0, 0.25, 0.5, 0.75, 1])
    assert len(found.frames) == 5 and found.image.shape[1] > 2 * found.frames[0].shape[1]


def test_points_are_drawn_side_by_side():
    run = run_of(FlowMatching(Oracle(lambda z, time: z), PLANE, sampling_steps=4))
    found = trajectory(run, num=20, frames=3)
    assert found.image.shape[1] == sum(frame.shape[1] for frame in found.frames)


def test_what_has_no_trajectory():
    method = Autoregressive(PixelCNN(width=4, blocks=1, last=4), DIGITS)
    run = types.SimpleNamespace(method=method, spec=DIGITS)
    with pytest.raises(ConfigError, match="Autoregressive does not bring noise to data in steps"):
        trajectory(run)
    with pytest.raises(ConfigError, match="frames=1: expected an integer of 2 or more"):
        trajectory(run, frames=1)
