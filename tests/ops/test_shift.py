"""Shifts of images: whole pixels, repeated edges, the stated range."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.ops.augment.shift import random_shift

KEY = jax.random.key(0)


def test_every_image_is_a_shift_of_itself_with_its_edges_repeated():
    x = np.random.RandomState(0).randint(256, size=(400, 20, 10, 2)).astype(np.uint8)
    y = np.asarray(jax.jit(lambda x: random_shift(KEY, x, 0.1))(x))
    assert y.dtype == np.uint8
    padded = np.pad(x, ((0, 0), (2, 2), (1, 1), (0, 0)), mode="edge")
    counts = np.zeros((5, 3), int)
    for image, big in zip(y, padded, strict=True):
        found = [
            (i, j)
            for i in range(5)
            for j in range(3)
            if np.array_equal(image, big[i : i + 20, j : j + 10])
        ]
        assert len(found) == 1
        counts[found[0]] += 1
    # rounding gives the ends of the range half of what the inner shifts get
    expected = np.outer([1, 2, 2, 2, 1], [1, 2, 1]) / 32
    np.testing.assert_allclose(counts / 400, expected, atol=0.06)


def test_no_shift_is_the_identity():
    x = jnp.asarray(np.random.RandomState(0).randn(3, 4, 4, 1))
    np.testing.assert_array_equal(random_shift(KEY, x, 0.0), x)
