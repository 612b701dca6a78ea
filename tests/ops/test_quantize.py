"""Quantisation against brute force, NumPy in float64, and closed forms."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.ops import quantize as qz

RANDOM = np.random.RandomState(0)
Z = RANDOM.randn(40, 3)
TABLE = RANDOM.randn(7, 3)
KEY = jax.random.key(3)


def brute(z, table):
    z, table = np.asarray(z, np.float64), np.asarray(table, np.float64)
    return ((z[:, None] - table[None]) ** 2).sum(-1)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("far", [0.0, 300.0])
def test_nearest_codes_are_those_of_brute_force(dtype, far):
    """Also far from the origin, where lengths are 1e5 times the distances."""
    z, table = jnp.asarray(Z + far, dtype), jnp.asarray(TABLE + far, dtype)
    expected = brute(z.astype(jnp.float32), table.astype(jnp.float32))
    distances = qz.squared_distances(z, table)
    np.testing.assert_allclose(distances, expected, rtol=1e-5, atol=1e-5)
    rows = np.arange(len(expected))
    np.testing.assert_array_equal(expected[rows, qz.nearest(z, table)], expected.min(1))


def test_no_distance_is_negative():
    """Vectors that are codes: what rounding leaves may fall below zero, and is cut off."""
    z = jnp.asarray(10 * RANDOM.randn(200, 16), jnp.bfloat16)
    wide = np.asarray(z, np.float32)
    bare = np.square(wide).sum(1)[:, None] + np.square(wide).sum(1)[None] - 2 * wide @ wide.T
    assert bare.min() < 0  # what the cut is for
    assert jnp.min(qz.squared_distances(z, z)) == 0
    np.testing.assert_array_equal(qz.nearest(z, z), np.arange(200))


def test_of_equally_near_codes_the_lowest_id_is_taken():
    table = jnp.asarray([[1.0, 0], [-1, 0], [0, 1], [-1, 0]])
    np.testing.assert_array_equal(qz.nearest(jnp.asarray([[0.0, 0], [-2, 0]]), table), [0, 1])


def test_losses_move_one_side_each():
    z, q = jnp.asarray(Z[:5], jnp.float32), jnp.asarray(Z[5:10], jnp.float32)
    pull = 2 * (Z[:5] - Z[5:10]) / Z[:5].size
    both = jax.grad(qz.commitment_loss, (0, 1))(z, q)
    np.testing.assert_allclose(both[0], pull, rtol=1e-5)
    assert not np.any(both[1])
    both = jax.grad(qz.codebook_loss, (0, 1))(z, q)
    np.testing.assert_allclose(both[1], -pull, rtol=1e-5)
    assert not np.any(both[0])


def test_straight_through_is_the_identity_of_gradients():
    z, q = jnp.asarray(Z[:5], jnp.float32), jnp.asarray(Z[5:10], jnp.float32)
    loss = lambda z, q: jnp.sum(jnp.sin(3 * qz.straight_through(z, q)))  # noqa: E731
    of_z, of_q = jax.grad(loss, (0, 1))(z, q)
    np.testing.assert_allclose(of_z, 3 * np.cos(3 * Z[5:10]), rtol=1e-4)
    assert not np.any(of_q)


def test_use_of_codes():
    counts = jnp.asarray([[5.0, 5, 5, 5], [0, 9, 0, 0], [0, 0, 0, 0], [6, 2, 0, 0]])
    entropy = scipy.stats.entropy([0.75, 0.25])
    np.testing.assert_allclose(qz.perplexity(counts), [4, 1, 1, np.exp(entropy)], rtol=1e-6)
    np.testing.assert_allclose(qz.used_share(counts), [1, 0.25, 0, 0.5])
    np.testing.assert_array_equal(qz.count(jnp.asarray([2, 0, 2]), 4), [1, 0, 2, 0])
    np.testing.assert_array_equal(qz.dead_codes(counts[3], 1.1), [False, True, True, True])


def sonnet(batches, table, decay, eps):
    """Sonnet v2's update, in float64: hidden averages from zero, debiased, smoothed counts."""
    codes, size, total = len(table), np.zeros(len(table)), np.zeros_like(table)
    for step, z in enumerate(batches, 1):
        chosen = np.eye(codes)[brute(z, table).argmin(1)]
        size -= (size - chosen.sum(0)) * (1 - decay)
        total -= (total - chosen.T @ z) * (1 - decay)
        counts, sums = size / (1 - decay**step), total / (1 - decay**step)
        n = counts.sum()
        table = sums / ((counts + eps) / (n + codes * eps) * n)[:, None]
    return table, counts


def ours(batches, table, decay, eps=1e-5):
    averages, table = qz.starting_averages(*table.shape), jnp.asarray(table, jnp.float32)
    for z in batches:
        z = jnp.asarray(z, jnp.float32)
        chosen = qz.one_hot(qz.nearest(z, table), len(table))
        averages = averages.update(z, chosen, decay)
        table = averages.table(table, decay, eps)
    return table, averages.counts / averages.share(decay)


@pytest.mark.parametrize(("decay", "eps"), [(0.99, 1e-5), (0.5, 0.1)])
def test_averages_are_sonnets(decay, eps):
    """Ten updates, all codes chosen in the first."""
    batches = np.random.RandomState(1).randn(10, 60, 3)
    table = batches[0][[0, 1, 2, 3]]
    expected, counts = sonnet(batches, table, decay, eps)
    found, ours_counts = ours(batches, table, decay, eps)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours_counts, counts, rtol=1e-5)
    biased, _ = sonnet(batches, table, decay, 10.0)  # the control: smoothing shows
    assert np.abs(biased - expected).max() > 1e-3


def test_without_memory_an_update_is_a_step_of_kmeans():
    """Codes become means of their vectors; one that none chose stays."""
    table = np.concatenate([TABLE[:4], [[50.0, 50, 50]]])
    ids = brute(Z, table).argmin(1)
    found, counts = ours([Z], table, 0.0, 1e-9)
    for k in range(4):
        np.testing.assert_allclose(found[k], Z[ids == k].mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found[4], table[4])
    np.testing.assert_array_equal(counts, np.bincount(ids, minlength=5))


def test_dead_codes_become_vectors_of_the_batch_no_two_alike():
    z, table = jnp.asarray(Z, jnp.float32), jnp.full((30, 3), 100.0).at[4].set(0.0)
    dead = jnp.arange(30) != 4
    found = np.asarray(qz.revive(KEY, z, table, dead))
    np.testing.assert_array_equal(found[4], table[4])
    rows = brute(found[dead], Z).argmin(1)
    np.testing.assert_array_equal(found[dead], np.asarray(z)[rows])
    assert len(set(rows)) == 29
    assert np.isfinite(qz.revive(KEY, z[:3], table, dead)).all()  # fewer vectors than codes


def test_kmeans_finds_centres_that_are_far_apart():
    """Twelve tight clouds of unequal size: that of two vectors is found, too."""
    centres = 10 * np.stack(np.unravel_index(np.arange(12), (4, 3)), -1)
    sizes = np.array([2, *(7 * np.arange(1, 12))])
    z = np.repeat(centres, sizes, 0) + 0.1 * np.random.RandomState(0).randn(sizes.sum(), 2)
    found = np.asarray(jax.jit(qz.kmeans, static_argnums=2)(KEY, jnp.asarray(z, jnp.float32), 12))
    rows = brute(centres, found).argmin(1)
    assert sorted(rows) == list(range(12))
    means = [z[np.repeat(np.arange(12), sizes) == k].mean(0) for k in range(12)]
    np.testing.assert_allclose(found[rows], means, rtol=1e-5, atol=1e-5)
    same = qz.kmeans(KEY, jnp.ones((5, 2)), 3)  # fewer vectors than centres
    np.testing.assert_array_equal(same, np.ones((3, 2)))


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (4, 4, 4), (2, 2, 3), (2,)], ids=str)
def test_finite_scalars_and_ids_are_a_bijection(levels):
    ids = jnp.arange(np.prod(levels))
    values = qz.scalars_of(ids, levels)
    assert values.shape == (len(ids), len(levels))
    np.testing.assert_array_equal(qz.scalar_ids(values, levels), ids)
    assert len(np.unique(np.asarray(values), axis=0)) == len(ids)
    # all of them, and nothing else, are what vectors are rounded to
    z = jnp.asarray(3 * RANDOM.randn(60 * len(ids), len(levels)), jnp.float32)
    q = qz.finite_scalars(z, levels)
    assert np.isfinite(q).all()
    found = np.asarray(qz.scalar_ids(q, levels))
    np.testing.assert_allclose(q, values[found], atol=1e-6)
    for i, n in enumerate(levels):
        assert len(np.unique(np.round(np.asarray(q)[:, i] * (n // 2)))) == n


def test_gradients_of_finite_scalars_are_those_of_the_bound():
    """d tanh(z) h / (L // 2) for an odd L, where the bound is not shifted."""
    z = jnp.asarray([[0.3, -1.0]])
    grad = jax.grad(lambda z: jnp.sum(qz.finite_scalars(z, (5, 3))))(z)
    expected = (1 - np.tanh([0.3, -1.0]) ** 2) * np.array([4, 2]) * (1 - 1e-3) / 2 / [2, 1]
    np.testing.assert_allclose(grad[0], expected, rtol=1e-5)


@pytest.mark.parametrize("levels", [(), (8, 1)])
def test_levels_of_which_there_are_too_few(levels):
    with pytest.raises(ValueError, match="expected numbers of 2 or more"):
        qz.finite_scalars(jnp.zeros((1, len(levels))), levels)


@functools.cache
def draws(temperature):
    logits = jnp.broadcast_to(jnp.log(jnp.asarray([0.5, 0.3, 0.15, 0.05])), (100_000, 4))
    return np.asarray(jax.jit(qz.gumbel_softmax)(KEY, logits, temperature))


def test_cold_gumbel_draws_have_the_probabilities_of_the_logits():
    one = draws(0.001)
    np.testing.assert_allclose(one.sum(1), 1, rtol=1e-5)
    assert np.mean(one.max(1) > 0.999) > 0.98
    counts = np.bincount(one.argmax(1), minlength=4)
    expected = 1e5 * np.array([0.5, 0.3, 0.15, 0.05])
    assert scipy.stats.chisquare(counts, expected).pvalue > 0.01
    assert draws(5.0).max() < 0.95  # the control: warm ones are nowhere near one-hot
    np.testing.assert_array_equal(draws(5.0).argmax(1), one.argmax(1))


def test_hard_gumbel_draws_are_one_hot_with_the_gradient_of_the_soft():
    logits, weights = jnp.asarray(RANDOM.randn(6, 4)), jnp.asarray(RANDOM.randn(6, 4))

    def loss(logits, hard):
        y = qz.gumbel_softmax(KEY, logits, 0.7, hard)
        return jnp.sum(weights * y), y

    hard, y = jax.grad(loss, has_aux=True)(logits, True)
    soft, p = jax.grad(loss, has_aux=True)(logits, False)
    np.testing.assert_allclose(y, np.eye(4)[np.argmax(p, 1)], atol=1e-6)
    np.testing.assert_allclose(hard, soft, rtol=1e-5)
    assert np.abs(soft).max() > 1e-3


def test_divergence_from_the_uniform_is_of_an_image():
    """Summed over its positions: log K - H each."""
    logits = RANDOM.randn(3, 2, 2, 5)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    entropy = np.asarray([scipy.stats.entropy(row) for row in p.reshape(-1, 5)]).reshape(3, 4)
    expected = (np.log(5) - entropy).sum(1)
    found = qz.kl_to_uniform(jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
