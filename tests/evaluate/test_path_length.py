"""Path lengths of generators whose value is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.special

from jaxgen.config import ConfigError
from jaxgen.evaluate.metrics import ppl as pl

DIMS = 8
MATRIX = np.random.RandomState(0).randn(48, DIMS).astype(np.float32)
ROTATION = np.linalg.qr(MATRIX.astype(np.float64))[0].astype(np.float32)  # keeps lengths


def normal(rng, num):
    return jax.random.normal(rng, (num, DIMS))


def squared(x, y):
    return jnp.sum(jnp.square(x - y), axis=1)


def length(decode, latents=normal, **options):
    options = dict(num=20_000, batch=1000, trim=0.0) | options
    return pl.path_length(decode, latents, squared, jax.random.key(0), **options)


def squared_angle(dims):
    """E theta^2 of two independent directions."""
    top, bottom = (
        scipy.integrate.quad(lambda t, p=p: t**p * np.sin(t) ** (dims - 2), 0, np.pi)[0]
        for p in (2, 0)
    )
    return top / bottom


@pytest.mark.parametrize("sampling", ["end", "full"])
def test_of_a_linear_generator_in_w(sampling):
    """w = M z, images A w: 2 |A M|^2, wherever on the path."""
    mapping = np.random.RandomState(1).randn(DIMS, DIMS).astype(np.float32)
    found = length(
        lambda w: w @ MATRIX.T,
        lambda rng, num: normal(rng, num) @ mapping,
        path=pl.linear,
        sampling=sampling,
    )
    expected = 2 * np.sum((mapping.astype(np.float64) @ MATRIX.T) ** 2)
    error = (found.length.high - found.length.low) / 3.92
    assert error < 0.01 * expected
    assert abs(found.length.value - expected) < 3 * error
    assert len(found.distances) == 20_000


def test_of_a_linear_generator_in_z():
    """The length moves from |a| to |b|, the direction by the angle."""
    found = length(lambda z: z @ ROTATION.T)
    mean = np.sqrt(2) * np.exp(np.diff(scipy.special.gammaln([DIMS / 2, (DIMS + 1) / 2]))[0])
    expected = 2 * (DIMS - mean**2) + DIMS * squared_angle(DIMS)
    assert abs(found.length.value / expected - 1) < 0.02
    short = length(lambda z: z @ ROTATION.T, epsilon=1e-2).length.value
    assert abs(short / found.length.value - 1) < 1e-2


@pytest.mark.parametrize("sampling", ["end", "full"])
def test_of_a_generator_that_normalises(sampling):
    """As the official code, whose points on the sphere it has: E theta^2."""
    found = length(lambda z: z / jnp.linalg.norm(z, axis=1, keepdims=True), sampling=sampling)
    assert abs(found.length.value / squared_angle(DIMS) - 1) < 0.02


def test_trimming():
    values = np.random.RandomState(0).randn(777) ** 3
    low = np.percentile(values, 1, method="lower")
    high = np.percentile(values, 99, method="higher")
    kept = values[(values >= low) & (values <= high)]
    found = pl.trimmed_mean(values)
    np.testing.assert_allclose(found.value, kept.mean())
    # the error that the interval states is that of repeated draws
    draws = np.random.RandomState(1).standard_normal((300, 777)) ** 3
    found = [pl.trimmed_mean(row) for row in draws]
    stated = np.mean([f.high - f.low for f in found]) / 3.92
    assert abs(stated / np.std([f.value for f in found]) - 1) < 0.15


def test_images_of_integers_are_refused():
    with pytest.raises(ConfigError, match="images of real numbers, got uint8"):
        length(lambda z: (z * 10).astype(jnp.uint8), num=4, batch=4)
