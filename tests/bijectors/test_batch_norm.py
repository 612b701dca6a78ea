"""Batch normalisation: the batch's moments while training, running ones at any other time."""

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen.bijectors.base import Chain, Invert, Repeat
from jaxgen.bijectors.batch_norm import BatchNorm
from jaxgen.bijectors.linear import Diagonal
from jaxgen.bijectors.masks import ChannelMask, Checkerboard
from jaxgen.methods.likelihood import Likelihood
from jaxgen.sharding import make_mesh
from jaxgen.train.optim import optimizer
from jaxgen.train.step import init_state, train_step
from jaxgen.types import DataSpec

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)


def normals(*shape):
    return RANDOM.randn(*shape).astype(np.float32)


POINTS = DataSpec.of("points", (3,), None)
CASES = {
    "vector": (BatchNorm(), (5,), None),
    "image": (BatchNorm(), (2, 3, 2), None),
    "learned": (BatchNorm(learned=True), (2, 3, 2), None),
    "checkerboard": (BatchNorm(Checkerboard()), (3, 3, 2), None),
    "channels": (BatchNorm(ChannelMask(), learned=True), (2, 2, 3), None),
    "invert": (Invert(BatchNorm()), (5,), None),
    "repeat": (Repeat(Chain((BatchNorm(), Diagonal())), 3), (4,), None),
}


@pytest.mark.parametrize("name", CASES)
def test_float64(name):
    checks.exact(CASES[name])


@pytest.mark.parametrize("name", checks.names(CASES, CASES.keys() - {"image"}))
def test_float32(name):
    checks.single(CASES[name])


def train(bijector, variables, x):
    """(y, logdet), new statistics."""
    return jax.jit(lambda v, x: bijector.apply(v, x, mutable=["batch_stats"]))(variables, x)


def moments(x, kept):
    """Of the elements of each channel that are not kept, one channel at a time in float64."""
    x = np.asarray(x, np.float64)
    kept = np.broadcast_to(kept[None], x.shape)
    channels = [x[..., c][~kept[..., c]] for c in range(x.shape[-1])]
    count = np.array([len(v) / len(x) for v in channels])
    mean, var = (np.array([f(v) if len(v) else 0.0 for v in channels]) for f in (np.mean, np.var))
    return mean, var, count


@pytest.mark.parametrize("mask", [None, Checkerboard(), Checkerboard(True), ChannelMask(True)])
def test_training_uses_the_moments_of_what_changes(mask):
    start, x = normals(6, 3, 4, 2) + 1, 3 * normals(6, 3, 4, 2) + 3
    norm = BatchNorm(mask)
    variables = jax.jit(norm.init)(KEY, start)
    kept = np.zeros((3, 4, 2), bool) if mask is None else mask.kept((3, 4, 2))
    (y, logdet), moved = train(norm, variables, x)
    mean, var, count = moments(x, kept)
    expected = np.where(kept[None], x, (np.asarray(x) - mean) / np.sqrt(var + 1e-4))
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(y)[:, kept], x[:, kept])
    np.testing.assert_allclose(logdet, -0.5 * np.sum(count * np.log(var + 1e-4)), rtol=1e-5)
    first_mean, first_var, _ = moments(start, kept)
    found = moved["batch_stats"]
    np.testing.assert_allclose(found["mean"], 0.9 * first_mean + 0.1 * mean, atol=1e-5)
    np.testing.assert_allclose(found["var"], 0.9 * first_var + 0.1 * var, rtol=1e-5)


def test_running_moments_start_as_those_of_the_first_batch():
    x = 5 + 3 * normals(64, 4)
    start = jax.jit(lambda x: BatchNorm().apply(BatchNorm().init(KEY, x), x)[0])
    y = np.asarray(start(x))
    np.testing.assert_allclose(np.mean(y, 0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(y, 0), 1, atol=1e-4)


def test_outside_of_training_an_example_does_not_depend_on_the_others():
    variables = jax.jit(BatchNorm().init)(KEY, normals(16, 4))
    x = 2 * normals(8, 4) + 1
    apply = jax.jit(BatchNorm().apply)
    y, logdet = map(np.asarray, apply(variables, x))
    order = np.array([3, 1, 7, 0, 2, 6, 5, 4])
    for some in (order, order[:1]):
        z, ld = apply(variables, x[some])
        np.testing.assert_allclose(z, y[some], atol=1e-6)
        np.testing.assert_allclose(ld, logdet[some], atol=1e-6)


def test_inverse_uses_running_moments_while_training_too():
    variables = jax.jit(BatchNorm().init)(KEY, normals(16, 4))

    @jax.jit
    def both(y):
        expected = BatchNorm().apply(variables, y, method="inverse")[0]
        return expected, BatchNorm().apply(variables, y, method="inverse", mutable=["batch_stats"])

    expected, ((x, _), moved) = both(7 + normals(5, 4))
    np.testing.assert_array_equal(x, expected)
    jax.tree.map(np.testing.assert_array_equal, moved["batch_stats"], variables["batch_stats"])


def test_the_gradient_passes_through_the_moments():
    """Against the backward pass of Ioffe & Szegedy 2015, section 3, in float64."""
    with jax.enable_x64(True):
        x, weight = 2 * RANDOM.randn(6, 3) + 1, RANDOM.randn(6, 3)
        variables = jax.jit(BatchNorm().init)(KEY, x)

        def total(x):
            (y, logdet), _ = BatchNorm().apply(variables, x, mutable=["batch_stats"])
            return jnp.sum(weight * y) + jnp.sum(logdet)

        found = jax.jit(jax.grad(total))(x)
        scale = 1 / np.sqrt(x.var(0) + 1e-4)
        y = (x - x.mean(0)) * scale
        expected = scale * (weight - weight.mean(0) - y * (weight * y).mean(0))
        expected -= (x - x.mean(0)) * scale**2  # of 6 log-determinants, -log(var + eps) / 2 each
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_repeated_copies_have_statistics_of_their_own():
    repeat = Repeat(Chain((BatchNorm(), Diagonal())), 3)
    first, x = normals(8, 2), 2 * normals(8, 2)
    variables = checks.scramble(jax.jit(repeat.init)(KEY, first), 0.5)
    (y, logdet), moved = train(repeat, variables, x)
    one, total = Chain((BatchNorm(), Diagonal())), 0.0
    for i in range(3):
        copy = jax.tree.map(lambda v, i=i: v[i], {k: v["bijector"] for k, v in variables.items()})
        (x, ld), new = train(one, copy, x)
        total += ld
        for name, value in new["batch_stats"]["bijectors_0"].items():
            stacked = moved["batch_stats"]["bijector"]["bijectors_0"][name]
            assert stacked.shape == (3, 2)
            np.testing.assert_allclose(stacked[i], value, atol=1e-5)
    np.testing.assert_allclose(y, x, atol=1e-5)
    np.testing.assert_allclose(logdet, total, atol=1e-5)


def method_and_state():
    method = Likelihood(Chain((BatchNorm(), Diagonal())), POINTS)
    x = 2 * normals(16, 3) + 1
    sgd = {"model": optimizer("sgd", 0.1)}
    init = jax.jit(lambda x: init_state(KEY, {"x": x}, method=method, optimizers=sgd, emas={}))
    state = init(x)
    return method, state, 3 * x, sgd


def test_a_train_step_moves_the_statistics_and_nothing_else_does():
    method, state, x, sgd = method_and_state()
    before = state.vars["model"]["batch_stats"]["bijectors_0"]["mean"]

    def run(accum):
        options = {"method": method, "optimizers": sgd, "emas": {}, "accum": accum}
        step = jax.jit(lambda state, x: train_step(state, {"x": x}, KEY, **options)[0])
        return step(state, x).vars["model"]["batch_stats"]["bijectors_0"]["mean"]

    x_mean = np.asarray(x).mean(0)
    np.testing.assert_allclose(run(1), 0.9 * before + 0.1 * x_mean, rtol=1e-5)
    halves = [np.asarray(x)[i::2].mean(0) for i in range(2)]  # two microbatches, two moves
    twice = 0.9 * (0.9 * before + 0.1 * halves[0]) + 0.1 * halves[1]
    np.testing.assert_allclose(run(2), twice, rtol=1e-5)
    log_prob = jax.jit(method.log_prob)
    np.testing.assert_allclose(log_prob(state, x, KEY)[:1], log_prob(state, x[:1], KEY), rtol=1e-5)
    back = jax.jit(lambda state, x: method.decode(state, method.encode(state, x, KEY)))
    np.testing.assert_allclose(back(state, x), x, atol=1e-5)


def test_statistics_are_of_the_global_batch():
    method, state, x, _ = method_and_state()
    mesh = make_mesh(4, 2)
    split = jax.device_put(x, NamedSharding(mesh, PartitionSpec(("data", "fsdp"))))
    loss = jax.jit(method.loss)
    (one, (moved, _)), (other, (same, _)) = (loss(state, {"x": v}, KEY) for v in (x, split))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), moved, same)
