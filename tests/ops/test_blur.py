"""The fading blur is a filter of scipy's, and nothing at its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgen.ops.blur import blurred

X = np.random.RandomState(0).rand(2, 9, 12, 3).astype(np.float32)


@pytest.mark.parametrize("deviation", [4.0, 1.3, 0.5])
def test_it_is_a_filter_with_zeros_beyond(deviation):
    reach = int(3 * deviation)
    taps = 2.0 ** -((np.arange(-reach, reach + 1) / deviation) ** 2)
    expected = X.astype(np.float64)
    for axis in (1, 2):
        expected = scipy.ndimage.convolve1d(expected, taps / taps.sum(), axis, mode="constant")
    found = jax.jit(blurred, static_argnums=2)(jnp.asarray(X), jnp.float32(deviation), 4.0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("deviation", [0.3, 0.0])
def test_it_ends_at_the_image(deviation):
    np.testing.assert_array_equal(blurred(jnp.asarray(X), deviation, 4.0), X)
