"""Drawn words with a gradient, beam search, and partners: against brute force."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxgen.ops import beam, pairs
from jaxgen.ops.gumbel import straight_through

KEY = jax.random.key(0)
WORDS, LENGTH, NUM = 4, 3, 2
TABLE = np.random.RandomState(0).randn(NUM, WORDS + 1, WORDS + 1, WORDS).astype(np.float32) * 2


def step(memory, last):
    """The next word depends on the example, on the word before and on the one before that."""
    example, before = memory
    return (example, last), jnp.asarray(TABLE)[example, before, last]


def log_p(example, words):
    """Of a sentence up to its end, in float64."""
    total, before, last = 0.0, -1, -1
    for word in words:
        row = TABLE[example, before, last].astype(np.float64)
        total += row[word] - np.log(np.exp(row).sum())
        before, last = last, word
        if word == 0:
            break
    return total


def sentences():
    """All that there are, each once: padded behind their end."""
    found = set()
    for words in itertools.product(range(WORDS), repeat=LENGTH):
        end = words.index(0) if 0 in words else LENGTH
        found.add(words[:end] + (0,) * (LENGTH - end))
    return sorted(found)


def searched(width):
    memory = jnp.arange(NUM), jnp.full(NUM, -1, jnp.int32)
    none = jnp.full(NUM, -1, jnp.int32)
    tokens, scores = beam.search(step, memory, none, width, LENGTH)
    return np.asarray(tokens), np.asarray(scores)


def test_a_wide_beam_finds_the_likeliest_of_all():
    every = sentences()
    tokens, scores = searched(len(every))
    for example in range(NUM):
        best = sorted(every, key=lambda s: -log_p(example, s))
        assert [tuple(t) for t in tokens[example].tolist()] == best
        np.testing.assert_allclose(scores[example], [log_p(example, s) for s in best], rtol=1e-5)
    beyond = searched(len(every) + 3)[1]
    assert np.isneginf(beyond[:, -3:]).all() and np.isfinite(beyond[:, :-3]).all()


@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_beam_keeps_what_a_naive_one_keeps(width):
    tokens, scores = searched(width)
    for example in range(NUM):
        kept = [()]
        for _ in range(LENGTH):
            longer = {b if 0 in b else (*b, w) for b in kept for w in range(WORDS)}
            kept = sorted(longer, key=lambda s: -log_p(example, s))[:width]
        wanted = [s + (0,) * (LENGTH - len(s)) for s in kept]
        assert [tuple(t) for t in tokens[example].tolist()] == wanted
        np.testing.assert_allclose(scores[example], [log_p(example, s) for s in kept], rtol=1e-5)


def test_draws_are_of_the_softmax_and_the_temperature_changes_the_gradient_alone():
    logits = jnp.asarray([0.3, -1.0, 1.2, 0.0])
    gumbel = jax.random.gumbel(KEY, (20_000, 4))
    drawn = straight_through(jnp.broadcast_to(logits, gumbel.shape), gumbel, 0.5)
    np.testing.assert_allclose(drawn, np.eye(4)[np.argmax(logits[None] + gumbel, 1)], atol=1e-6)
    found = np.asarray(drawn).round().sum(0)
    assert scipy.stats.chisquare(found, len(drawn) * jax.nn.softmax(logits)).pvalue > 0.01
    one = gumbel[0]
    for temperature in (0.5, 2.0):
        slope = jax.jacobian(lambda x, t=temperature: straight_through(x, one, t))(logits)
        p = np.exp((np.asarray(logits + one, np.float64)) / temperature)
        p /= p.sum()
        wanted = (np.diag(p) - np.outer(p, p)) / temperature
        np.testing.assert_allclose(slope, wanted, atol=1e-6)


def test_partners_are_drawn_evenly_among_the_wrong():
    wrong = np.array([[0, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 1], [0, 0, 0, 0]], bool)
    draw = jax.jit(jax.vmap(lambda key: pairs.partners(key, jnp.asarray(wrong))))
    found, there = map(np.asarray, draw(jax.random.split(KEY, 3000)))
    assert (there == [1, 1, 1, 0]).all()
    for row in range(3):
        shares = np.bincount(found[:, row], minlength=4) / 3000
        np.testing.assert_allclose(shares, wrong[row] / wrong[row].sum(), atol=0.04)
        assert not shares[~wrong[row]].any()


def test_what_is_neither_wrong_nor_the_partner_is_not_looked_at():
    products = np.random.RandomState(0).randn(3, 3)
    wrong = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    nats = []
    for m, seen in ((products, wrong), (products.T, wrong.T)):
        for i in range(3):
            row = m[i][seen[i] | (np.arange(3) == i)]
            nats.append(np.log(np.exp(row).sum()) - m[i, i])
    found, right = pairs.matching_nats(jnp.asarray(products, jnp.float32), jnp.asarray(wrong))
    np.testing.assert_allclose(found, np.mean(nats), rtol=1e-5)
    best = [
        max(np.flatnonzero(wrong[i] | (np.arange(3) == i)), key=lambda j: products[i, j])
        for i in range(3)
    ]
    np.testing.assert_allclose(right, np.mean(np.array(best) == np.arange(3)))
