"""Dequantisation noise and what it costs: closed forms, importance weights, published figures."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from flax import linen as nn

from jaxgen.bijectors.affine import Affine, ConditionalAffine
from jaxgen.bijectors.base import Bijector, Chain
from jaxgen.methods.likelihood import Likelihood
from jaxgen.ops.densities import sum_event
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
IDENTITY = Chain(())
FOUR = DataSpec.of("four", (4,), 17)


def state_of(params=None, variables=None) -> State:
    return State(jnp.int32(0), params or {"model": {}}, variables or {"model": {}}, {}, {})


def scans(n=8, levels=17, d=4):
    return jnp.asarray(np.random.RandomState(0).randint(levels, size=(n, d)).astype(np.uint8))


class OfImage(nn.Module):
    """Mean and log-scale of the noise, from the image that it is added to."""

    @nn.compact
    def __call__(self, x, cond, features):
        return nn.Dense(features, bias_init=nn.initializers.constant(0.3))(cond)


def test_learned_noise_is_counted_in_full():
    """Against scipy's density of the sigmoid of a normal variable, from the noise itself."""
    method = Likelihood(
        IDENTITY, FOUR, preprocess="none", base="uniform", dequantizer=ConditionalAffine(OfImage())
    )
    x = scans()
    state = state_of(*jax.jit(method.init)(KEY, {"x": x}))
    net = state.params["model"]["bijectors_0"]["bijectors_0"]["flow"]["net"]["Dense_0"]
    assert net["kernel"].shape == (4, 8)
    y = np.asarray(jax.jit(method.encode)(state, x, KEY), np.float64)
    u = y * 17 - np.asarray(x)
    assert (u > 0).all() and (u < 1).all()
    given = np.asarray(x) / 17 - 0.5
    mean, log_scale = np.split(given @ np.asarray(net["kernel"]) + np.asarray(net["bias"]), 2, -1)
    # u = (sigmoid((eps - mean) exp(-log_scale)) - alpha / 2) / (1 - alpha)
    alpha = 1e-5
    s = alpha / 2 + (1 - alpha) * u
    eps = scipy.special.logit(s) * np.exp(log_scale) + mean
    log_q = scipy.stats.norm.logpdf(eps) + log_scale - np.log(s * (1 - s)) + math.log1p(-alpha)
    expected = -4 * math.log(17) - log_q.sum(-1)
    log_prob = jax.jit(method.log_prob)(state, x, KEY)
    np.testing.assert_allclose(log_prob, expected, atol=2e-4)
    bpd = jax.jit(method.evaluate)(state, {"x": x}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, -expected / (4 * math.log(2)), atol=1e-4)


@pytest.fixture(scope="module")
def learned():
    method = Likelihood(
        Affine(scale=3.0), FOUR, preprocess="logit", dequantizer=ConditionalAffine(OfImage())
    )
    x = scans()
    return method, state_of(*jax.jit(method.init)(KEY, {"x": x})), x


def test_integers_come_back_from_learned_noise(learned):
    method, state, x = learned
    back = jax.jit(method.decode)(state, jax.jit(method.encode)(state, x, KEY))
    np.testing.assert_array_equal(back, x)
    assert back.dtype == jnp.uint8
    samples = jax.jit(method.sample, static_argnums=2)(state, KEY, 5)
    assert samples.shape == (5, 4) and samples.dtype == jnp.uint8 and samples.max() <= 16


def test_the_noise_learns(learned):
    method, state, x = learned

    def loss(params):
        return method.loss(state.replace(params=params), {"x": x}, KEY)[0]

    grads = jax.tree.leaves(jax.jit(jax.grad(loss))(state.params))
    assert len(grads) == 2 and all(np.abs(g).max() > 1e-4 for g in grads)


class Steep(Bijector):
    """z = 5 y - 2.5 of all four elements."""

    def forward(self, x, cond=None):
        return 5 * x - 2.5, jnp.full(len(x), 4 * math.log(5.0))


# the sigmoid of 1.7 times a normal variable is nearly uniform
@pytest.mark.parametrize(
    "dequantizer",
    [
        pytest.param(None, id="uniform"),
        pytest.param(Affine(scale=1.7), id="learned", marks=pytest.mark.slow),
    ],
)
def test_importance_weights_reach_the_probability_of_the_integers(dequantizer):
    """Of a normal density over bins, which the distribution function gives exactly."""
    spec = DataSpec.of("four", (4,), 4)
    x = scans(256, 4)
    edges = scipy.stats.norm.cdf(5 * (np.asarray(x)[..., None] + np.array([0, 1])) / 4 - 2.5)
    exact = -np.log2(np.diff(edges)[..., 0]).mean()
    bounds = []
    for k in (1, 8, 64, 1024):
        method = Likelihood(
            Steep(), spec, preprocess="none", dequantizer=dequantizer, importance_samples=k
        )
        values = jax.jit(method.evaluate)(state_of(), {"x": x}, KEY)
        assert set(values) == ({"bpd"} if k == 1 else {"bpd", "iw_bpd"})
        bounds.append(float(jnp.mean(values["bpd" if k == 1 else "iw_bpd"])))
        if k > 1:
            assert (values["iw_bpd"] <= values["bpd"] + 1e-6).all()
    assert bounds[0] > exact + 0.1  # or nothing is shown
    assert bounds[0] > bounds[1] > bounds[2] > exact - 0.005
    np.testing.assert_allclose(bounds[3], exact, atol=0.005)


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (FOUR, {"importance_samples": 0}, "importance_samples=0, expected 1 or more"),
        (DataSpec.of("points", (2,), None), {"importance_samples": 2}, "points is continuous"),
        (DataSpec.of("points", (2,), None), {"dequantizer": IDENTITY}, "points is continuous"),
    ],
)
def test_noise_that_is_not_there_is_refused(spec, options, message):
    with pytest.raises(ValueError, match=message):
        Likelihood(IDENTITY, spec, **options)


class Claim(Bijector):
    """A model that claims a log-density, in nats, for every input."""

    nats: float

    def forward(self, x, cond=None):
        return jnp.zeros_like(x), jnp.full(len(x), self.nats)


@pytest.mark.parametrize(
    ("d", "model", "preprocess", "published"),
    [
        (784, Claim(1980.50), "none", 4.356),  # NICE, MNIST, data in [0, 1]
        (3072, Chain((Affine(scale=2.0), Claim(5371.78))), "center", 4.477),  # CIFAR, in [-1, 1]
    ],
)
def test_published_nats_in_bits(d, model, preprocess, published):
    method = Likelihood(
        model, DataSpec.of("pixels", (d,), 256), preprocess=preprocess, base="uniform"
    )
    bpd = jax.jit(method.evaluate)(state_of(), {"x": scans(2, 256, d)}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, published, atol=1e-3)


def test_random_pixels_under_a_centred_normal():
    """8 + E[z^2 + log 2 pi] / (2 ln 2) with z uniform in (-1/2, 1/2)."""
    method = Likelihood(IDENTITY, DataSpec.of("pixels", (1000,), 256))
    bpd = jax.jit(method.evaluate)(state_of(), {"x": scans(200, 256, 1000)}, KEY)["bpd"]
    np.testing.assert_allclose(jnp.mean(bpd), 9.38586, atol=1e-3)


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_logit_space_density_converts_as_published(alpha):
    """The formula of the MAF and UMNN papers, from the density in logit space."""
    spec = DataSpec.of("pixels", (50,), 256)
    method = Likelihood(Affine(0.1, 0.3), spec, preprocess="logit", alpha=alpha)
    x = scans(6, 256, 50)
    z = np.asarray(jax.jit(method.encode)(state_of(), x, KEY), np.float64)
    logit = z / 0.3 - 0.1
    nats = (scipy.stats.norm.logpdf(z) + math.log(0.3)).mean(-1)
    spread = np.log2(scipy.special.expit(logit)) + np.log2(scipy.special.expit(-logit))
    bits = -nats / math.log(2) - math.log2(1 - 2 * alpha) + 8 + spread.mean(-1)
    bpd = jax.jit(method.evaluate)(state_of(), {"x": x}, KEY)["bpd"]
    np.testing.assert_allclose(bpd, bits, rtol=1e-5)


class Histogram(Bijector):
    """The distribution function of a density that is constant over each grey level."""

    counts: tuple

    def forward(self, x, cond=None):
        mass = jnp.asarray(self.counts) / sum(self.counts)
        level = jnp.clip(jnp.floor(x * len(mass)).astype(jnp.int32), 0, len(mass) - 1)
        below = (jnp.cumsum(mass) - mass)[level]
        y = below + mass[level] * (x * len(mass) - level)
        return y, sum_event(jnp.log(mass * len(mass))[level])


@pytest.mark.parametrize("n_bits", [8, 5, 3])
def test_bits_of_a_histogram_are_its_cross_entropy(n_bits):
    """Of coarser data too, which are other data: 5-bit numbers are not 8-bit numbers less 3."""
    x = np.random.RandomState(0).binomial(255, 0.3, size=(20, 100)).astype(np.uint8)
    kept = x // 2 ** (8 - n_bits)
    counts = np.bincount(kept.ravel(), minlength=2**n_bits) + 1.0
    method = Likelihood(
        Histogram(tuple(counts)),
        DataSpec.of("pixels", (100,), 256),
        n_bits=n_bits,
        preprocess="none",
        base="uniform",
    )
    bpd = jax.jit(method.evaluate)(state_of(), {"x": jnp.asarray(x)}, KEY)["bpd"]
    expected = -np.log2(counts / counts.sum())[kept].mean(-1)
    np.testing.assert_allclose(bpd, expected, atol=1e-4)
    if n_bits < 8:
        eight = np.bincount(x.ravel(), minlength=256) + 1.0
        fine = -np.log2(eight / eight.sum())[x].mean()
        assert abs(expected.mean() - (fine - (8 - n_bits))) > 0.01
