"""Masked autoregressive flow: a density, its samples, and the banana that it should fit."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from away import scrambled

from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.maf import MAF
from jaxgen.types import DataSpec, State

SPEC = DataSpec.of("plane", (2,), None)
KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return jnp.asarray(RANDOM.randn(*shape))


@pytest.fixture(scope="module")
def trained():
    """A method and a state away from initialisation."""
    method = Likelihood(MAF(depth=2, hidden=(16,)), SPEC)
    batch = {"x": 2 * normals(64, 2) + 1}
    params, variables = jax.jit(method.init)(KEY, batch)
    return method, State(jnp.int32(0), scrambled(params, 0.1), variables, {}, {})


def test_density_integrates_to_one(trained):
    method, state = trained
    axis = np.linspace(-30, 30, 601)
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2).astype(np.float32)
    log_prob = jax.jit(method.log_prob)(state, jnp.asarray(grid), KEY)
    total = np.exp(np.asarray(log_prob, np.float64)).sum() * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1, atol=1e-3)


def test_samples_encode_to_their_own_noise(trained):
    method, state = trained
    z = normals(256, 2)
    x = jax.jit(method.decode)(state, z)
    np.testing.assert_allclose(jax.jit(method.encode)(state, x, KEY), z, atol=1e-3)


def test_density_of_an_example_does_not_depend_on_the_batch(trained):
    """Batch normalisation takes its running moments, which training alone moves."""
    method, state = trained
    x = np.asarray(2 * normals(32, 2))
    log_prob = jax.jit(method.log_prob)
    values = np.asarray(log_prob(state, x, KEY))
    np.testing.assert_allclose(log_prob(state, x[::-1], KEY), values[::-1], atol=1e-5)
    far = np.concatenate([x[:5], 100 * x[5:]])
    np.testing.assert_allclose(np.asarray(log_prob(state, far, KEY))[:5], values[:5], atol=1e-5)
    _, (variables, _) = jax.jit(method.loss)(state, {"x": x}, KEY)
    jax.tree.map(
        lambda a, b: np.testing.assert_raises(AssertionError, np.testing.assert_array_equal, a, b),
        variables["model"]["batch_stats"],
        state.vars["model"]["batch_stats"],
    )


def test_starts_as_the_normal_density_of_standardised_data():
    model = MAF(depth=2, hidden=(16,), norm=False)
    x = 3 * normals(512, 4) - 1
    z, logdet = jax.jit(lambda x: model.init_with_output(KEY, x)[0])(x)
    x = np.asarray(x)
    spread = np.std(x, 0)
    np.testing.assert_allclose(z, (x - np.mean(x, 0)) / spread, atol=1e-5)
    np.testing.assert_allclose(logdet, -np.log(spread).sum(), atol=1e-5)


def test_parameters_of_the_paper():
    """MNIST: five MADEs of two layers of 1,024, counted by hand."""
    model = MAF(depth=5, hidden=(1024, 1024))
    x = jax.ShapeDtypeStruct((2, 28, 28, 1), jnp.float32)
    shapes = jax.eval_shape(model.init, KEY, x)["params"]
    made = 784 * 1024 + 1024 + 1024**2 + 1024 + 1024 * 1568 + 1568
    expected = 2 * 784 + 5 * (made + 2 * 784)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == expected


def test_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="activation='gelu', expected one of"):
        MAF(activation="gelu").init(KEY, jnp.zeros((2, 2)))


@pytest.mark.slow
def test_fits_a_banana():
    """x1 normal, x2 normal around its square: the entropy is that of two normals, log(2 pi e)."""
    method = Likelihood(MAF(depth=1, hidden=(64, 64), norm=False, activation="tanh"), SPEC)

    def draw(key, n):
        z = jax.random.normal(key, (n, 2))
        return jnp.stack([z[:, 0], z[:, 1] + jnp.square(z[:, 0])], -1)

    params, variables = method.init(KEY, {"x": draw(KEY, 2000)})
    state = State(jnp.int32(0), params, variables, {}, {})
    optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, 3000))

    def step(carry, key):
        params, opt = carry
        grads = jax.grad(
            lambda p: method.loss(state.replace(params=p), {"x": draw(key, 512)}, key)[0]
        )(params)
        updates, opt = optimizer.update(grads, opt)
        return (optax.apply_updates(params, updates), opt), None

    start = (params, optimizer.init(params))
    (params, _), _ = jax.jit(jax.lax.scan, static_argnums=0)(
        step, start, jax.random.split(KEY, 3000)
    )
    x = draw(jax.random.key(1), 100_000)
    nll = -np.mean(method.log_prob(state.replace(params=params), x, KEY))
    # against the entropy of these points: the density is known
    noise = np.stack([x[:, 0], x[:, 1] - np.square(x[:, 0])], -1)
    exact = np.log(2 * np.pi) + 0.5 * np.square(noise).sum(-1).mean()
    assert abs(exact - np.log(2 * np.pi * np.e)) < 0.02
    assert -1e-3 < nll - exact < 0.01
