"""The Transformer: pre-norm blocks under one scan, any mask, and a cache of keys and values.

The cache is the collection "cache", [depth, B, T, heads, d] each. A pass over a beginning fills it,
a step reads and extends it; so drawing a sequence costs one step a token.

Source: Vaswani et al. 2017, Attention is all you need; pre-norm as Radford et al. 2019, GPT-2;
rotary positions: Su et al. 2021, RoFormer, section 3.2.2.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxgen.ops.activations import gelu
from jaxgen.ops.products import attention, joined_dot

Tokens = Float[Array, "b t width"]
Heads = Float[Array, "b t heads d"]
Mask = Bool[Array, "t t"]  # [query, key], True where the query sees the key
Order = Int[Array, " t"]
Table = Float[Array, "1 t width"]
NORMAL = nn.initializers.normal(0.02)
ROTARY_BASE = 10_000.0


def causal_mask(length: int) -> Mask:
    """Each position sees itself and those before it."""
    return jnp.tril(jnp.ones((length, length), bool))


def rotary(x: Heads, positions: Order) -> Heads:
    """Pairs of features (i, i + d/2) turned by position / 10000^(2 i / d).

    Products of rotated queries and keys depend on the distance of their positions alone.
    """
    half = x.shape[-1] // 2
    real = jnp.result_type(float)
    rate = ROTARY_BASE ** (-jnp.arange(half, dtype=real) / half)
    angle = positions[:, None].astype(real) * rate[None]
    cos, sin = (f(angle)[None, :, None, :].astype(x.dtype) for f in (jnp.cos, jnp.sin))
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


class Attention(nn.Module):
    """Multi-head self-attention.

    Attributes:
        heads: that share the width.
        rotate: turn queries and keys by their positions.
        dropout: of the result.
        causal: the masks show no query a later key, see `ops.products.attention`.
        dtype: of the computation; logits and softmax are float32 at least.
        kernel: initialiser of the linear layers.
    """

    heads: int
    rotate: bool = False
    dropout: float = 0.0
    causal: bool = False
    dtype: Any = None
    kernel: Any = NORMAL

    @nn.compact
    def __call__(
        self, x: Tokens, mask: Any, at: Any = None, length: int | None = None, train: bool = False
    ) -> Tokens:
        """[B, T, width] -> the same.

        Args:
            x: all tokens, or the one at the position `at`.
            mask: [T, T], with `at` of the whole length; None sees all.
            at: int32 scalar, None for all tokens.
            length: of the cache, which a pass over all tokens fills from its beginning where the
                collection may be written.
            train: use dropout.
        """
        width = x.shape[-1]
        if width % (self.heads * 2):
            raise ValueError(f"width={width}, expected a multiple of twice heads={self.heads}")
        dense = _dense(self.dtype, self.kernel)
        joint = dense(3 * width, name="qkv")(x).reshape(*x.shape[:2], 3, self.heads, -1)
        query, key, value = (joint[:, :, i] for i in range(3))
        if self.rotate:
            here = jnp.arange(x.shape[1]) if at is None else jnp.reshape(at, (1,))
            query, key = rotary(query, here), rotary(key, here)
        if at is not None or length is not None:
            key, value = self._cached(key, value, at, length)
            mask = jax.lax.dynamic_slice_in_dim(mask, at, 1) if at is not None else mask
        mixed = attention(query, key, value, mask, causal=self.causal and at is None)
        out = dense(width, name="out")(mixed.reshape(*x.shape[:2], width))
        return nn.Dropout(self.dropout)(out, deterministic=not train)

    def _cached(self, key: Heads, value: Heads, at: Any, length: int | None) -> tuple[Heads, Heads]:
        """What a query looks at: all that the cache holds, or the tokens of this pass."""
        found = []
        for name, new in (("key", key), ("value", value)):
            shape = (new.shape[0], length, *new.shape[2:])
            kept = self.variable("cache", name, jnp.zeros, shape, new.dtype)
            start = [jnp.int32(0)] * 4
            start[1] = jnp.asarray(0 if at is None else at, jnp.int32)
            kept.value = jax.lax.dynamic_update_slice(
                kept.value, new.astype(kept.value.dtype), start
            )
            found.append(new if at is None else kept.value)
        return found[0], found[1]


class Block(nn.Module):
    """x + attention(norm x), then + MLP(norm x) of four times the width.

    Attributes:
        heads: of the attention.
        rotate: see `Attention`.
        dropout: of both branches.
        causal: see `Attention`.
        dtype: of the computation.
    """

    heads: int
    rotate: bool = False
    dropout: float = 0.0
    causal: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Tokens, kind: Any, masks: Any, at: Any, length: int | None, train: bool
    ) -> tuple[Tokens, None]:
        """Tokens of a pass, with the block's own of the masks [kinds, T, T]; see `Attention`."""
        mask = None if masks is None else masks[kind]
        options = (self.heads, self.rotate, self.dropout, self.causal, self.dtype)
        look = Attention(*options, name="attention")
        h = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm1")(x)
        x = x + look(h, mask, at, length, train)
        h = nn.LayerNorm(epsilon=1e-5, dtype=self.dtype, name="norm2")(x)
        dense = _dense(self.dtype)
        h = gelu(dense(4 * x.shape[-1], name="wide")(h))
        h = dense(x.shape[-1], name="narrow")(h)
        return x + nn.Dropout(self.dropout)(h, deterministic=not train), None


class Blocks(nn.Module):
    """Blocks after another, and a last norm.

    Attributes:
        depth: number of blocks.
        heads: of each attention.
        rotate: see `Attention`.
        dropout: of each branch.
        kinds: which of the masks a block takes: those of the first blocks, then again.
        causal: see `Attention`.
        remat: compute all of a block again for its gradient, for memory; else what lies between
            its products is, which is cheaper than to keep it.
        dtype: of the computation; None is float32.
    """

    depth: int
    heads: int
    rotate: bool = False
    dropout: float = 0.0
    kinds: tuple[int, ...] = (0,)
    causal: bool = False
    remat: bool = False
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: Tokens,
        masks: Any = None,
        at: Any = None,
        length: int | None = None,
        train: bool = False,
    ) -> Tokens:
        """[B, T, width] -> the same, of JAX's own float.

        Args:
            x: all tokens of a pass, or the one at position `at`.
            masks: [kinds, T, T], True where the query (first) sees the key; None sees all.
            at: int32 scalar, None for all.
            length: of the cache, to write it; None for a pass without one.
            train: use dropout.
        """
        block = recomputed(Block, self.remat, static=(5, 6))
        axes: Any = (0, *[nn.broadcast] * 4)
        scanned = nn.scan(
            block,
            variable_axes={"params": 0, "cache": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=axes,
            length=self.depth,
        )
        which = jnp.asarray([self.kinds[i % len(self.kinds)] for i in range(self.depth)])
        x = x if self.dtype is None else x.astype(self.dtype)
        options = (self.heads, self.rotate, self.dropout, self.causal, self.dtype)
        blocks = scanned(*options, name="blocks")
        x, _ = blocks(x, which, masks, at, length, train)
        return nn.LayerNorm(epsilon=1e-5, name="norm")(x.astype(jnp.result_type(float)))


def recomputed(block: Any, every: bool, static: tuple[int, ...] = ()) -> Any:
    """A block under a scan, parts of which are computed again for its gradient.

    These are what lies between its products, which costs less than to keep it; or `every` part.

    Args:
        block: module.
        every: all of it.
        static: numbers of the arguments of its call that are no arrays.
    """
    kept = None if every else jax.checkpoint_policies.dots_saveable
    return nn.remat(block, policy=kept, prevent_cse=False, static_argnums=static)


def _dense(dtype: Any, kernel: Any = NORMAL) -> Any:
    """Linear layers, as GPT-2 starts them."""

    def layer(features: int, name: str) -> nn.Dense:
        return nn.Dense(
            features, kernel_init=kernel, dtype=dtype, dot_general=joined_dot, name=name
        )

    return layer


class Positions(nn.Module):
    """A vector for each position of an array of tokens.

    Attributes:
        kind: "learned", one table, zero at the start; "axial", the sum of a table for every axis;
            "none".
        width: of the vectors.
    """

    kind: str
    width: int

    @nn.compact
    def __call__(self, shape: tuple[int, ...]) -> Table:
        """[1, T, width] of all positions of an array of this shape, in raster order."""
        total = math.prod(shape)
        if self.kind == "none":
            return jnp.zeros((1, total, self.width))
        if self.kind == "learned":
            return self.param("table", nn.initializers.zeros, (total, self.width))[None]
        if self.kind != "axial":
            raise ValueError(f"positions={self.kind!r}, expected learned, axial, rotary or none")
        out = jnp.zeros((*shape, self.width))
        for axis, size in enumerate(shape):
            table = self.param(f"axis_{axis}", NORMAL, (size, self.width))
            sides = [size if i == axis else 1 for i in range(len(shape))]
            out += table.reshape(*sides, self.width)
        return out.reshape(1, total, self.width)
