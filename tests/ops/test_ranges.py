"""Grey levels to [-1, 1] and back."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.ranges import nearest_levels, real_levels, symmetric, to_levels


@pytest.mark.parametrize(("levels", "dtype"), [(2, "u1"), (17, "u1"), (256, "u1"), (65536, "u2")])
def test_all_levels_return(levels, dtype):
    x = jnp.arange(levels).astype(dtype)
    y = symmetric(x, levels)
    np.testing.assert_allclose(y, np.linspace(-1, 1, levels), atol=2e-7)
    back = to_levels(y, levels)
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)
    far = to_levels(jnp.array([-7.0, 7.0]), levels)
    np.testing.assert_array_equal(far, [0, levels - 1])


def test_continuous_data_stay():
    x = jnp.array([0.3, -4.0])
    assert symmetric(x, None) is x and to_levels(x, None) is x


def test_real_levels_are_neither_rounded_nor_cut_off():
    x = jnp.linspace(-1.2, 1.2, 97)
    real = real_levels(x, 17)
    np.testing.assert_allclose(real, (np.asarray(x) + 1) * 8, rtol=1e-6)
    np.testing.assert_array_equal(to_levels(x, 17), np.clip(np.rint(real), 0, 16))
    np.testing.assert_array_equal(nearest_levels(real, 17), to_levels(x, 17))
    assert real_levels(x, None) is x and nearest_levels(x, None) is x
