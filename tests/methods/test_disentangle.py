"""Penalties on the aggregate posterior, against their definitions in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxgen.methods.disentangle import (
    Disentangle,
    FactorVAE,
    covariance_penalty,
    total_correlation,
)
from jaxgen.methods.elbo import ELBO
from jaxgen.models.vaes.conv_draw import ConvDRAW
from jaxgen.models.vaes.factor_vae import Discriminator
from jaxgen.models.vaes.vae import VAE
from jaxgen.nn.latents import Normal
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("bits", (4, 4, 1), 2)
X = jnp.asarray(np.random.RandomState(0).rand(64, 4, 4, 1) < 0.4, jnp.uint8)
MEAN, LOG_STD, NOISE = np.random.RandomState(0).randn(3, 12, 2) * 0.7


def test_total_correlation_equals_the_sums_by_hand():
    z = MEAN + np.exp(LOG_STD) * NOISE
    log_q = np.array(
        [
            [scipy.stats.norm.logpdf(z[i], MEAN[j], np.exp(LOG_STD[j])) for j in range(12)]
            for i in range(12)
        ]
    )
    joint = scipy.special.logsumexp(log_q.sum(-1), axis=1) - np.log(12)
    single = scipy.special.logsumexp(log_q, axis=1) - np.log(12)
    got = jax.jit(lambda *of: total_correlation(Normal(*of), z))(MEAN, LOG_STD)
    np.testing.assert_allclose(got, joint - single.sum(-1), rtol=1e-4, atol=1e-5)


def test_total_correlation_of_correlated_gaussians():
    """Means on a line: the aggregate is a normal with correlation 0.8, TC = -ln(1 - 0.64) / 2."""
    draws = np.random.RandomState(1).randn(3000, 1) * np.sqrt(0.8)
    mean = np.repeat(draws, 2, axis=1).astype(np.float32)

    @jax.jit
    def mean_correlation(mean):
        posterior = Normal(mean, jnp.full_like(mean, 0.5 * np.log(0.2)))
        return jnp.mean(total_correlation(posterior, posterior.sample(KEY)))

    got = float(mean_correlation(mean))
    np.testing.assert_allclose(got, -0.5 * np.log(1 - 0.64), atol=0.05)


@pytest.mark.parametrize("sampled", [False, True])
def test_covariance_penalty(sampled):
    covariance = np.cov(MEAN.T, bias=True)
    if sampled:
        covariance = covariance + np.diag(np.exp(2 * LOG_STD).mean(0))
    off = covariance - np.diag(np.diag(covariance))
    expected = (off**2).sum() + 3 * ((np.diag(covariance) - 1) ** 2).sum()
    posterior = Normal(jnp.asarray(MEAN), jnp.asarray(LOG_STD))
    np.testing.assert_allclose(covariance_penalty(posterior, 3.0, sampled), expected, rtol=1e-5)


def started(cls, **options):
    method = cls(VAE(3, (8,)), SPEC, **options)
    params, variables = jax.jit(method.init)(KEY, {"x": X})
    return method, State(jnp.int32(0), params, variables, {}, {})


@pytest.fixture(scope="module")
def elbo():
    return started(ELBO)


@pytest.mark.parametrize("name", ["tc", "dip_i", "dip_ii"])
def test_weight_multiplies_the_penalty(elbo, name):
    method, state = elbo
    penalised = functools.partial(Disentangle, method.model, SPEC, penalty_name=name)
    methods = method, penalised(weight=0.0), penalised(weight=2.0)
    losses = jax.jit(lambda state: [m.loss(state, {"x": X}, KEY) for m in methods])(state)
    (plain, _), (zero, _), (two, (_, metrics)) = losses
    np.testing.assert_array_equal(plain, zero)
    np.testing.assert_allclose(two - plain, 2 * metrics[name], rtol=1e-3, atol=1e-5)


def test_discriminator_learns_and_only_its_own_turn_moves_it():
    method, state = started(FactorVAE, discriminator=Discriminator(2, 32), gamma=3.0)
    players = [turn.player for turn in method.turns]
    assert players == ["model", "discriminator"]
    grad = jax.grad(lambda p: method.loss(state.replace(params=p), {"x": X}, KEY)[0])
    grads = jax.device_get(jax.jit(grad)(state.params))
    assert not any(g.any() for g in jax.tree.leaves(grads["discriminator"]))
    assert all(g.any() for g in jax.tree.leaves(grads["model"]["encoder"]))

    # codes that stand on a line: dimensions exchanged between examples do not
    line = np.repeat(np.random.RandomState(0).randn(512, 1).astype(np.float32), 3, axis=1)
    object.__setattr__(method, "draw_posterior", lambda *_: type("Draw", (), {"z": (line,)}))

    @jax.jit
    def step(params, key):
        def cost(p):
            moved = state.replace(params=state.params | {"discriminator": p})
            value, (_, metrics) = method.discriminator_loss(moved, {"x": X}, key)
            return value, metrics["accuracy"]

        (value, accuracy), grads = jax.value_and_grad(cost, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.3 * g, params, grads), value, accuracy

    params = state.params["discriminator"]
    for i in range(60):
        params, value, accuracy = step(params, jax.random.fold_in(KEY, i))
    assert float(accuracy) > 0.8 and float(value) < 0.5


@pytest.mark.slow
def test_a_model_of_many_groups_is_refused():
    method = Disentangle(ConvDRAW(2, 2, 4, 3), SPEC)
    params, variables = method.init(KEY, {"x": X})
    state = State(jnp.int32(0), params, variables, {}, {})
    with pytest.raises(ValueError, match="one group of normal latents"):
        method.loss(state, {"x": X}, KEY)


def test_unknown_penalty_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        Disentangle(VAE(3, (8,)), SPEC, penalty_name="mmd")
