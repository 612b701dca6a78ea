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

    @jax.jit
    def found(x):
        return [upfirdn(x, list(taps), up, down, pad, flip) for pad in PADS]

    with jax.enable_x64(True):
        for pad, got in zip(PADS, found(x), strict=True):
            right = expected(x, taps, up, down, pad, flip)
            np.testing.assert_allclose(got, right, atol=1e-12, err_msg=str(pad))


@pytest.mark.parametrize("flip", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("up", "down"), [(1, 1), (2, 1), (1, 2), (2, 2), (3, 2)], ids=lambda n: str(n)
)
def test_derivatives(up, down, flip):
    """First and second, of a loss of all paddings that is not quadratic, in float64."""
    taps = [0.3, -0.7, 1.1, 0.4]
    x, direction = RANDOM.randn(2, 1, 6, 6, 1)

    def loss(x):
        every = [jnp.sin(upfirdn(x, taps, up, down, pad, flip)) for pad in PADS]
        return sum(jnp.sum(one) for one in every)

    def slope(x):
        return jnp.sum(jax.grad(loss)(x) * direction)

    @jax.jit
    def both(x):
        return jax.value_and_grad(loss)(x), jax.value_and_grad(slope)(x)

    with jax.enable_x64(True):
        slopes = [np.asarray(df) for _, df in both(x)]
        for i, j in itertools.product((0, 2), (1, 3)):
            step = np.zeros_like(x)
            step[0, i, j, 0] = 1e-5
            for (above, _), (below, _), df in zip(
                both(x + step), both(x - step), slopes, strict=True
            ):
                change = (float(above) - float(below)) / 2e-5
                np.testing.assert_allclose(df[0, i, j, 0], change, rtol=1e-7, atol=1e-9)


def test_a_constant_stays_inside():
    x = np.ones((1, 8, 8, 1), np.float32)
    up, down = (np.asarray(jax.jit(f)(x)) for f in (upsample, downsample))
    np.testing.assert_allclose(up[0, 2:-2, 2:-2], 1, rtol=1e-6)
    np.testing.assert_allclose(down[0, 1:-1, 1:-1], 1, rtol=1e-6)
    assert up.shape == (1, 16, 16, 1) and down.shape == (1, 4, 4, 1)


def test_a_filter_that_does_not_fit():
    with pytest.raises(ValueError, match="4 taps do not fit 2 pixels"):
        upfirdn(jnp.ones((1, 2, 2, 1)), BLUR)
