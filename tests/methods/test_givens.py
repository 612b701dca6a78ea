"""What a method of any family is given: named fields, values of calls, what depends on them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.abilities import given
from jaxgen.config import ConfigError
from jaxgen.fields import DataSpec, Field
from jaxgen.methods.adversarial import Adversarial
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.givens import Givens, chosen
from jaxgen.methods.likelihood import Likelihood
from jaxgen.models.flows.spline import SplineFlow
from jaxgen.models.gans.gan import Discriminator, Generator
from jaxgen.models.vaes.vae import VAE
from jaxgen.types import State

KEY = jax.random.key(0)
SPEC = DataSpec(
    "all",
    {
        "x": Field("vector", (3,)),
        "label": Field("label", (), "int32", classes=3),
        "text": Field("tokens", (2,), "int32", vocabulary=4),
        "layout": Field("layout", (2, 2), "int32", classes=2),
        "size": Field("vector", (2,), names=("high", "wide")),
    },
)
WITH_CONTEXT = SPEC.with_field("context", kind="vector", shape=(2,), names=("year", "place"))


def test_names_are_of_fields():
    assert chosen((), SPEC) == () and chosen(("label", "text"), SPEC) == ("label", "text")
    assert chosen(("label, text", "label"), SPEC) == ("label", "text")  # of a command line
    assert chosen(("label",), WITH_CONTEXT) == ("label", "context")
    assert chosen(("context", "label"), WITH_CONTEXT) == ("context", "label")
    for wrong in ("x", "labels"):
        with pytest.raises(ConfigError, match=f"given={wrong}: all has no such field, .* of label"):
            chosen((wrong,), SPEC)
    of = Givens(WITH_CONTEXT, chosen(("label", "size"), WITH_CONTEXT))
    assert of.columns == ("label", "size.high", "size.wide", "context.year", "context.place")


def test_classes_are_drawn_evenly_or_the_first():
    of = Givens(SPEC, ("label",))
    drawn = np.asarray(jax.jit(lambda key: of.of_call(None, 3000, key))(KEY)).sum(0)
    assert drawn.min() > 900
    np.testing.assert_array_equal(of.of_call(None, 2, first=True), [[1, 0, 0]] * 2)
    np.testing.assert_array_equal(of.of_call({"label": 1}, 2), [[0, 1, 0]] * 2)
    np.testing.assert_array_equal(of.of_call({"label": np.array([2, 0])}, 2), np.eye(3)[[2, 0]])
    assert Givens(SPEC, ()).of_call(None, 2) is None and Givens(SPEC, ()).shape(2) is None


@pytest.mark.parametrize(
    ("names", "values", "message"),
    [
        ((), {"label": 1}, "label: this model is given nothing"),
        (("text",), {"label": 1}, "label: this model is given text .*: omit it"),
        (("label",), None, r"this model is given label: expected given=.'label': \[2\]"),
        (("size",), {}, r"given size: expected given=.'size': \[2, 2\].: high, wide"),
        (("label",), {"label": [1, 2, 0]}, r"label of shape \[3\], expected \[\] or \[2\]"),
        (("label",), {"label": 3}, "label: expected integers from 0 to 2"),
        (("text",), {"text": [[0, 1], [4, 0]]}, "text: expected integers from 0 to 3"),
        (("size",), {"size": [1.0]}, r"size of shape \[1\], expected \[2\] or \[2, 2\]: high, w"),
    ],
)
def test_mistakes_are_named(names, values, message):
    with pytest.raises(ConfigError, match=message):
        Givens(SPEC, names).of_call(values, 2)


METHODS = {
    "likelihood": lambda **o: Likelihood(SplineFlow(1, bins=4, width=8, blocks=1), SPEC, **o),
    "elbo": lambda **o: ELBO(VAE(2, (8,)), SPEC, "gaussian", **o),
    "adversarial": lambda **o: Adversarial(Generator(2, (8,)), Discriminator((8,)), SPEC, **o),
}


@pytest.mark.parametrize("family", METHODS)
def test_every_kind_enters_every_family(family):
    """All kinds at once: each of them alone changes what is decoded, and nothing else does."""
    names = ("label", "text", "layout", "size")
    method, random = METHODS[family](given=names), np.random.RandomState(0)
    assert given(method) == names and given(METHODS[family]()) == ()
    fields = {name: SPEC.fields[name] for name in names}
    batch = {
        name: random.randint(field.values, size=(4, *field.shape))
        if field.values
        # far apart: of noughts an embedding shows nothing
        else random.randn(4, *field.shape).astype(np.float32)
        for name, field in fields.items()
    }
    x = jnp.asarray(random.randn(4, 3).astype(np.float32))

    params, variables = jax.jit(method.init)(KEY, {"x": x, **batch})
    moved = jax.tree.map(lambda p: p + np.float32(0.3 * random.randn(*p.shape)), params)
    state = State(jnp.int32(0), moved, variables, {}, {})
    z = jax.tree.map(lambda leaf: jnp.ones((4, *leaf.shape[1:])), latents(method, state, x, batch))
    decode = jax.jit(lambda given: method.decode(state, z, given, rounded=False))
    first = np.asarray(decode(batch))
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(decode(dict(reversed(batch.items()))), first)
    for name, field in fields.items():
        other = 1 - batch[name] if field.values is None else (batch[name] + 1) % field.values
        found = np.asarray(decode({**batch, name: other}))
        assert np.abs(found - first).max(-1).min() > 1e-3, name
    sample = jax.jit(lambda given: method.sample(state, KEY, 4, given))
    np.testing.assert_array_equal(
        sample({k: v for k, v in batch.items() if k != "label"}).shape, (4, 3)
    )


def latents(method, state, x, batch):
    """Of any method."""
    if isinstance(method, Adversarial):
        return jax.eval_shape(lambda: method.latents(KEY, 4))
    return jax.eval_shape(lambda: method.encode(state, x, KEY, batch))
