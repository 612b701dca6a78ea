"""The causal Transformer: what it may see, what its cache holds, what it weighs."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.fields import DataSpec, Field
from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.models.autoregressive.transformer import Transformer
from jaxgen.nn.heads import Causal, Head
from jaxgen.nn.transformer import Attention, causal_mask, rotary
from jaxgen.types import State

KEY = jax.random.key(0)
WORDS = Field("tokens", (4,), "int32", vocabulary=3)
SPECS = {
    "colours": (DataSpec.of("colours", (2, 2, 2), levels=3, num_classes=4), "axial", ("label",)),
    "words": (DataSpec("words", {"x": WORDS}), "rotary", ()),
    "captions": (
        DataSpec("captions", {"x": WORDS, "text": Field("tokens", (3,), "int32", vocabulary=5)}),
        "learned",
        ("text",),
    ),
}


class Uncached(Transformer):
    """A network without its steps, which is called whole at every position."""

    start, step = Causal.start, Causal.step


def made(name, **options):
    """A method, its state far from the start, and a batch."""
    spec, positions, given = SPECS[name]
    model = Transformer(2, 16, 2, positions, prefix=3 if given == ("text",) else 1)
    method = Autoregressive(model, spec, given=given, **options)
    random = np.random.RandomState(0)
    batch = {
        k: random.randint(0, f.values, (5, *f.shape)).astype(f.dtype)
        for k, f in spec.fields.items()
    }
    params, variables = jax.jit(method.init)(KEY, batch)
    params = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(KEY, p.shape), params)
    return method, State(jnp.int32(0), params, variables, {}, {}), batch


@pytest.mark.parametrize("name", SPECS)
def test_probabilities_of_all_examples_sum_to_one(name):
    """3^4 sequences, and 3^8 pictures of two channels, given the first example's fields."""
    method, state, batch = made(name)
    shape = method.spec.shape
    every = np.asarray(list(itertools.product(range(3), repeat=method.spec.dims)))
    every = every.reshape(-1, *shape).astype(method.spec.x.dtype)
    given = {k: np.repeat(batch[k][:1], len(every), 0) for k in method.given}
    nats = jax.jit(method.evaluate)(state, {"x": every, **given}, KEY)["nll"]
    np.testing.assert_allclose(np.exp(-np.asarray(nats, np.float64)).sum(), 1, atol=1e-5)
    assert np.std(nats) > 0.1


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == "colours" else pytest.mark.slow) for n in SPECS]
)
def test_steps_with_a_cache_draw_what_whole_calls_draw(name):
    method, state, batch = made(name, null=0.1 if name != "words" else 0.0)
    given = {k: batch[k] for k in method.given}
    model = method.model
    model = Uncached(model.depth, model.width, model.heads, model.positions, prefix=model.prefix)
    plain = dataclasses.replace(method, model=model)
    known = np.zeros(batch["x"].shape, bool)
    known.reshape(5, -1)[:, ::3] = True
    knobs = {"temperature": 1.3, "top_k": 2, "guidance": 2.0 if given else None}

    def drawn(by):
        return by.complete(state, jnp.asarray(batch["x"]), known, KEY, given or None, **knobs)

    cached, whole = jax.jit(lambda: drawn(method))(), jax.jit(lambda: drawn(plain))()
    np.testing.assert_array_equal(cached, whole)
    np.testing.assert_array_equal(cached[known], batch["x"][known])
    assert (np.asarray(cached) != batch["x"]).any()


def test_theta_sees_only_what_comes_before():
    """Exactly, by the slope with respect to the vectors of the values."""
    width, total = 8, 6
    module = Attention(2, rotate=True)
    x = jax.random.normal(KEY, (1, total, width))
    params = module.init(KEY, x, None)
    slope = jax.jacobian(lambda x: module.apply(params, x, causal_mask(total)))(x)
    seen = np.abs(slope).sum((0, 2, 3, 5))
    assert np.all(seen[np.triu_indices(total, 1)] == 0.0)
    assert np.all(seen[np.tril_indices(total)] > 1e-6)
    slope = jax.jacobian(lambda x: module.apply(params, x, None))(x)
    assert np.all(np.abs(slope).sum((0, 2, 3, 5)) > 1e-6)  # the control: no mask


def test_attention_is_that_of_the_paper():
    """Against softmax(q k / sqrt d) v in float64, head by head."""
    module = Attention(2)
    x = jax.random.normal(KEY, (1, 5, 8))
    params = module.init(KEY, x, None)
    p = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    q, k, v = np.split(np.asarray(x[0]) @ p["qkv"]["kernel"] + p["qkv"]["bias"], 3, axis=1)
    parts = []
    for head in (slice(0, 4), slice(4, 8)):
        logits = np.where(causal_mask(5), q[:, head] @ k[:, head].T / 2, -np.inf)
        weights = np.exp(logits - logits.max(1, keepdims=True))
        parts.append(weights / weights.sum(1, keepdims=True) @ v[:, head])
    expected = np.concatenate(parts, 1) @ p["out"]["kernel"] + p["out"]["bias"]
    np.testing.assert_allclose(module.apply(params, x, causal_mask(5))[0], expected, atol=1e-5)


def test_rotary_products_depend_on_the_distance():
    q, k = jax.random.normal(KEY, (2, 1, 1, 1, 8))

    def product(i, j):
        turned = (rotary(x, jnp.asarray([t])) for x, t in ((q, i), (k, j)))
        return float(jnp.vdot(*turned))

    np.testing.assert_allclose(product(3, 1), product(13, 11), rtol=1e-5)
    np.testing.assert_allclose(product(0, 0), float(jnp.vdot(q, k)), rtol=1e-5)
    assert abs(product(3, 1) - product(4, 1)) > 1e-3


def test_the_transformer_of_vqgan_has_its_parameters():
    """24 blocks of 1,024, 16 heads, 512 positions of 1,024 codes, one of which is the condition's.

    The official count, 304,932,864, has a table of 1,024 conditions that share the codes' vectors.
    """
    model = Transformer(24, 1024, 16)
    x = jax.ShapeDtypeStruct((1, 512), jnp.int32)
    shapes = jax.eval_shape(lambda x: model.init(KEY, x, Head(1024, 1024)), x)["params"]
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    own = shapes["front"]["start"].size
    assert count - own == 304_932_864


def test_what_has_no_meaning_is_refused():
    method, state, batch = made("words")
    with pytest.raises(ConfigError, match="was not trained without its condition"):
        method.sample(state, KEY, 2, guidance=2.0)
    with pytest.raises(ValueError, match="expected a share below 1"):
        dataclasses.replace(method, null=0.1)
    with pytest.raises(ValueError, match="positions='poler', expected learned, axial"):
        Transformer(1, 8, 2, "poler").init(KEY, jnp.asarray(batch["x"]), Head(3, 3))
    with pytest.raises(ValueError, match="draws 2 channels one after another"):
        Transformer(1, 8, 2).init(KEY, jnp.zeros((1, 2, 2, 2), jnp.uint8), Head(3, 50))
    with pytest.raises(ValueError, match="is no mass of integers"):
        dataclasses.replace(method, observation="gaussian")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["colours", "captions"])
def test_a_condition_that_is_left_out_has_an_ordinary_slope_at_the_start(name):
    """Not that of the norm of a vector that is 0."""
    spec, positions, given = SPECS[name]
    model = Transformer(2, 16, 2, positions, prefix=3 if given == ("text",) else 1)
    method = Autoregressive(model, spec, given=given, null=0.99)
    batch = jax.tree.map(jnp.asarray, made(name)[2])
    params, variables = jax.jit(method.init)(KEY, batch)
    state = State(jnp.int32(0), params, variables, {}, {})
    slope = jax.jit(jax.grad(lambda p: method.loss(state.replace(params=p), batch, KEY)[0]))(params)
    assert max(float(jnp.linalg.norm(leaf)) for leaf in jax.tree.leaves(slope)) < 10
