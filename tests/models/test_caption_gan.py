"""The captioning GAN: draws, what ends them, sets in any order, and its measures of variety."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.evaluate import sentences
from jaxgen.fields import DataSpec, Field
from jaxgen.methods.caption_gan import CaptionGAN, counted_sets
from jaxgen.models.gans.caption_gan import Captioner, Evaluator
from jaxgen.nn.words import Reader, counted
from jaxgen.types import State

KEY = jax.random.key(0)
WORDS, LENGTH, SEVERAL = 4, 3, 3
SPEC = DataSpec(
    "pictures",
    {
        "x": Field("tokens", (LENGTH,), "int32", vocabulary=WORDS),
        "picture": Field("image", (8, 8, 1), "uint8", levels=256),
        "captions": Field("layout", (SEVERAL, LENGTH), "int32", classes=WORDS),
        "kind": Field("label", dtype="int32", classes=2),
    },
)


@pytest.fixture(scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)])
def made(request):
    method = CaptionGAN(
        Captioner(WORDS, layers=request.param, width=6, embedding=3, channels=1),
        Evaluator(1, 3, 5, 2),
        SPEC,
        apart=("kind",),
        pretrain_steps=2,
    )
    random = np.random.RandomState(0)
    texts = random.randint(0, WORDS, (6, SEVERAL, LENGTH))
    texts = np.where(np.cumsum(texts == 0, axis=2) > 0, 0, texts)
    batch = {
        "x": jnp.asarray(texts[:, 0], jnp.int32),
        "captions": jnp.asarray(texts, jnp.int32),
        "picture": jnp.asarray(random.randint(0, 256, (6, 8, 8, 1)), jnp.uint8),
        "kind": jnp.asarray([0, 1, 0, 1, 0, 1], jnp.int32),
    }
    params, variables = jax.jit(method.init)(KEY, batch)
    params = jax.tree.map(lambda leaf: 3 * leaf if leaf.ndim == 2 else leaf, params)
    return method, State(jnp.int32(0), params, variables, {}, {}), batch


def every():
    """All sentences, padded behind their end."""
    found = set()
    for words in itertools.product(range(WORDS), repeat=LENGTH):
        end = words.index(0) if 0 in words else LENGTH
        found.add(words[:end] + (0,) * (LENGTH - end))
    return np.array(sorted(found), np.int32)


def test_probabilities_of_all_sentences_sum_to_one_and_draws_have_them(made):
    method, state, batch = made
    x, texts = method.pictures(batch), every()
    rows = jnp.broadcast_to(jnp.asarray(texts)[None], (len(x), *texts.shape))
    nats = jax.jit(lambda s: method.nats(s, x, rows, KEY))(state)
    p = np.exp(-np.asarray(nats))
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-4)
    draw = jax.jit(lambda s, key: method.describe(s, batch["picture"][:1], key, num=4000))
    found = np.asarray(draw(state, KEY))[0]
    shares = (found[:, None] == texts[None]).all(-1).mean(0)
    assert shares.sum() == pytest.approx(1)
    assert (np.abs(shares - p[0]) < 5 * np.sqrt(p[0] * (1 - p[0]) / 4000) + 1e-3).all()


def test_a_beam_finds_the_likeliest(made):
    method, state, batch = made
    x, texts = method.pictures(batch), every()
    rows = jnp.broadcast_to(jnp.asarray(texts)[None], (len(x), *texts.shape))
    nats = np.asarray(jax.jit(lambda s: method.nats(s, x, rows, KEY))(state))
    say = functools.partial(method.describe, pictures=batch["picture"], rng=KEY, num=5)
    found = np.asarray(jax.jit(lambda s: say(s, beam=len(texts)))(state))
    for own, order in zip(found, nats.argsort(1), strict=True):
        np.testing.assert_array_equal(own, texts[order[:5]])
    with pytest.raises(ConfigError, match="beam=3, expected 5 captions or more, or 0 to draw"):
        say(state, beam=3)


@pytest.mark.slow
def test_behind_the_end_nothing_counts(made):
    """Words, gradients and probabilities stop at the first word 0."""
    method, state, batch = made
    x = method.pictures(batch)
    drawn = jax.jit(lambda s: method.drawn(s, x, KEY, SEVERAL))(state)
    hard = np.asarray(drawn).argmax(-1)
    ended = np.cumsum(hard == 0, axis=2) > 0
    assert ended.any() and not hard[ended].any()
    np.testing.assert_allclose(drawn, np.eye(WORDS)[hard], atol=1e-6)
    np.testing.assert_array_equal(counted_sets(drawn), np.cumsum(hard == 0, 2) - (hard == 0) == 0)

    @functools.partial(jax.jit, static_argnums=1)
    def slope(state, t):
        last = lambda s: jnp.sum(method.drawn(s, x[:1], KEY, 1)[0, 0, t] * jnp.arange(WORDS))  # noqa: E731
        return jax.grad(lambda p: last(state.replace(params=p)))(state.params)["captioner"]

    one = np.asarray(method.drawn(state, x[:1], KEY, 1))[0, 0].argmax(-1)
    end = int(np.argmax(one == 0)) if (one == 0).any() else LENGTH
    for t in range(LENGTH):
        moved = any(np.any(leaf) for leaf in jax.tree.leaves(slope(state, t)))
        assert moved == (t <= end)


def test_a_reader_stops_at_the_end():
    words = jax.nn.one_hot(jnp.asarray([[1, 2, 0, 0], [1, 2, 0, 3], [1, 2, 3, 0]]), WORDS)
    reader = Reader(3, 5)
    codes = reader.apply(reader.init(KEY, words), words)
    np.testing.assert_array_equal(codes[0], codes[1])
    assert np.abs(codes[0] - codes[2]).max() > 1e-3
    np.testing.assert_array_equal(counted(words), [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]])
    short = reader.apply(reader.init(KEY, words), words[:, :2])
    np.testing.assert_allclose(codes[:2], short[:2], rtol=1e-6)


def test_sets_have_no_order_but_their_captions_are_compared(made):
    method, state, batch = made
    x, sets = method.pictures(batch), method.one_hot(batch["captions"])
    score = jax.jit(lambda sets: method.judge.apply(state, x, sets))
    for order in itertools.permutations(range(SEVERAL)):
        np.testing.assert_allclose(score(sets[:, order]), score(sets), rtol=1e-4, atol=1e-5)
    alone = np.mean([score(sets[:, [i] * SEVERAL]) for i in range(SEVERAL)], axis=0)
    assert np.abs(alone - score(sets)).max() > 1e-4


@pytest.mark.slow
def test_phases_of_the_training(made):
    """Likelihood and contrast, then the game; each player moves alone."""
    method, state, batch = made
    losses = {turn.player: turn.loss for turn in method.turns}
    assert list(losses) == ["evaluator", "captioner"]
    calls = {player: jax.jit(loss) for player, loss in losses.items()}
    for step in (1, 2):
        now = state.replace(step=jnp.int32(step))
        for player, loss in calls.items():
            value, (_, shown) = loss(now, batch, KEY)
            other = {"evaluator": method.contrast, "captioner": method.likelihood_loss}[player]
            first = other(now, batch, KEY)[0]
            assert bool(np.isclose(value, first)) == (step == 1)
            assert np.isfinite(list(shown.values())).all()


def test_captions_of_another_picture_differ_in_what_is_apart(made):
    method, _, batch = made
    kinds = np.asarray(batch["kind"])
    np.testing.assert_array_equal(method.wrong(batch), kinds[:, None] != kinds[None])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"given": ("kind",)}, "is not the one field of their pictures"),
        ({"captions": "caption"}, "unknown field in config.method 'caption': did you mean"),
        ({"captions": "picture"}, r"config.method.captions=picture: .* expected \[K, 3\]"),
        ({"captioner": Captioner(9)}, "captioner.vocabulary=9, and pictures has 4: leave it at 0"),
        ({"temperature": 0.0}, "temperature above 0"),
    ],
)
def test_options_that_cannot_be(made, changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(made[0], **changes)


def naive_grams(sentence, n):
    return [tuple(sentence[i : i + n]) for i in range(len(sentence)) if i + n <= len(sentence)]


def naive_bleu(sentence, references):
    product = 1.0
    for n in (1, 2, 3, 4):
        own, common = naive_grams(sentence, n), 0
        for gram in set(own):
            common += min(own.count(gram), max(naive_grams(r, n).count(gram) for r in references))
        product *= common / len(own) if own else 0.0
    closest = sorted(references, key=lambda r: (abs(len(r) - len(sentence)), len(r)))[0]
    brevity = 1.0 if len(sentence) > len(closest) else np.exp(1 - len(closest) / len(sentence))
    return brevity * product**0.25


def test_variety_is_that_of_naive_counts():
    random = np.random.RandomState(0)
    sets = [
        [list(map(str, random.randint(0, 4, random.randint(4, 9)))) for _ in range(5)]
        for _ in range(20)
    ]
    for n in (1, 2):
        shares = []
        for own in sets:
            found = {g for s in own for g in naive_grams(s, n)}
            shares.append(len(found) / sum(len(s) for s in own))
        assert sentences.distinct(sets, n) == pytest.approx(np.mean(shares))
    wanted = [naive_bleu(s, own[:i] + own[i + 1 :]) for own in sets for i, s in enumerate(own)]
    assert 0.05 < np.mean(wanted) < 0.9
    assert sentences.mutual_bleu(sets) == pytest.approx(np.mean(wanted))
    assert sentences.mutual_bleu([[["a", "b", "c", "d"]] * 5]) == pytest.approx(1)
    assert sentences.bleu(["a", "b"], [["a", "b"]]) == 0


def test_total_variation():
    assert sentences.total_variation("aab", {"a": 2 / 3, "b": 1 / 3}) == pytest.approx(0)
    assert sentences.total_variation("aaa", {"a": 0.25, "b": 0.75}) == pytest.approx(0.75)
    assert sentences.total_variation("cc", {"a": 1.0}) == pytest.approx(1)
