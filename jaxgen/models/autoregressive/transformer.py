"""A causal Transformer over the values of an example, as GPT over text, images or codes.

Every value is a token, those of a pixel's channels after another. What the model is given stands
before them. The blocks are GPT-2's, as in the official code of VQGAN (minGPT).

Source: Radford et al. 2019, GPT-2; Chen et al. 2020, Generative pretraining from pixels, section 2;
Esser et al. 2021, Taming transformers (VQGAN), section 3.2, for codes, with the condition in front.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxgen.nn.heads import Causal, Head, Rows, Theta, X
from jaxgen.nn.transformer import NORMAL, Blocks, Positions, causal_mask

Whole = Integer[Array, "b t"]
Vectors = Float[Array, "b t width"]
Hidden = Float[Array, "*b hidden"]
Said = Float[Array, "*b out"]


class Values(nn.Module):
    """A vector for each value."""

    width: int

    @nn.compact
    def __call__(self, x: Whole, count: int) -> Vectors:
        """Of integers 0 .. count - 1."""
        return nn.Embed(count, self.width, embedding_init=NORMAL, name="table")(x)


class Front(nn.Module):
    """What stands before the values: what is given, or one learnt vector.

    Attributes:
        length: tokens.
        width: of them.
        placed: whether each has a learnt position.
    """

    length: int
    width: int
    placed: bool

    @nn.compact
    def __call__(self, num: int, cond: Any) -> Vectors:
        """Of `num` examples; rows [num, K] are parted into tokens."""
        if cond is None:
            if self.length != 1:
                raise ValueError(f"prefix={self.length}, and nothing is given: expected 1")
            start = self.param("start", NORMAL, (self.width,))
            return jnp.broadcast_to(start, (num, 1, self.width))
        cond = cond.reshape(num, -1)
        if cond.shape[1] % self.length:
            raise ValueError(
                f"prefix={self.length} does not part the {cond.shape[1]} given numbers"
            )
        # a condition that is left out is 0, and a norm of what is 0 has a slope of 1,000
        given = nn.Dense(self.width, kernel_init=NORMAL, bias_init=NORMAL, name="given")
        front = given(cond.reshape(num, self.length, -1))
        if not self.placed:
            return front
        return front + Positions("learned", self.width, name="places")((self.length,))


class Says(nn.Module):
    """Linear, without a bias."""

    @nn.compact
    def __call__(self, h: Hidden, width: int) -> Said:
        """The last layer."""
        return nn.Dense(width, use_bias=False, kernel_init=NORMAL, name="head")(h)


class Transformer(Causal):
    """Theta of each value from those before it.

    Attributes:
        depth: number of blocks.
        width: of the tokens.
        heads: of each attention.
        positions: "learned", "axial" (a table for rows, columns and channels each), or "rotary".
        dropout: of embeddings and branches.
        prefix: tokens that what is given becomes: 1 of a class, T of a text of T tokens.
        remat: see `nn.transformer.Blocks`.
        dtype: of the blocks, as "bfloat16"; None is float32.
    """

    depth: int = 4
    width: int = 128
    heads: int = 4
    positions: str = "learned"
    dropout: float = 0.0
    prefix: int = 1
    remat: bool = False
    dtype: str | None = None
    channelwise = True

    def setup(self) -> None:
        """Names the parts."""
        dtype = None if self.dtype is None else jnp.dtype(self.dtype)
        rotate = self.positions == "rotary"
        kind = "none" if rotate else self.positions
        self.blocks = Blocks(
            self.depth,
            self.heads,
            rotate,
            self.dropout,
            causal=True,
            remat=self.remat,
            dtype=dtype,
        )
        self.values = Values(self.width)
        self.places = Positions(kind, self.width)
        self.front = Front(self.prefix, self.width, not rotate)
        self.says = Says()
        self.dropping = nn.Dropout(self.dropout)

    def _width(self, x: X, head: Head, positions: int) -> int:
        """Of theta of a value."""
        channels = x[0].size // positions
        if channels > 1 and head.width != channels * head.values:
            raise ValueError(
                f"a Transformer draws {channels} channels one after another: "
                "config.method.observation=categorical"
            )
        return head.width // channels

    def __call__(self, x: X, head: Head, cond: Any = None, *, train: bool = False) -> Theta:
        """Integers [B, *positions, C], or [B, T] of tokens, to theta [B, *positions, width]."""
        positions = x.shape[1:-1] if x.ndim > 2 else x.shape[1:]
        own = self._width(x, head, math.prod(positions))
        tokens = x.reshape(x.shape[0], -1).astype(jnp.int32)
        places = self.places(x.shape[1:])
        front = self.front(x.shape[0], cond)
        h = self.values(tokens[:, :-1], head.values) + places[:, :-1]
        h = self.dropping(jnp.concatenate([front, h], axis=1), deterministic=not train)
        h = self.blocks(h, causal_mask(h.shape[1])[None], train=train)[:, self.prefix - 1 :]
        return self.says(h, own).reshape(x.shape[0], *positions, head.width)

    def start(self, x: X, head: Head, cond: Any = None) -> None:
        """Fills the cache with what stands before the values, but for its last token."""
        if self.prefix > 1:
            front = self.front(x.shape[0], cond)[:, :-1]
            mask = causal_mask(front.shape[1])[None]
            self.blocks(front, mask, length=self._length(x))

    def step(self, x: X, t: Any, head: Head, cond: Any = None) -> Rows:
        """Theta [B, width] of position t of x, whose values before it are there."""
        positions = x.shape[1:-1] if x.ndim > 2 else x.shape[1:]
        own = self._width(x, head, math.prod(positions))
        channels = head.width // own
        tokens = x.reshape(x.shape[0], -1).astype(jnp.int32)
        places = self.places(x.shape[1:])
        first = self.front(x.shape[0], cond)[:, -1:]
        length = self._length(x)
        mask = causal_mask(length)[None]
        found = []
        for c in range(channels):
            s = t * channels + c
            last = jax.lax.dynamic_slice_in_dim(tokens, jnp.maximum(s - 1, 0), 1, axis=1)
            h = self.values(last, head.values) + places[:, jnp.maximum(s - 1, 0)][:, None]
            h = jnp.where(s == 0, first, h)
            h = self.blocks(h, mask, at=s + self.prefix - 1, length=length)
            found.append(self.says(h[:, 0], own))
        return jnp.concatenate(found, axis=-1)

    def _length(self, x: X) -> int:
        """Tokens that the blocks see."""
        return self.prefix - 1 + x[0].size
