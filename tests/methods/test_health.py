"""The figures that show a flow which is no longer invertible, where its likelihood does not."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors.base import Bijector, Chain, Repeat, zero_logdet
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Multiscale
from jaxgen.bijectors.transforms import Scale
from jaxgen.methods.likelihood import Likelihood
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("images", (4, 4, 4), None)
X = jnp.asarray(np.random.RandomState(0).randn(6, 4, 4, 4), jnp.float32)


class Raw(nn.Module):
    """Shift 0 and a raw log-scale of `value` times the mean of what conditions, everywhere."""

    value: float

    @nn.compact
    def __call__(self, x, cond, features):
        value = self.param("value", nn.initializers.constant(self.value), ())
        raw = value * jnp.mean(x, (1, 2, 3))[:, None, None, None]
        return jnp.broadcast_to(jnp.stack([0 * raw, raw], -1), (*x.shape[:3], features // 2, 2))


class Lossy(Bijector):
    """The identity, with an inverse that is wrong by 0.25 at one place of the second example."""

    def forward(self, x: Any, cond: Any = None) -> Any:
        return x, zero_logdet(x)

    def inverse(self, y: Any, cond: Any = None) -> Any:
        return y.at[1, 0, 0, 0].add(0.25), zero_logdet(y)


def evaluate(model, health=True):
    method = Likelihood(model, SPEC, health=health)
    params, variables = jax.jit(method.init)(KEY, {"x": X})
    assert "health" not in variables["model"]
    state = State(jnp.int32(0), params, variables, {}, {})
    return jax.jit(method.evaluate)(state, {"x": X}, KEY)


def scale(value):
    """log-scale of `Scale("exp")` for the mean of an example's first two channels."""
    means = np.asarray(X, np.float64)[..., :2].mean((1, 2, 3))
    return 5 * np.tanh(value * means / 5)


def test_reconstruction_error_is_per_example_and_the_likelihood_does_not_see_it():
    good, bad = evaluate(Chain(())), evaluate(Lossy())
    np.testing.assert_array_equal(good["nll"], bad["nll"])
    np.testing.assert_array_equal(good["reconstruction_error"], np.zeros(6))
    np.testing.assert_allclose(bad["reconstruction_error"], [0, 0.25, 0, 0, 0, 0], atol=1e-6)
    assert "smallest_log_scale" not in good


@pytest.mark.parametrize("memory", ["store", "remat", "invert"])
def test_smallest_log_scale_of_all_copies(memory):
    """The first half never moves: every copy of the coupling has the same scale."""
    flow = Chain((Repeat(Coupling(Scale("exp"), Raw(7.0)), 2, memory), Coupling(Scale(), Raw(2.0))))
    found = evaluate(flow)["smallest_log_scale"]
    np.testing.assert_allclose(found, np.minimum(scale(7.0), scale(2.0)), rtol=1e-4, atol=1e-5)


def test_every_level_has_its_own():
    level = lambda value: Coupling(Scale("exp"), Raw(value))  # noqa: E731
    found = evaluate(Multiscale([level(3.0), Chain(())], [Chain(()), Chain(())]))
    assert {k for k in found if "scale" in k} == {"smallest_log_scale_1"}
    np.testing.assert_allclose(found["smallest_log_scale_1"], scale(3.0), rtol=1e-4, atol=1e-5)


def test_without():
    assert set(evaluate(Coupling(Scale(), Raw(1.0)), health=False)) == {"nll"}
