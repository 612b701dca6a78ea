import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops import products
from jaxgen.ops.activations import gelu


def heads(length: int, keys: int | None = None):
    shapes = [(2, n, 3, 4) for n in (length, keys or length, keys or length)]
    return [jax.random.normal(jax.random.key(i), s) for i, s in enumerate(shapes)]


@pytest.mark.parametrize(
    ("length", "keys", "causal", "masked"),
    [
        (5, 5, False, False),
        (5, 9, False, True),
        (130, 130, True, True),
        pytest.param(131, 131, False, True, marks=pytest.mark.slow),
    ],
)
def test_attention_is_that_of_jax(length, keys, causal, masked):
    query, key, value = heads(length, keys)
    mask = jax.random.bernoulli(jax.random.key(3), 0.5, (length, keys)) if masked else None
    if masked:
        mask = jnp.logical_and(mask, jnp.tri(length, keys, dtype=bool)) | jnp.eye(
            length, keys, dtype=bool
        )

    def ours(q, k, v):
        return products.attention(q, k, v, mask, causal=causal)

    def theirs(q, k, v):
        seen = None if mask is None else mask[None, None]
        return jax.nn.dot_product_attention(q, k, v, mask=seen)

    tangents = [jnp.cos(3.0 * a) for a in (query, key, value)]
    found, moved = jax.jvp(ours, (query, key, value), tuple(tangents))
    wanted, wanted_moved = jax.jvp(theirs, (query, key, value), tuple(tangents))
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    np.testing.assert_allclose(moved, wanted_moved, atol=1e-5)
    pulled, other = (
        jax.grad(lambda *a, f=f: jnp.sum(f(*a) ** 2), (0, 1, 2))(query, key, value)
        for f in (ours, theirs)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), pulled, other)


def test_what_causal_leaves_out_is_never_read():
    query, key, value = heads(128)
    mask = jnp.tri(128, dtype=bool)
    late = value.at[:, 32:].set(jnp.nan)  # the first part of 64 queries has no keys beyond its own
    out = products.attention(query, key, late.at[:, 32:64].set(0.0), mask, causal=True)
    assert np.isfinite(out[:, :64]).all()
    assert not np.isfinite(out[:, 64:]).any()


def test_bfloat16_keeps_logits_wide():
    query, key, value = (a.astype(jnp.bfloat16) for a in heads(64))
    out = products.attention(query, key, value)
    assert out.dtype == jnp.bfloat16
    exact = products.attention(*(a.astype(jnp.float32) for a in (query, key, value)))
    np.testing.assert_allclose(out.astype(jnp.float32), exact, atol=2e-2)


def test_joined_dot_is_the_product():
    x, kernel = jax.random.normal(jax.random.key(0), (2, 3, 4)), jnp.arange(20.0).reshape(4, 5)
    numbers = (((2,), (0,)), ((), ()))
    np.testing.assert_allclose(products.joined_dot(x, kernel, numbers), x @ kernel, rtol=1e-6)
    with pytest.raises(ValueError, match="expected those of a Dense layer"):
        products.joined_dot(x, kernel, (((1,), (0,)), ((), ())))


def test_gelu_is_that_of_jax():
    x = jnp.linspace(-6.0, 6.0, 301)
    np.testing.assert_allclose(gelu(x), jax.nn.gelu(x, approximate=False), atol=1e-6)
