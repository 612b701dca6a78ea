"""The ranker: what it is trained for, and which of several samples is kept."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.fields import DataSpec, Field
from jaxgen.methods.ranked import Ranked
from jaxgen.models.autoregressive.ranker import Ranker
from jaxgen.models.autoregressive.transformer import Transformer
from jaxgen.types import State

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
CODES = Field("image", SHAPE, "uint8", levels=4)
TEXT = Field("tokens", (2,), "int32", vocabulary=3)
SPEC = dataclasses.replace(
    DataSpec.of("squares", SHAPE, 4),
    fields={"x": Field("image", SHAPE, "uint8", levels=4), "codes": CODES, "text": TEXT},
)


class Same:
    """A stage whose codes are the pixels."""

    latent_fields = {"codes": CODES}

    def encode(self, state, x, rng):
        return {"codes": x}

    def decode(self, state, z, *, rounded=False):
        return z["codes"]

    def code_log_prob(self, state, x, z):
        raise AssertionError

    def code_sample(self, state, z, rng):
        raise AssertionError


@pytest.fixture(scope="module")
def ranked():
    stage = types.SimpleNamespace(method=Same(), state=lambda state: state)
    prior = {"name": "autoregressive.Autoregressive", "given": ("text",)}
    model = Transformer(1, 8, 2, prefix=2)
    method = Ranked(model, stage, SPEC, prior=prior, ranker=Ranker(2, 8, 4))
    random = np.random.RandomState(0)
    x = random.randint(0, 4, (6, *SHAPE)).astype(np.uint8)
    text = np.array([[0, 1], [1, 1], [2, 0], [2, 2], [0, 0], [1, 2]], np.int32)
    batch = {"x": jnp.asarray(x), "codes": jnp.asarray(x), "text": jnp.asarray(text)}
    state = State(jnp.int32(0), *jax.jit(method.init)(KEY, batch), {}, {})
    return method, state, batch


def test_the_loss_is_that_of_clip(ranked):
    """Against float64, both ways; and it can be learned."""
    method, state, batch = ranked
    pictures, captions, scale = jax.jit(lambda s: method.judge.apply(s, *method._pair(batch)))(
        state
    )
    np.testing.assert_allclose(np.linalg.norm(pictures, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(scale, 1 / 0.07, rtol=1e-6)
    logits = np.float64(scale) * np.float64(pictures) @ np.float64(captions).T
    nats = [np.log(np.exp(m).sum(1)) - np.diag(m) for m in (logits, logits.T)]
    loss = jax.jit(
        jax.value_and_grad(lambda p: method.contrast(state.replace(params=p), batch, KEY)[0])
    )
    first, slope = loss(state.params)
    np.testing.assert_allclose(first, np.mean(nats), rtol=1e-5)
    assert not np.any([np.any(leaf) for leaf in jax.tree.leaves(slope["model"])])
    params = state.params
    for _ in range(60):
        value, slope = loss(params)
        params = jax.tree.map(lambda p, g: p - 0.05 * g, params, slope)
    assert value < 0.5 * first


@pytest.mark.slow
def test_the_best_of_several_is_kept(ranked):
    method, state, batch = ranked
    given = {"text": np.asarray(batch["text"][:3])}
    several = jax.jit(lambda s: method.sample(s, KEY, 3, given, best_of=4))(state)
    rows = {"text": np.repeat(given["text"], 4, 0)}
    every = np.asarray(jax.jit(lambda s: method.sample(s, KEY, 12, rows))(state))
    seen = jnp.asarray(every, jnp.float32) * (2 / 3) - 1
    captions = method.captions.of_batch({"text": jnp.asarray(rows["text"])})
    pictures, captions, _ = jax.jit(method.judge.apply)(state, seen, captions)
    score = np.sum(np.asarray(pictures) * np.asarray(captions), -1).reshape(3, 4)
    best = every.reshape(3, 4, *SHAPE)[np.arange(3), score.argmax(1)]
    np.testing.assert_array_equal(several, best)
    assert (best != every.reshape(3, 4, *SHAPE)[np.arange(3), score.argmin(1)]).any()
    with pytest.raises(ConfigError, match="best_of=0, expected 1 or more"):
        method.sample(state, KEY, 3, given, best_of=0)


def test_it_needs_a_ranker_and_captions(ranked):
    method, _, _ = ranked
    with pytest.raises(ConfigError, match="config.model.ranker: expected a network"):
        dataclasses.replace(method, ranker=None)
    with pytest.raises(ConfigError, match="config.method.text='words': the prior is not given it"):
        dataclasses.replace(method, text="words")
