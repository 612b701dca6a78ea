"""Flows on tori and spheres: densities that integrate to one, also across the seam."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from away import scrambled

from jaxgen.methods.reverse_kl import ReverseKL
from jaxgen.models.flows.manifold import ManifoldFlow
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
TURN = 2 * np.pi


def flow(dims, space, **options):
    """A flow away from the uniform density, as a function from points to log-densities."""
    model = ManifoldFlow(dims, space, components=3, bins=4, width=8, **options)
    x = jnp.ones((2, dims + (space == "sphere")))
    variables = scrambled(jax.jit(model.init)(KEY, x), 0.25)
    return lambda x: jax.jit(model.apply)(variables, jnp.asarray(x, jnp.float32))[1]


def angles(count):
    return (np.arange(count) + 0.5) * TURN / count


@pytest.mark.parametrize("circle", ["moebius", "spline"])
def test_density_on_the_circle_integrates_to_one(circle):
    x = angles(4001)[:, None]
    density = np.exp(np.asarray(flow(1, "torus", circle=circle)(x), np.float64))
    np.testing.assert_allclose(density.mean() * TURN, 1, atol=1e-3)
    assert density.max() / density.min() > 1.5
    assert abs(density[0] / density[-1] - 1) < 0.02  # neighbours across the seam


@pytest.mark.slow
def test_density_on_the_torus_integrates_to_one():
    axis = angles(200)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    density = flow(2, "torus", depth=2, circle="projection")(grid)
    density = np.exp(np.asarray(density, np.float64))
    np.testing.assert_allclose(density.mean() * TURN**2, 1, atol=1e-3)
    assert density.max() / density.min() > 2
    density = density.reshape(200, 200)
    assert np.abs(density[0] / density[-1] - 1).max() < 0.2
    assert np.abs(density[:, 0] / density[:, -1] - 1).max() < 0.2


@pytest.mark.parametrize(
    ("dims", "area"),
    [(2, 4 * np.pi), pytest.param(3, 2 * np.pi**2, marks=pytest.mark.slow)],
)
def test_density_on_the_sphere_integrates_to_one(dims, area):
    x = np.random.RandomState(0).randn(200_000, dims + 1)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    density = np.exp(np.asarray(flow(dims, "sphere")(x), np.float64)) * area
    assert density.std() > 0.3
    error = density.std() / np.sqrt(len(x))
    assert error < 0.004
    np.testing.assert_allclose(density.mean(), 1, atol=3 * error)


@pytest.fixture(scope="module")
def fitted():
    """A method on the sphere and a state near its beginning."""
    method = ReverseKL(
        ManifoldFlow(components=3, bins=4, width=8), DataSpec.of("s2", (3,), None), base="uniform"
    )
    params, variables = jax.jit(method.init)(KEY, {"x": jnp.ones((8, 3))})
    return method, State(jnp.int32(0), params, variables, {}, {})


def test_samples_are_unit_vectors_and_encode_to_their_latents(fitted):
    method, state = fitted

    @jax.jit
    def found(state):
        x = method.sample(state, KEY, 512)
        return x, method.decode(state, method.encode(state, x, KEY))

    x, again = found(state)
    assert x.shape == (512, 3)
    np.testing.assert_allclose(np.linalg.norm(x, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(again, x, atol=1e-4)


def test_gradients_are_finite(fitted):
    method, state = fitted

    def loss(params):
        return method.loss(state.replace(params=params), {"x": jnp.ones((256, 3))}, KEY)[0]

    value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
    assert np.isfinite(value)
    for leaf in jax.tree.leaves(grads):
        assert np.isfinite(leaf).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(space="plane"), "space='plane', expected one of"),
        (dict(circle="mobius"), "circle='mobius', expected one of"),
        (dict(dims=1), "write S\\^1 as a torus"),
        (dict(dims=3), "points of a sphere of dims=3 have 4 numbers, got 3"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ManifoldFlow(**options).init(KEY, jnp.ones((2, 3)))
