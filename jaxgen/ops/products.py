"""Products of tokens, written so that XLA's CPU backend need not move them in memory.

The results are those of `jax.lax.dot_general` and `jax.nn.dot_product_attention` but for rounding;
`benchmarks/autoregressive.py --only=parts` measures both against these.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Heads = Float[Array, "b t heads d"]
Keys = Float[Array, "b s heads d"]
Seen = Bool[Array, "t s"]
HIDDEN = -1e30  # added to logits; finite, so that gradients are
LEAST_PART, MOST_PARTS = 64, 4  # queries taken together where later keys are left out


def joined_dot(
    x: Array,
    kernel: Array,
    dimension_numbers: Any,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """What `flax.linen.Dense` takes for `dot_general`: the axes before the last become one.

    The kernel's gradient is then a product of two matrices. Summed over two axes, XLA's CPU backend
    writes a transposed copy of all that the layer was given first.
    """
    rows = x.reshape(-1, x.shape[-1])
    numbers = (((1,), (0,)), ((), ()))
    if dimension_numbers != (((x.ndim - 1,), (0,)), ((), ())):
        raise ValueError(f"dimension_numbers={dimension_numbers}, expected those of a Dense layer")
    y = jax.lax.dot_general(
        rows, kernel, numbers, precision=precision, preferred_element_type=preferred_element_type
    )
    return y.reshape(*x.shape[:-1], -1)


def attention(
    query: Heads, key: Keys, value: Keys, mask: Seen | None = None, *, causal: bool = False
) -> Heads:
    """softmax(query key^T / sqrt(d)) value for each head.

    Args:
        query: [B, T, heads, d].
        key: [B, S, heads, d].
        value: as the keys.
        mask: [T, S], True where the query sees the key; each query sees one at least. None sees
            all.
        causal: S is T and the mask shows no query a later key: most products with these are left
            out.

    Logits and softmax are float32 at least. The sum of the weights is divided by at the end, which
    for T > d is the smaller array.

    Source: Vaswani et al. 2017, Attention is all you need, equation 1.
    """
    length = query.shape[1]
    parts = max(1, min(MOST_PARTS, length // LEAST_PART)) if causal and mask is not None else 1
    q, k, v = (
        jnp.swapaxes(a, 1, 2).reshape(-1, a.shape[1], a.shape[3]) for a in (query, key, value)
    )
    ends = [length * (i + 1) // parts for i in range(parts)]
    found, start = [], 0
    for end in ends:
        seen = end if parts > 1 else k.shape[1]
        shown = None if mask is None else mask[start:end, :seen]
        found.append(_mixed(q[:, start:end], k[:, :seen], v[:, :seen], shown))
        start = end
    out = jnp.concatenate(found, axis=1) if parts > 1 else found[0]
    return jnp.swapaxes(out.reshape(query.shape[0], -1, length, query.shape[3]), 1, 2)


def _mixed(
    query: Float[Array, "b t d"],
    key: Float[Array, "b s d"],
    value: Float[Array, "b s d"],
    mask: Seen | None,
) -> Float[Array, "b t d"]:
    real = jnp.promote_types(query.dtype, jnp.float32)
    scaled = query * query.shape[-1] ** -0.5
    logits = jnp.einsum("btd,bsd->bts", scaled, key, preferred_element_type=real)
    if mask is not None:
        logits = logits + jnp.where(mask, 0, HIDDEN).astype(real)[None]
    top = jax.lax.stop_gradient(jnp.max(logits, axis=-1, keepdims=True))
    weights = jnp.exp(logits - top)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    mixed = jnp.einsum(
        "bts,bsd->btd", weights.astype(value.dtype), value, preferred_element_type=real
    )
    return (mixed / total).astype(query.dtype)
