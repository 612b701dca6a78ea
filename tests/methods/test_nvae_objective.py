"""NVAE's objective: balance, penalties, re-adjustment, bits, on a tiny network."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.methods.elbo import ELBO
from jaxgen.methods.nvae import NVAE, Coarse, group_weights
from jaxgen.models.vaes import nvae as networks
from jaxgen.nn import spectral
from jaxgen.nn.latents import Draw
from jaxgen.ops.observations import LogisticMixture
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("small", (4, 4, 1), 2)
MODEL = networks.NVAE(channels=4, groups=(2,), latent=1, blocks=0, group_cells=1)


def test_power_iteration_finds_the_largest_singular_values():
    random = np.random.RandomState(0)
    kernels = [random.randn(2, 3, 3, 8, 16), random.randn(3, 3, 8, 16), random.randn(5, 5, 1, 16)]
    kernels = [jnp.asarray(k, jnp.float32) for k in kernels]
    weights = spectral.matrices(kernels)
    assert {name: len(w) for name, w in weights.items()} == {"25x16": 1, "72x16": 3}
    vectors = spectral.start(KEY, weights)

    def total(weights, name):
        one = {name: weights[name]}
        return spectral.power_iteration(one, {name: vectors[name]}, 40)

    iterated = jax.jit(jax.value_and_grad(total, has_aux=True), static_argnums=1)
    for name, w in weights.items():
        left, values, right = np.linalg.svd(w)
        (sigma, better), gradient = iterated(weights, name)
        np.testing.assert_allclose(sigma, values[:, 0].sum(), rtol=0.01)
        cosine = np.abs(np.einsum("nc,nc->n", better[name], right[:, 0]))
        assert cosine.min() > 0.98
        top = np.einsum("nr,nc->nrc", left[:, :, 0], right[:, 0])
        assert np.einsum("nrc,nrc->n", gradient[name], top).min() > 0.95
        norms = np.sqrt(np.sum(np.square(gradient[name]), (1, 2)))
        np.testing.assert_allclose(norms, 1, rtol=1e-4)  # u v^T, and nothing through u and v


def test_a_matrix_has_a_kernels_filters_as_its_columns():
    kernel = jnp.arange(24.0).reshape(2, 1, 3, 4)
    np.testing.assert_array_equal(
        spectral.matrices([kernel])["6x4"][0, :, 1], kernel[..., 1].ravel()
    )


def test_group_weights():
    """MNIST's scales of 5 and 10 groups: 1/5 and 4/10 are as 1 to 2."""
    weights = np.asarray(group_weights(jnp.full((3, 15), 2.0), [5, 10]))
    np.testing.assert_allclose(weights.mean(), 1, rtol=1e-6)
    np.testing.assert_allclose(weights[:5] / weights[5:].mean(), 2, rtol=1e-5)
    kl = jnp.abs(jax.random.normal(KEY, (4, 3)))
    share = np.abs(kl).mean(0) + 0.01
    np.testing.assert_allclose(group_weights(kl, [3]), share / share.mean(), rtol=1e-5)
    gradient = jax.grad(lambda kl: jnp.sum(jnp.square(group_weights(kl, [1, 2]))))(kl)
    np.testing.assert_array_equal(gradient, 0)


def drawn(kl):
    """A draw of three groups in two scales, 1x1 and 2x2."""
    z = [jnp.zeros((2, side, side, 1)) for side in (1, 2, 2)]
    return Draw(None, tuple(z), tuple(kl[:, i : i + 1] for i in range(3)), None, None)


def test_divergence_is_balanced_until_beta_is_one():
    method = NVAE(MODEL, SPEC, warmup_steps=100, constant_steps=10)
    kl = jnp.array([[1.0, 2.0, 3.0], [2.0, 0.5, 1.0]])
    value, shown = method.divergence(drawn(kl), jnp.int32(60))
    expected = 0.5 * np.sum(group_weights(kl, [1, 2]) * kl.mean(0))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(shown["ramp"], 0.5, rtol=1e-6)
    np.testing.assert_allclose(shown["kl_2"], 1.25, rtol=1e-6)
    for step in (110, 1000):
        plain, _ = method.divergence(drawn(kl), jnp.int32(step))
        np.testing.assert_allclose(plain, kl.sum() / 2, rtol=1e-6)
    for step in (0, 10):
        np.testing.assert_allclose(method.ramp(jnp.int32(step)), 1e-4, rtol=1e-6)
    assert NVAE(MODEL, SPEC).ramp(jnp.int32(0)) == 1


def test_penalty_weight_falls_geometrically_with_beta():
    method = NVAE(MODEL, SPEC, warmup_steps=100, penalty_start=1.0, penalty_weight=1e-2)
    for step, weight in ((0, 1.0), (50, 0.1), (100, 0.01), (500, 0.01)):
        np.testing.assert_allclose(method.penalty_at(jnp.int32(step)), weight, rtol=1e-3)


@pytest.fixture(scope="module")
def trained():
    """A method, its first state, and what forty steps of a tiny network make of it."""
    method = NVAE(MODEL, SPEC, penalty_weight=1e-3, warmup_steps=10)
    batch = {"x": (jax.random.uniform(KEY, (8, 4, 4, 1)) > 0.8).astype(jnp.uint8)}
    params, variables = jax.jit(method.init)(KEY, batch)

    @jax.jit
    def step(params, variables, number):
        def loss(params):
            state = State(number, params, variables, {}, {})
            return method.loss(state, batch, jax.random.fold_in(KEY, number))

        (_, (variables, metrics)), gradient = jax.value_and_grad(loss, has_aux=True)(params)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g in jax.tree.leaves(gradient)))
        params = jax.tree.map(lambda p, g: p - 0.05 * g / norm, params, gradient)
        return params, variables, metrics

    history, first = [], State(jnp.int32(0), params, variables, {}, {})
    for number in range(40):
        params, variables, metrics = step(params, variables, jnp.int32(number))
        history.append(jax.device_get(metrics))
    last = State(jnp.int32(40), params, variables, {}, {})
    return types.SimpleNamespace(
        method=method, batch=batch, first=first, last=last, history=history
    )


@pytest.mark.slow
def test_penalties_are_of_every_kernel_and_every_scale(trained):
    """All that numpy finds in the parameters; kernels with a learned norm have that norm."""
    flat = dict(jax.tree_util.tree_leaves_with_path(trained.first.params["model"]))
    names = {tuple(key.key for key in path): np.asarray(leaf) for path, leaf in flat.items()}
    norms, scales, count = 0.0, 0.0, 0
    for path, leaf in names.items():
        if path[-1] == "scale":
            scales += np.abs(leaf).max(-1).sum()
        dense = path[-2] in ("squeeze", "excite")
        if path[-1] != "kernel" or dense:
            continue
        kernel = leaf.reshape(-1, *leaf.shape[-4:]).astype(np.float64)
        if (*path[:-1], "log_norm") in names:
            learned = np.exp(names[*path[:-1], "log_norm"].reshape(len(kernel), 1, 1, 1, -1))
            kernel = kernel * learned / np.sqrt(np.sum(kernel**2, (1, 2, 3), keepdims=True))
        matrices = kernel.reshape(len(kernel), -1, kernel.shape[-1])
        norms += np.linalg.svd(matrices, compute_uv=False)[:, 0].sum()
        count += len(kernel)
    vectors = trained.first.vars["model"]["spectral"]
    assert sum(len(v) for v in vectors.values()) == count
    metrics = trained.history[0]
    np.testing.assert_allclose(metrics["spectral"], norms, rtol=0.01)
    np.testing.assert_allclose(metrics["scales"], scales, rtol=1e-5)


@pytest.mark.slow
def test_training_lowers_the_bound_and_moves_statistics_and_vectors(trained):
    nelbo = [metrics["nelbo"] for metrics in trained.history]
    assert np.mean(nelbo[-5:]) < np.mean(nelbo[:5]) - 1
    before, after = trained.first.vars["model"], trained.last.vars["model"]
    assert jax.tree.structure(before) == jax.tree.structure(after)
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), before, after)
    assert all(jax.tree.leaves(moved["batch_stats"]))
    columns = {name: name.partition("x")[2] for name in moved["spectral"]}  # one has no direction
    assert all(moved["spectral"][name] == (n != "1") for name, n in columns.items())


@pytest.mark.slow
def test_evaluation_is_unmoved_and_without_penalties(trained):
    values = jax.jit(trained.method.evaluate)(trained.last, trained.batch, KEY)
    assert {"nelbo", "bpd", "kl_1", "kl_2"} <= set(values)
    np.testing.assert_allclose(values["nelbo"], values["reconstruction"] + values["kl"], rtol=1e-5)


@pytest.mark.slow
def test_readjusted_statistics_are_those_of_samples_and_can_be_undone(trained):
    """At temperature 0 all samples are one: running moments come to be those of the batch."""
    method, state = trained.method, trained.last
    kept = jax.tree.map(np.array, state.vars)
    size, variables = (16, 4, 4, 1), {"params": state.params["model"]}
    readjust = jax.jit(method.readjust, static_argnums=2)
    after = readjust(state, KEY, 150, 0.0)
    jax.tree.map(np.testing.assert_array_equal, kept, state.vars)
    stats, new = state.vars["model"]["batch_stats"], after.vars["model"]["batch_stats"]
    jax.tree.map(np.testing.assert_array_equal, stats["encoder"], new["encoder"])
    options = dict(method="top_down", temperature=0.0, rngs={"latent": KEY})
    variables["batch_stats"] = new
    still = method.model.apply(variables, None, size, **options)
    live, _ = method.model.apply(variables, None, size, mutable=["batch_stats"], **options)
    np.testing.assert_allclose(still.theta, live.theta, atol=5e-3)
    variables["batch_stats"] = stats
    before = method.model.apply(variables, None, size, **options)
    gap = np.abs(still.theta - live.theta).max()
    assert np.abs(before.theta - live.theta).max() > 4 * gap


@pytest.mark.slow
def test_samples_at_a_temperature_with_and_without_readjustment(trained):
    sample = jax.jit(trained.method.sample, static_argnames=("num", "mean", "readjust"))
    options = dict(temperature=0.5, mean=True)
    plain = sample(trained.last, KEY, num=3, **options)
    moved = sample(trained.last, KEY, num=3, readjust=20, **options)
    assert plain.shape == moved.shape == (3, 4, 4, 1)
    assert np.abs(plain - moved).max() > 1e-3


def test_decoded_levels_are_those_that_are_modelled(monkeypatch):
    mean = jnp.linspace(-5.0, 260.0, 97).reshape(97, 1, 1, 1)
    monkeypatch.setattr(ELBO, "decode", lambda self, state, z, label=None: mean)
    method = NVAE(MODEL, DataSpec.of("grey", (1, 1, 1), 256), "logistic_mixture", n_bits=5)
    assert method.decode(None, None) is mean
    rounded = method.decode(None, None, rounded=True)
    assert rounded.dtype == jnp.uint8
    np.testing.assert_array_equal(rounded, 8 * np.clip(np.rint(np.asarray(mean) / 8), 0, 31))


def test_coarse_bits_are_a_mass_of_the_leading_bits():
    spec = DataSpec.of("colour", (4, 4, 3), 256)
    method = NVAE(MODEL, spec, "logistic_mixture", n_bits=5)
    x = jnp.arange(256, dtype=jnp.uint8)
    leading = np.floor(np.arange(256) / 255 * 255 / 8) / 31  # as the official code has it
    np.testing.assert_allclose(method.scaled(x), leading, atol=1e-7)
    coarse = Coarse(LogisticMixture(32, 2), 8)
    theta = jax.random.normal(KEY, (1, 1, 1, coarse.width(1)))
    every = x.reshape(256, 1, 1, 1)
    theta = jnp.broadcast_to(theta, (256, *theta.shape[1:]))
    log_prob = jax.jit(coarse.log_prob)(every, theta)
    np.testing.assert_allclose(np.exp(log_prob[::8]).sum(), 1, rtol=1e-5)
    np.testing.assert_array_equal(log_prob[::8], log_prob[7::8])
    drawn = jax.jit(coarse.sample)(KEY, theta)
    assert drawn.dtype == jnp.uint8 and not np.any(drawn % 8)
    assert isinstance(method.decoder, Coarse) and method.decoder.width(3) == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(free_nats=1.0), "no free_nats and no capacity"),
        (dict(capacity=1.0), "no free_nats and no capacity"),
        (dict(penalty_weight=-1.0), "penalty_weight=-1.0, expected 0 or more"),
        (dict(penalty_start=1.0, penalty_weight=0.0), "expected it and penalty_weight above 0"),
        (dict(n_bits=5), "needs 8-bit data, but small has 2"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        NVAE(MODEL, SPEC, **options)
