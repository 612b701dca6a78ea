"""A Transformer that sees all values of an example but those that are masked.

Source: Chang et al. 2022, MaskGIT: masked generative image transformer, section 3. The official
network (google-research/maskgit) normalises behind each branch, as BERT, and its last layer is the
embedding's; here blocks are `nn.transformer`'s, which normalise before, and the last layer is free.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.autoregressive.transformer import Front, Says, Values
from jaxgen.nn.heads import Head, Theta, X
from jaxgen.nn.transformer import Blocks, Positions


class MaskGIT(nn.Module):
    """Theta of each value from all values that are not masked.

    Attributes:
        depth: number of blocks.
        width: of the tokens.
        heads: of each attention.
        positions: "learned" or "axial".
        dropout: of embeddings and branches.
        prefix: tokens that what is given becomes: 1 of a class.
        remat: see `nn.transformer.Blocks`.
        dtype: of the blocks, as "bfloat16"; None is float32.
    """

    depth: int = 4
    width: int = 128
    heads: int = 4
    positions: str = "axial"
    dropout: float = 0.1
    prefix: int = 1
    remat: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: X, head: Head, cond: Any = None, *, train: bool = False) -> Theta:
        """Integers [B, *positions, C], `head.values` where masked, to theta [B, *positions, width].

        Of each value there are as many logits as it can have, the masked one left out.
        """
        sides = x.shape[1:-1] if x.ndim > 2 else x.shape[1:]
        tokens = x.reshape(x.shape[0], -1).astype(jnp.int32)
        front = Front(self.prefix, self.width, True, name="front")(x.shape[0], cond)
        places = Positions(self.positions, self.width, name="places")(x.shape[1:])
        h = Values(self.width, name="values")(tokens, head.values + 1) + places
        h = nn.Dropout(self.dropout)(jnp.concatenate([front, h], 1), deterministic=not train)
        dtype = None if self.dtype is None else jnp.dtype(self.dtype)
        blocks = Blocks(
            self.depth,
            self.heads,
            False,
            self.dropout,
            remat=self.remat,
            dtype=dtype,
            name="blocks",
        )
        h = blocks(h, train=train)[:, self.prefix :]
        return Says(name="says")(h, head.values).reshape(x.shape[0], *sides, head.width)
