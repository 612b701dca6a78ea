"""Parts of pictures, their means and the table of the newest, beside loops in numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.ops.parts import first_pixels, kept, means, numbered

RANDOM = np.random.RandomState(0)
IDS = RANDOM.choice([0, 7, 33001, 2], (2, 6, 5)).astype(np.int32)
KINDS = RANDOM.randint(0, 2, (2, 6, 5)).astype(np.uint8)


def test_parts_are_numbered_in_the_order_of_both_maps():
    found = np.asarray(jax.jit(numbered)(IDS, KINDS))
    for picture, (ids, kinds) in enumerate(zip(IDS, KINDS, strict=True)):
        pairs = np.stack([ids.ravel(), kinds.ravel()], 1)
        _, expected = np.unique(pairs, axis=0, return_inverse=True)
        np.testing.assert_array_equal(found[picture].ravel(), expected.ravel())
    alone = np.asarray(numbered(jnp.asarray(IDS)))
    np.testing.assert_array_equal(alone[0], np.unique(IDS[0], return_inverse=True)[1].reshape(6, 5))


def test_every_pixel_may_be_a_part_of_its_own():
    ids = jnp.arange(30)[::-1].reshape(1, 5, 6)
    parts = numbered(ids)
    np.testing.assert_array_equal(parts, ids)
    x = jnp.asarray(RANDOM.randn(1, 5, 6, 2), jnp.float32)
    np.testing.assert_array_equal(means(x, parts), x)


def test_means_are_those_of_numpy_and_their_gradient_is_spread():
    x = RANDOM.randn(2, 6, 5, 3).astype(np.float32)
    parts = numbered(jnp.asarray(IDS))
    found = np.asarray(jax.jit(means)(x, parts))
    weights = RANDOM.randn(*x.shape).astype(np.float32)
    slope = jax.grad(lambda x: jnp.sum(means(x, parts) * weights))(x)
    for picture in range(2):
        for number in np.unique(IDS):
            mine = IDS[picture] == number
            wanted = x[picture][mine].astype(np.float64).mean(0)
            np.testing.assert_allclose(
                found[picture][mine], np.broadcast_to(wanted, (mine.sum(), 3)), atol=1e-6
            )
            wanted = weights[picture][mine].astype(np.float64).mean(0)
            np.testing.assert_allclose(
                slope[picture][mine], np.broadcast_to(wanted, (mine.sum(), 3)), atol=1e-6
            )


def test_the_first_pixel_of_each_part():
    parts = np.asarray(numbered(jnp.asarray(IDS)))
    found = np.asarray(first_pixels(jnp.asarray(parts), 6))
    for picture in range(2):
        numbers = parts[picture].ravel()
        wanted = [int(np.argmax(numbers == k)) if (numbers == k).any() else -1 for k in range(6)]
        assert found[picture].tolist() == wanted
    assert first_pixels(jnp.asarray(parts), 2).shape == (2, 2)


def test_a_table_keeps_the_newest_of_each_class():
    table, counts = jnp.zeros((3, 4, 1)), jnp.zeros(3, jnp.int32)
    rows = [[] for _ in range(3)]
    step = jax.jit(kept)
    for start in range(0, 60, 12):
        of = RANDOM.choice([-1, 0, 2], 12, p=[0.2, 0.7, 0.1])
        new = np.arange(start, start + 12, dtype=np.float32)[:, None] + 1
        for row, mine in zip(new[:, 0], of, strict=True):
            if mine >= 0:
                rows[mine].append(row)
        table, counts = step(table, counts, new, of)
        assert counts.tolist() == [len(r) for r in rows]
        for mine, seen in enumerate(rows):
            wanted = np.zeros(4)
            for number, row in enumerate(seen):
                wanted[number % 4] = row
            np.testing.assert_array_equal(table[mine, :, 0], wanted)
    assert counts[0] > 12 and counts[1] == 0
