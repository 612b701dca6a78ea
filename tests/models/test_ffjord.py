"""The continuous flow against linear fields, whose solutions are known, and against itself."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled
from scipy.linalg import expm

from jaxgen.errors import ConfigError
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.ffjord import FFJORD, Continuous
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SLOPES = np.array([[0.05, 0.15], [-0.1, 0.2]])


class Linear(nn.Module):
    """v(z, t) = A z + 2 t cond, and cond 0 where there is none."""

    @nn.compact
    def __call__(self, z, times, cond=None):
        a = self.param("a", lambda _: jnp.asarray(SLOPES, z.dtype))
        v = z @ a.T
        return v if cond is None else v + 2 * times[:, None] * cond


class Bent(nn.Module):
    """A field that is not linear, of any size."""

    @nn.compact
    def __call__(self, z, times, cond=None):
        wave = jnp.sin(3 * times)[:, None]
        return nn.Dense(z.shape[1], dtype=z.dtype)(jnp.tanh(z + wave)) + z * wave


def of(net, x, seed=1, **options):
    """The continuous flow of a net and its variables."""
    flow = Continuous(net, **options)
    return flow, flow.init(jax.random.key(seed), x)


@pytest.fixture(scope="module")
def x():
    return jnp.asarray(np.random.RandomState(0).randn(5, 2), jnp.float32)


def test_a_linear_field_moves_by_the_exponential_of_its_matrix(x):
    flow, variables = of(Linear(), x, rtol=1e-7, atol=1e-7)
    y, logdet = jax.jit(flow.apply)(variables, x)
    np.testing.assert_allclose(y, x @ expm(SLOPES).T, atol=2e-6)
    np.testing.assert_allclose(logdet, np.trace(SLOPES), atol=1e-6)


def test_time_runs_from_zero_to_one_and_reaches_the_network(x):
    """Without a matrix dz/dt = 2 t cond moves by cond."""
    flow, variables = of(Linear(), x)
    still = jax.tree.map(jnp.zeros_like, variables)
    cond = jnp.asarray(np.random.RandomState(1).randn(5, 2), jnp.float32)
    y, logdet = flow.apply(still, x, cond)
    np.testing.assert_allclose(y, x + cond, atol=1e-5)
    np.testing.assert_array_equal(logdet, 0)


def test_the_way_back_is_the_inverse_and_its_volume_the_negative(x):
    flow, variables = of(Bent(), x, rtol=1e-6, atol=1e-6)
    y, logdet = flow.apply(variables, x)
    back, other = flow.apply(variables, y, method="inverse")
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(other, -logdet, atol=1e-5)
    assert np.abs(y - x).max() > 0.3


def test_the_log_determinant_is_that_of_the_jacobian():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.RandomState(0).randn(3, 3))
        flow, variables = of(Bent(), x, rtol=1e-9, atol=1e-9)
        _, logdet = flow.apply(variables, x)
        jacobian = jax.jit(
            jax.vmap(jax.jacrev(lambda row: flow.apply(variables, row[None])[0][0]))
        )(x)
        np.testing.assert_allclose(logdet, np.linalg.slogdet(jacobian)[1], atol=1e-7)


def test_gradients_are_those_of_differences():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.RandomState(0).randn(4, 2))
        flow, variables = of(Bent(), x, rtol=1e-8, atol=1e-8)
        variables = jax.tree.map(lambda a: a.astype(x.dtype), variables)

        @jax.jit
        def loss(variables):
            y, logdet = flow.apply(variables, x)
            return jnp.sum(jnp.square(y)) - jnp.sum(logdet)

        slope = jax.grad(loss)(variables)
        way = scrambled(jax.tree.map(jnp.zeros_like, variables), 1.0)
        ahead = loss(jax.tree.map(lambda a, b: a + 1e-4 * b, variables, way))
        behind = loss(jax.tree.map(lambda a, b: a - 1e-4 * b, variables, way))
        along = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, slope, way)))
        np.testing.assert_allclose(along, (ahead - behind) / 2e-4, rtol=1e-6)


def test_random_directions_agree_with_the_divergence_on_average(x):
    exact, variables = of(Bent(), x)
    probed = Continuous(Bent(), exact=False)
    draw = lambda key: probed.apply(variables, x, rngs={"dequantize": key})[1]  # noqa: E731
    draws = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(KEY, 2000)))
    error = draws.mean(0) - np.asarray(exact.apply(variables, x)[1])
    spread = draws.std(0) / len(draws) ** 0.5
    assert (spread > 1e-4).all() and (np.abs(error) < 4 * spread).all()


def test_a_tighter_tolerance_takes_more_steps_and_errs_less(x):
    flow, variables = of(Bent(), x, rtol=1e-7, atol=1e-7)
    truth = flow.apply(variables, x)[1]
    found = []
    for tolerance in (1e-1, 1e-3, 1e-5):
        flow = Continuous(Bent(), rtol=tolerance, atol=tolerance)
        (_, logdet), noted = flow.apply(variables, x, mutable=["health"])
        found.append((float(noted["health"]["solver_steps"][0][0]), np.abs(logdet - truth).max()))
    steps, errors = zip(*found, strict=True)
    assert steps[0] < steps[1] < steps[2] and errors[0] > errors[1] > errors[2]
    assert errors[1] < 1e-2 and errors[2] < 1e-4  # ten tolerances, of one step, on the whole way


def test_too_few_steps_say_no_number(x):
    flow, variables = of(Bent(), x, rtol=1e-6, atol=1e-6, max_steps=4)
    assert np.isnan(flow.apply(variables, x)[1]).all()


def test_an_example_is_worth_the_same_in_every_batch(x):
    flow, variables = of(Bent(), x, rtol=1e-5, atol=1e-5)
    beside = jnp.concatenate([x, 30 * x])
    alone, among = flow.apply(variables, x)[1], flow.apply(variables, beside)[1][:5]
    np.testing.assert_allclose(alone, among, atol=2e-5)


def test_too_many_dimensions_for_the_divergence():
    with pytest.raises(ConfigError, match="a pass for each of 200 dimensions"):
        FFJORD().init(KEY, jnp.zeros((2, 200)))


@pytest.fixture(scope="module")
def moved():
    """A method and a state away from initialisation."""
    model = FFJORD(width=16, layers=1, waves=8, rtol=1e-4, atol=1e-4)
    method = Likelihood(model, DataSpec.of("plane", (2,), None))
    x = jnp.asarray(2 * np.random.RandomState(0).randn(64, 2) + 1, jnp.float32)
    params, variables = jax.jit(method.init)(KEY, {"x": x})
    return method, State(jnp.int32(0), scrambled(params, 0.05), variables, {}, {})


@pytest.mark.slow
def test_density_integrates_to_one(moved):
    method, state = moved
    axis = np.linspace(-20, 20, 161)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)(state, jnp.asarray(grid), KEY)
    total = np.exp(np.asarray(log_prob, np.float64)).sum() * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1, atol=5e-3)


def test_samples_encode_to_their_own_noise(moved):
    method, state = moved
    z = jax.random.normal(KEY, (64, 2))
    x = jax.jit(method.decode)(state, z)
    np.testing.assert_allclose(jax.jit(method.encode)(state, x, KEY), z, atol=2e-3)


def test_its_numbers_say_that_a_solver_made_them(moved):
    method, _ = moved
    assert method.density.kind == "ode-0.0001"
    digits = DataSpec.of("digits", (8, 8, 1), levels=17)
    assert Likelihood(FFJORD(exact=False), digits).density.kind == "udq-ode-probed-1e-05"
