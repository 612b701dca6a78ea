"""Dequantisation and boxes: the float64 Jacobian of what the noise becomes."""

import math

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from checks import OfCond

from jaxgen.bijectors.affine import Affine, ConditionalAffine
from jaxgen.bijectors.base import Bijector
from jaxgen.bijectors.box import Box
from jaxgen.bijectors.preprocess import Logit, UniformDequantize, VariationalDequantize

KEY = jax.random.key(0)
BOX = Box((-1.0, 0.0, -3.0), (2.0, 1.0, 5.0))


def test_box():
    checks.exact((BOX, (3,), None))
    checks.single((BOX, (3,), None))


def through(bijector, name, noise, monkeypatch):
    """log |d result / d noise| of a dequantiser that draws this noise, and its log-determinant."""
    x, rngs = jnp.array([[0.0, 3.0, 16.0, 7.0]]), {"dequantize": KEY}

    @jax.jit
    def everything(noise):
        variables = bijector.init({"params": KEY, **rngs}, x)
        variables = checks.scramble({"params": {}, **variables}, 0.3)

        def run(noise):
            monkeypatch.setattr(jax.random, name, lambda *_: noise[None])
            y, logdet = bijector.apply(variables, x, rngs=rngs)
            return y[0], (y, logdet[0])

        jacobian, (y, logdet) = jax.jacfwd(run, has_aux=True)(noise)
        return jacobian, logdet, bijector.apply(variables, y, method="inverse")

    jacobian, logdet, (back, undone) = everything(noise)
    np.testing.assert_array_equal(back, x)
    np.testing.assert_allclose(undone, 4 * np.log(17), rtol=1e-12)
    return np.linalg.slogdet(jacobian)[1], logdet


def test_uniform_noise(monkeypatch):
    with jax.enable_x64(True):
        noise = jnp.array([0.2, 0.5, 0.9, 0.01])
        expected, logdet = through(UniformDequantize(17), "uniform", noise, monkeypatch)
        np.testing.assert_allclose(logdet, expected, rtol=0, atol=1e-8)


def test_learned_noise(monkeypatch):
    """log q of what is added is the base density less the Jacobian of the whole map."""
    with jax.enable_x64(True):
        noise = jnp.array([0.3, -1.0, 2.0, 0.1])
        flow = VariationalDequantize(17, ConditionalAffine(OfCond()))
        expected, logdet = through(flow, "normal", noise, monkeypatch)
        expected -= scipy.stats.norm.logpdf(noise).sum()
        np.testing.assert_allclose(logdet, expected, rtol=0, atol=1e-8)


class OfUniform(Bijector):
    """Normal noise to the logit of alpha / 2 + (1 - alpha) u with u uniform."""

    alpha: float = 1e-5

    def forward(self, x, cond=None):
        p = self.alpha / 2 + (1 - self.alpha) * jax.scipy.stats.norm.cdf(x)
        slope = jax.scipy.stats.norm.logpdf(x) - jnp.log(p * (1 - p)) + math.log1p(-self.alpha)
        return jnp.log(p) - jnp.log1p(-p), jnp.sum(slope, -1)


def test_learned_noise_that_has_learned_nothing_is_uniform():
    """As in the published tutorial, whose sigmoid undoes its logit: -D log levels, and u itself."""
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.RandomState(0).randint(256, size=(50, 20)), jnp.float64)
        flow = VariationalDequantize(256, OfUniform())
        rngs = {"dequantize": KEY}
        y, logdet = jax.jit(lambda: flow.apply({}, x, rngs=rngs))()
        np.testing.assert_allclose(logdet / 20, -math.log(256), rtol=0, atol=1e-9)
        spread = np.sort((y * 256 - x).ravel())
        assert spread[0] >= 0 and spread[-1] < 1
        assert scipy.stats.kstest(spread, "uniform").pvalue > 0.01
        flow = VariationalDequantize(256, Affine(scale=1e4))
        far = jax.jit(lambda: flow.apply({}, x, rngs=rngs)[0])()
        np.testing.assert_array_equal(jnp.floor(far * 256), x)  # both ends are reached
        assert (far * 256 == x).any()


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_a_million_pixels_and_logits(alpha):
    """Both ends of the range, and logits that no pixel has."""
    pixels = jax.random.uniform(KEY, (250_000, 4)).at[:2].set(jnp.array([[0.0], [1.0]]))
    logits = 10 * jax.random.normal(KEY, (250_000, 4))
    logits = logits.at[:4].set(jnp.array([[1e4], [-1e4], [1e30], [-1e30]]))

    def total(x, y):
        return sum(
            jnp.mean(part)
            for bijector in (Logit(alpha), Box((0.0,) * 4, (1.0,) * 4))
            for pair in (bijector.forward(x), bijector.inverse(y))
            for part in pair
        )

    value, grads = jax.jit(jax.value_and_grad(total, (0, 1)))(pixels, logits)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in grads)
