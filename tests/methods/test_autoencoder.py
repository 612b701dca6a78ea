"""Reconstruction: only the input is corrupted, and how."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.methods.autoencoder import Reconstruction
from jaxgen.methods.elbo import ELBO
from jaxgen.models.vaes.autoencoder import Autoencoder
from jaxgen.models.vaes.vae import VAE
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("grey", (6, 6, 1), 17)
X = jnp.asarray(np.random.RandomState(0).randint(0, 17, (32, 6, 6, 1)), jnp.uint8)


def made(model=None, **options):
    method = Reconstruction(model or Autoencoder(3, (8,)), SPEC, "gaussian", **options)
    params, variables = jax.jit(method.init)(KEY, {"x": X})
    return method, State(jnp.int32(0), params, variables, {}, {})


def test_loss_is_the_squared_error_halved_and_a_constant():
    method, state = made()

    @jax.jit
    def found(state):
        code = method.encode(state, X, KEY)
        z = {"params": state.params["model"], **state.vars["model"]}
        drawn = method.model.apply(z, None, (32, 6, 6, 1), given=code, method="top_down")
        return method.loss(state, {"x": X}, KEY), method.decode(state, code), drawn.theta

    (loss, (_, metrics)), decoded, theta = found(state)
    decoded = np.asarray(decoded) / 16  # cut to the range of the data
    expected = -scipy.stats.norm.logpdf(np.asarray(X) / 16, theta, 1).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["reconstruction"], expected, rtol=1e-5)
    assert float(metrics["kl"]) == 0 and decoded.min() >= 0 and decoded.max() <= 1


def test_no_corruption_is_the_plain_autoencoder():
    plain, state = made()
    zero = dataclasses.replace(plain, corruption="masking", amount=0.0)
    one, two = (jax.jit(m.loss)(state, {"x": X}, KEY)[0] for m in (zero, plain))
    np.testing.assert_array_equal(one, two)


def test_weight_zero_of_the_divergence_is_reconstruction_with_noise():
    """The loss of a VAE at beta = 0 is its decoder's alone."""
    method = ELBO(VAE(3, (8,)), SPEC, "gaussian", beta=0.0)
    params, variables = jax.jit(method.init)(KEY, {"x": X})
    state = State(jnp.int32(0), params, variables, {}, {})
    other = Reconstruction(VAE(3, (8,)), SPEC, "gaussian", beta=0.0)
    one, two = (jax.jit(m.loss)(state, {"x": X}, KEY)[0] for m in (method, other))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("corruption", ["gaussian", "masking", "salt_and_pepper"])
def test_corruption(corruption):
    options = {"corruption": corruption, "amount": 0.25}
    method = Reconstruction(Autoencoder(3, (8,)), SPEC, "gaussian", **options)
    x = jnp.asarray(np.full((50, 20, 20, 1), 5, np.uint8))
    seen = np.asarray(jax.jit(method.corrupt)(x, KEY), np.float64)
    assert seen.shape == x.shape
    if corruption == "gaussian":
        noise = (seen - 5).ravel() / (0.25 * 16)
        assert scipy.stats.kstest(noise, "norm").pvalue > 1e-3
        return
    values, counts = np.unique(seen, return_counts=True)
    low = 0.25 if corruption == "masking" else 0.125
    expected = {0: low, 5: 0.75} if corruption == "masking" else {0: low, 5: 0.75, 16: low}
    assert list(values) == list(expected)
    assert scipy.stats.chisquare(counts, 20_000 * np.array([*expected.values()])).pvalue > 1e-4


def test_target_is_never_corrupted():
    """With everything masked the encoder sees one input, and the target is still x."""
    method, state = made(corruption="masking", amount=1.0)
    values = method.evaluate(state, {"x": X}, KEY)
    code = method.encode(state, jnp.zeros_like(X), KEY)
    variables = {"params": state.params["model"], **state.vars["model"]}
    theta = method.model.apply(variables, None, (32, 6, 6, 1), given=code, method="top_down").theta
    np.testing.assert_allclose(values["denoising"], -method.decoder.log_prob(X, theta), rtol=1e-6)
    assert set(values) == {"reconstruction", "denoising"}
    assert float(jnp.std(values["reconstruction"])) > 0


def test_samples_have_the_moments_of_the_codes():
    method, state = made()
    step = jax.jit(lambda s: method.loss(s, {"x": X}, KEY)[1][0])
    for _ in range(800):
        state = state.replace(vars=step(state))
    codes = np.asarray(method.encode(state, X, KEY)[0])
    moments = state.vars["model"]["batch_stats"]["codes"]
    np.testing.assert_allclose(moments["mean"], codes.mean(0), atol=2e-3)
    np.testing.assert_allclose(moments["var"], codes.var(0), rtol=0.05)
    draw = method.top_down(state, None, 20_000, None, KEY)
    np.testing.assert_allclose(draw.z[0].std(0), codes.std(0), rtol=0.05)


@pytest.mark.parametrize(
    "options, words",
    [
        ({"corruption": "blur"}, "expected one of"),
        ({"corruption": "masking", "amount": 1.5}, "expected a share"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Reconstruction(Autoencoder(3, (8,)), SPEC, "gaussian", **options)
