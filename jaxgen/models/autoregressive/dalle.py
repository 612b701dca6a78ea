"""DALL-E's Transformer: a caption and the codes of a picture in one causal sequence.

What it is given is the caption, whose words it models too. Where a caption is shorter than the
longest, each position has a padding token of its own; a caption that is left out is all padding.
Blocks see the whole caption and, of the picture, what their mask lets them: the row, the column or
a neighbourhood of a code, or all before it.

Source: Ramesh et al. 2021, Zero-shot text-to-image generation, section 2.2 and appendix B.1. There
is no official code of it; masks are as the paper's figure 11 has them, without the transposed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen.config import ConfigError
from jaxgen.models.autoregressive.transformer import Says, Values
from jaxgen.nn.heads import Causal, Head, Rows, Theta, X
from jaxgen.nn.transformer import NORMAL, Blocks, Positions

Texts = Int[Array, "b t"]
Words = Float[Array, "b tokens features"]
MASKS = ("full", "row", "column", "convolution")
REACH = 2  # of the neighbourhood: 5 columns, and as many rows above


def mask_of(kind: str, text: int, rows: int, columns: int) -> np.ndarray:
    """[T, T] of `text` tokens (with the first) and a picture of codes: what a query (first) sees.

    Raises:
        ConfigError: for an unknown kind.
    """
    if kind not in MASKS:
        raise ConfigError(f"config.model.masks: {kind!r}, expected of {', '.join(MASKS)}")
    total = text + rows * columns
    causal = np.tril(np.ones((total, total), bool))
    row, column = np.divmod(np.arange(rows * columns), columns)
    down, across = row[:, None] - row[None], column[:, None] - column[None]
    near = {
        "full": np.ones((rows * columns,) * 2, bool),
        "row": down == 0,
        "column": across == 0,
        "convolution": (down <= 2 * REACH) & (np.abs(across) <= REACH),
    }[kind]
    seen = np.ones((total, total), bool)
    seen[text:, text:] = near
    return causal & seen


class DALLE(Causal):
    """Theta of each code from the caption and the codes before it.

    Attributes:
        words: number of tokens of a caption.
        depth: number of blocks.
        width: of the tokens.
        heads: of each attention.
        masks: of the first blocks, then again: of `MASKS`.
        last: mask of the last block; "" takes its turn.
        dropout: of embeddings and branches.
        remat: see `nn.transformer.Blocks`.
        dtype: of the blocks, as "bfloat16"; None is float32.
    """

    words: int
    depth: int = 3
    width: int = 96
    heads: int = 4
    masks: Sequence[str] = ("full",)
    last: str = ""
    dropout: float = 0.0
    remat: bool = False
    dtype: str | None = None

    def setup(self) -> None:
        """Names the parts."""
        turns = [self.masks[i % len(self.masks)] for i in range(self.depth)]
        turns[-1] = self.last or turns[-1]
        self.used = tuple(dict.fromkeys(turns))
        kinds = tuple(self.used.index(name) for name in turns)
        dtype = None if self.dtype is None else jnp.dtype(self.dtype)
        self.blocks = Blocks(
            self.depth, self.heads, False, self.dropout, kinds, True, self.remat, dtype
        )
        self.spoken = Values(self.width)
        self.values = Values(self.width)
        self.text_places = Positions("learned", self.width)
        self.places = Positions("axial", self.width)
        self.says_text, self.says = Says(), Says()
        self.first = self.param("first", NORMAL, (self.width,))
        self.dropping = nn.Dropout(self.dropout)

    def __call__(self, x: X, head: Head, cond: Any = None, *, train: bool = False) -> Theta:
        """Codes [B, h, w, 1] and captions, one-hot in rows, to theta [B, h, w, width]."""
        return self.both(x, head, cond, train=train)[0]

    def both(
        self, x: X, head: Head, cond: Any = None, *, train: bool = False
    ) -> tuple[Theta, Words]:
        """Theta of the codes, and logits [B, T, words + T] of the tokens of the captions."""
        text, total = self._text(x, cond)
        h = jnp.concatenate([self._front(text, total), self._codes(x, head)[:, :-1]], axis=1)
        h = self.blocks(self.dropping(h, deterministic=not train), self._masks(x), train=train)
        theta = self.says(h[:, self.words :], head.width).reshape(*x.shape[:-1], head.width)
        return theta, self.says_text(h[:, : self.words], total)

    def start(self, x: X, head: Head, cond: Any = None) -> None:
        """Fills the cache with the caption, but for its last token."""
        front = self._front(*self._text(x, cond))[:, :-1]
        masks = self._masks(x)[:, : self.words, : self.words]
        self.blocks(front, masks, length=self._length(x))

    def step(self, x: X, t: Any, head: Head, cond: Any = None) -> Rows:
        """Theta [B, width] of code t, before which all are there."""
        last = self._front(*self._text(x, cond))[:, -1:]
        before = jax.lax.dynamic_slice_in_dim(self._codes(x, head), jnp.maximum(t - 1, 0), 1, 1)
        h = jnp.where(t == 0, last, before)
        h = self.blocks(h, self._masks(x), at=t + self.words, length=self._length(x))
        return self.says(h[:, 0], head.width)

    def targets(self, x: X, cond: Any) -> Texts:
        """The tokens of captions as they are predicted, each padding its own."""
        return self._text(x, cond)[0]

    def _text(self, x: X, cond: Any) -> tuple[Texts, int]:
        """Tokens [B, T], and how many there are with the paddings."""
        if cond is None:
            raise ConfigError("DALL-E is given captions: config.method.prior.given=text")
        if cond[0].size % self.words or x.shape[-1] != 1:
            raise ConfigError(
                f"config.model.words={self.words}: does not part what is given, {cond[0].size}"
            )
        rows = cond.reshape(x.shape[0], self.words, -1)
        known = rows.shape[-1]
        text = jnp.argmax(rows, axis=-1)
        place = jnp.arange(self.words)[None]
        return jnp.where(text == 0, known + place, text), known + self.words

    def _front(self, text: Texts, total: int) -> Words:
        """The first token, and those of the caption."""
        h = self.spoken(text, total) + self.text_places((self.words,))
        first = jnp.broadcast_to(self.first, (len(text), 1, self.width))
        return jnp.concatenate([first, h], axis=1)

    def _codes(self, x: X, head: Head) -> Words:
        tokens = x.reshape(x.shape[0], -1).astype(jnp.int32)
        return self.values(tokens, head.values) + self.places(x.shape[1:-1])

    def _masks(self, x: X) -> Any:
        """Of the kinds that blocks use, [kinds, T, T]; the last code is nobody's input."""
        made = [mask_of(kind, self.words + 1, *x.shape[1:3])[:-1, :-1] for kind in self.used]
        return jnp.asarray(np.stack(made))

    def _length(self, x: X) -> int:
        return self.words + x[0].size
