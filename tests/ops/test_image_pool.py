"""The pool against a loop in Python that follows the paper's words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.boundaries import boundaries
from jaxgen.ops.image_pool import exchanged

KEY = jax.random.key(0)
PUT = jax.jit(exchanged)


def images(first, num):
    """Each of its own number everywhere."""
    return jnp.broadcast_to(
        jnp.arange(first, first + num, dtype=float).reshape(-1, 1, 1, 1), (num, 2, 2, 1)
    )


def looped(pool, count, new, rng):
    """One image after the other."""
    coins, places = jax.random.split(rng)
    swaps = np.asarray(jax.random.bernoulli(coins, 0.5, (len(new),)))
    drawn = np.asarray(jax.random.randint(places, (len(new),), 0, len(pool)))
    pool, out = list(pool), []
    for image, swap, place in zip(new, swaps, drawn, strict=True):
        if count < len(pool):
            pool[count], count = image, count + 1
            out.append(image)
        elif swap:
            out.append(pool[place])
            pool[place] = image
        else:
            out.append(image)
    return pool, count, out


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_as_a_loop(batch):
    pool, count = jnp.zeros((5, 2, 2, 1)), jnp.int32(0)
    known, number = [np.zeros((2, 2, 1))] * 5, 0
    for step in range(12):
        new, key = images(100 * step + 1, batch), jax.random.fold_in(KEY, step)
        pool, count, given = PUT(pool, count, new, key)
        known, number, expected = looped(known, number, np.asarray(new), key)
        np.testing.assert_array_equal(given, np.stack(expected))
        np.testing.assert_array_equal(pool, np.stack(known))
        assert int(count) == number


def test_half_of_what_is_given_is_older():
    pool, count = jnp.zeros((50, 2, 2, 1)), jnp.int32(0)
    older = []
    for step in range(60):
        new = images(1000 * step, 20)
        pool, count, given = PUT(pool, count, new, jax.random.fold_in(KEY, step))
        older += list(np.asarray(given)[:, 0, 0, 0] < 1000 * step)
    assert int(count) == 50 and not any(older[:50])
    share = np.mean(older[200:])  # an older one may be of the same batch: hence slightly less
    assert abs(share - 0.5) < 0.06, share


def test_no_pool_gives_the_newest():
    new = images(1, 3)
    pool, count, given = exchanged(jnp.zeros((0, 2, 2, 1)), jnp.int32(0), new, KEY)
    assert given is new and not len(pool) and not count


def test_boundaries_against_a_loop():
    ids = np.random.RandomState(0).randint(3, size=(2, 7, 5))
    expected = np.zeros(ids.shape)
    for b, i, j in np.ndindex(ids.shape):
        for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= k < 7 and 0 <= m < 5 and ids[b, k, m] != ids[b, i, j]:
                expected[b, i, j] = 1
    np.testing.assert_array_equal(boundaries(jnp.asarray(ids)), expected)
    assert 0 < expected.mean() < 1
