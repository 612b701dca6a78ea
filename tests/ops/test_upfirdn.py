"""Resampling against SciPy, and its derivatives against finite differences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from jaxgen.ops.upfirdn import BLUR, downsample, upfirdn, upsample

RANDOM = np.random.RandomState(0)
PADS = [(0, 0), (2, 1), (-1, 2), (3, -2), (-1, -1)]


def expected(x, taps, up, down, pad, flip):
    """SciPy's full convolution, cut and padded to what the convention says."""
    taps = np.asarray(taps)[::-1] if flip else np.asarray(taps)
    for axis in (1, 2):
        full = scipy.signal.upfirdn(taps, x, up, 1, axis)
        length = x.shape[axis] * up + sum(pad) - len(taps) + 1
        # SciPy's first sample has only the first pixel below the last tap
        start = len(taps) - 1 - pad[0]
        index = start + np.arange(0, length, down)
        padded = np.zeros([n if i != axis else len(index) for i, n in enumerate(full.shape)])
        inside = (index >= 0) & (index < full.shape[axis])
        where = [slice(None)] * 4
        where[axis] = np.flatnonzero(inside)
        padded[tuple(where)] = np.take(full, index[inside], axis)
        x = padded
    return x


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)], ids=lambda n: str(n)
)
def test_equals_scipy(up, down, flip):
    x, taps = RANDOM.randn(2, 6, 7, 2), RANDOM.randn(4)
    with jax.enable_x64(True):
        for pad in PADS:
            got = upfirdn(jnp.asarray(x), list(taps), up, down, pad, flip)
            right = expected(x, taps, up, down, pad, flip)
            np.testing.assert_allclose(got, right, atol=1e-12, err_msg=str(pad))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)], ids=lambda n: str(n)
)
def test_derivatives(up, down, flip):
    """First and second, of a loss of all paddings that is not quadratic, in float64."""
    taps = [0.3, -0.7, 1.1, 0.4]
    with jax.enable_x64(True):
        x = jnp.asarray(RANDOM.randn(1, 6, 6, 1))

        @jax.jit
        def loss(x):
            every = [jnp.sin(upfirdn(x, taps, up, down, pad, flip)) for pad in PADS]
            return sum(jnp.sum(one) for one in every)

        gradient, direction = jax.jit(jax.grad(loss)), jnp.asarray(RANDOM.randn(*x.shape))

        @jax.jit
        def slope(x):
            return jnp.sum(gradient(x) * direction)

        for f, df in ((loss, gradient), (slope, jax.jit(jax.grad(slope)))):
            for i, j in itertools.product((0, 2), (1, 3)):
                step = jnp.zeros_like(x).at[0, i, j, 0].set(1e-5)
                change = (f(x + step) - f(x - step)) / 2e-5
                np.testing.assert_allclose(df(x)[0, i, j, 0], change, rtol=1e-7, atol=1e-9)


def test_a_constant_stays_inside():
    x = jnp.ones((1, 8, 8, 1))
    np.testing.assert_allclose(upsample(x)[0, 2:-2, 2:-2], 1, rtol=1e-6)
    np.testing.assert_allclose(downsample(x)[0, 1:-1, 1:-1], 1, rtol=1e-6)
    assert upsample(x).shape == (1, 16, 16, 1) and downsample(x).shape == (1, 4, 4, 1)


def test_a_filter_that_does_not_fit():
    with pytest.raises(ValueError, match="4 taps do not fit 2 pixels"):
        upfirdn(jnp.ones((1, 2, 2, 1)), BLUR)
