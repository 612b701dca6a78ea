"""DALL-E's Transformer: masks, paddings, caption and codes in one sequence, the cache."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.fields import DataSpec, Field
from jaxgen.methods.captioned import Captioned
from jaxgen.models.autoregressive.dalle import DALLE, mask_of
from jaxgen.nn.heads import Causal
from jaxgen.types import State

KEY = jax.random.key(0)
TEXT = Field("tokens", (3,), "int32", vocabulary=3, words=("<pad>", "a", "b"))
SPEC = DataSpec("codes", {"x": Field("image", (2, 2, 1), "uint8", levels=3), "text": TEXT})


class Uncached(DALLE):
    """Called whole at every position."""

    start, step = Causal.start, Causal.step


@pytest.fixture(scope="module")
def dalle():
    """A method, its state far from the start, and a batch, with two kinds of masks."""
    method = Captioned(DALLE(3, 2, 16, 2, ("row", "column")), SPEC, given=("text",), null=0.1)
    random = np.random.RandomState(0)
    batch = {
        "x": random.randint(0, 3, (5, 2, 2, 1)).astype(np.uint8),
        "text": np.array([[1, 2, 0], [2, 2, 1], [1, 0, 0], [0, 0, 0], [2, 1, 0]], np.int32),
    }
    params, variables = jax.jit(method.init)(KEY, batch)
    params = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(KEY, p.shape), params)
    return method, State(jnp.int32(0), params, variables, {}, {}), batch


def test_codes_of_a_caption_sum_to_one_and_so_do_captions(dalle):
    """3^4 pictures of a caption; 3^3 captions, each position with two words and its own padding."""
    method, state, batch = dalle
    x = np.asarray(list(itertools.product(range(3), repeat=4))).reshape(-1, 2, 2, 1)
    text = np.repeat(batch["text"][:1], len(x), 0)
    evaluate = jax.jit(method.evaluate)
    found = evaluate(state, {"x": x.astype(np.uint8), "text": text}, KEY)
    np.testing.assert_allclose(np.exp(-np.float64(found["nll"])).sum(), 1, atol=1e-5)
    assert np.ptp(found["text_nll"]) == 0  # no code comes before the caption
    every = np.asarray(list(itertools.product(range(3), repeat=3)), np.int32)
    every = np.concatenate([every, every, every])
    found = evaluate(state, {"x": x.astype(np.uint8), "text": every}, KEY)
    total = np.exp(-np.float64(found["text_nll"][:27])).sum()
    assert 0.05 < total < 1  # the rest is of paddings at other positions
    assert np.ptp(found["nll"]) > 0.1


@pytest.mark.slow  # five programs; by default the Transformer's, which shares its blocks
def test_steps_with_a_cache_draw_what_whole_calls_draw(dalle):
    method, state, batch = dalle
    model = method.model
    plain = Uncached(model.words, model.depth, model.width, model.heads, model.masks)
    plain = dataclasses.replace(method, model=plain)
    before = batch["text"].copy()
    given = {"text": batch["text"]}

    def drawn(by, **knobs):
        return jax.jit(lambda: by.sample(state, KEY, 5, given, **knobs))()

    cached = drawn(method, guidance=3.0)
    np.testing.assert_array_equal(cached, drawn(plain, guidance=3.0))
    np.testing.assert_array_equal(batch["text"], before)
    np.testing.assert_array_equal(drawn(method), drawn(method, guidance=1.0))
    # without its caption a draw is that of an empty one, whatever the caption was
    empty = jax.jit(lambda: method.sample(state, KEY, 5, {"text": 0 * batch["text"]}))()
    np.testing.assert_array_equal(drawn(method, guidance=0.0), empty)
    assert (cached != empty).any()


def test_masks_of_rows_columns_and_neighbourhoods():
    """A caption of two tokens, 3x4 codes."""
    text, rows, columns = 2, 3, 4
    place = [(i, j) for i in range(rows) for j in range(columns)]
    for kind, near in {
        "full": lambda a, b: True,
        "row": lambda a, b: a[0] == b[0],
        "column": lambda a, b: a[1] == b[1],
        "convolution": lambda a, b: a[0] - b[0] <= 4 and abs(a[1] - b[1]) <= 2,
    }.items():
        mask = mask_of(kind, text, rows, columns)
        for q, k in itertools.product(range(14), repeat=2):
            expected = k <= q and (k < text or near(place[q - text], place[k - text]))
            assert mask[q, k] == expected, (kind, q, k)
    with pytest.raises(ConfigError, match="config.model.masks: 'rows', expected of full, row"):
        mask_of("rows", 1, 2, 2)


def test_the_loss_weighs_a_token_of_the_caption_an_eighth(dalle):
    method, state, batch = dalle
    alone = dataclasses.replace(method, null=0.0)
    loss, (_, metrics) = jax.jit(alone.loss)(state, batch, KEY)
    nats = jax.jit(alone.evaluate)(state, batch, KEY)
    expected = (np.mean(nats["text_nll"]) / 3 + 7 * np.mean(nats["nll"]) / 4) / 8
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_it_is_given_one_text():
    with pytest.raises(ConfigError, match="expected the one field of text, as given=text, got non"):
        Captioned(DALLE(3), SPEC)
    method = Captioned(DALLE(4), SPEC, given=("text",))
    batch = {"x": jnp.zeros((1, 2, 2, 1), jnp.uint8), "text": jnp.zeros((1, 3), jnp.int32)}
    with pytest.raises(ConfigError, match="config.model.words=4: does not part what is given, 9"):
        method.init(KEY, batch)
