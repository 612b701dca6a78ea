"""Embeddings of time and of inputs, against their formulas in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn.time import FourierTime, fourier_channels, sinusoids

TIME = jnp.asarray([0.0, 1.0, 37.5, 999.0])


@pytest.mark.parametrize("order", ["cos_sin", "sin_cos"])
@pytest.mark.parametrize("endpoint", [False, True])
def test_sinusoids_are_their_formula(order, endpoint):
    found = sinusoids(TIME, 8, order, endpoint)
    i = np.arange(4)
    rate = 10_000.0 ** -(i / (3 if endpoint else 4))
    angle = np.asarray(TIME, np.float64)[:, None] * rate[None]
    waves = {"cos": np.cos(angle), "sin": np.sin(angle)}
    expected = np.concatenate([waves[name] for name in order.split("_")], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert np.isclose(rate[-1], 1e-4) == endpoint


def test_two_times_are_embedded_apart():
    both = sinusoids(jnp.stack([TIME, TIME / 2], axis=1), 6)
    assert both.shape == (4, 2, 6)
    np.testing.assert_array_equal(both[:, 1], sinusoids(TIME / 2, 6))


def test_wrong_sinusoids_are_refused():
    with pytest.raises(ValueError, match="width=5 of sinusoids, expected an even number"):
        sinusoids(TIME, 5)
    with pytest.raises(ValueError, match="order='sin' of sinusoids, expected 'cos_sin'"):
        sinusoids(TIME, 4, "sin")


def test_random_frequencies_are_the_same_every_time():
    module = FourierTime(64, scale=2.0)
    found = module.apply({}, TIME / 100)
    angle = 2 * np.pi * np.outer(np.asarray(TIME, np.float64) / 100, module.frequencies())
    np.testing.assert_allclose(found, np.concatenate([np.cos(angle), np.sin(angle)], 1), atol=1e-4)
    assert 1.0 < module.frequencies().std() < 3.0


def test_fourier_channels_are_behind_the_input():
    z = jnp.asarray(np.random.RandomState(0).randn(2, 3, 2), jnp.float32)
    found = fourier_channels(z, (0, 2))
    angle = 2 * np.pi * np.asarray(z, np.float64)[..., None] * np.array([1.0, 4.0])
    angle = angle.reshape(2, 3, 4)
    expected = np.concatenate([z, np.sin(angle), np.cos(angle)], axis=-1)
    np.testing.assert_allclose(found, expected, atol=1e-4)
