"""The VQGAN: residual networks with attention around a codebook.

Source: Esser et al. 2021, "Taming Transformers for High-Resolution Image Synthesis" (CVPR), section
3.1 and appendix; networks of the official code (CompVis/taming-transformers), those of Ho et al.
2020 without time. By default the official code puts the weight of the commitment on the other side
of the loss (its issue 46): here it is on the side of the encoder, as the paper has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxgen.nn.arrays import Batched, Doubled, Images, Resized
from jaxgen.nn.codebook import check_quantizer, quantizer
from jaxgen.nn.codes import Coding, Map
from jaxgen.nn.conv import Conv

CodeMap = Int[Array, "b rows columns groups"]
GROUPS, EPS = 32, 1e-6  # of group normalisation
CORNER = ((0, 1), (0, 1))  # padding of what halves an image, at its end alone


def norm(x: Images) -> Images:
    """Group normalisation; of few channels as many groups as there are."""
    return nn.GroupNorm(min(GROUPS, x.shape[-1]), epsilon=EPS)(x)


class ResBlock(nn.Module):
    """Twice normalisation, swish, 3x3; beside it a 1x1 where widths differ.

    Attributes:
        features: of the output.
        dropout: before the second convolution.
    """

    features: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Batched:
        """[B, H, W, C] -> [B, H, W, features]."""
        h = Conv(self.features, (3, 3))(nn.swish(norm(x)))
        h = nn.Dropout(self.dropout, deterministic=not train)(nn.swish(norm(h)))
        h = Conv(self.features, (3, 3))(h)
        if x.shape[-1] != self.features:
            x = Conv(self.features, (1, 1), name="shortcut")(x)
        return x + h


class Attention(nn.Module):
    """Each position asks all others, with one head; what it hears is added."""

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] to the same."""
        b, h, w, c = x.shape
        normed = norm(x)
        query, key, value = (
            Conv(c, (1, 1), name=name)(normed).reshape(b, h * w, c)
            for name in ("query", "key", "value")
        )
        weights = jax.nn.softmax(jnp.einsum("bqc,bkc->bqk", query, key) * c**-0.5, axis=-1)
        heard = jnp.einsum("bqk,bkc->bqc", weights, value).reshape(x.shape)
        return x + Conv(c, (1, 1), name="out")(heard)


class Middle(nn.Module):
    """A block, attention, a block."""

    dropout: float

    @nn.compact
    def __call__(self, x: Images, train: bool) -> Images:
        """[B, H, W, C] to the same."""
        x = ResBlock(x.shape[-1], self.dropout)(x, train)
        return ResBlock(x.shape[-1], self.dropout)(Attention()(x), train)


class Encoder(nn.Module):
    """Levels of blocks, each but the last halved by a convolution.

    Attributes:
        width: channels of the first convolution.
        multipliers: of it, a level each.
        blocks: of each level.
        attention: heights of maps whose blocks are followed by attention.
        features: of the output.
        dropout: of the blocks.
    """

    width: int
    multipliers: Sequence[int]
    blocks: int
    attention: Sequence[int]
    features: int
    dropout: float

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Resized:
        """[B, H, W, C] -> [B, H / 2^(levels - 1), ..., features]."""
        x = Conv(self.width, (3, 3))(x)
        for level, multiplier in enumerate(self.multipliers):
            if level:
                x = Conv(x.shape[-1], (3, 3), strides=(2, 2), padding=CORNER)(x)
            for _ in range(self.blocks):
                x = ResBlock(multiplier * self.width, self.dropout)(x, train)
                x = Attention()(x) if x.shape[1] in self.attention else x
        x = Middle(self.dropout)(x, train)
        return Conv(self.features, (3, 3))(nn.swish(norm(x)))


class Decoder(nn.Module):
    """The levels in reverse, with a block more each, doubled by their nearest neighbours.

    Attributes as of `Encoder`; the output is an image.
    """

    width: int
    multipliers: Sequence[int]
    blocks: int
    attention: Sequence[int]
    dropout: float

    @nn.compact
    def __call__(self, x: Images, size: tuple[int, ...], train: bool = False) -> Batched:
        """[B, h, w, C] -> `size`, [B, H, W, channels]."""
        x = Conv(self.multipliers[-1] * self.width, (3, 3))(x)
        x = Middle(self.dropout)(x, train)
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for _ in range(self.blocks + 1):
                x = ResBlock(multiplier * self.width, self.dropout)(x, train)
                x = Attention()(x) if x.shape[1] in self.attention else x
            if level:
                x = Conv(x.shape[-1], (3, 3))(doubled(x))
        x = Conv(size[-1], (3, 3), name="last")(nn.swish(norm(x)))
        return x[:, : size[1], : size[2]]


def doubled(x: Images) -> Doubled:
    """By nearest neighbours."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


class VQGAN(nn.Module):
    """One map of codes; see `nn.codes` for the methods. Theta is an image in [0, 1], not bounded.

    Attributes:
        width: channels of the first convolution.
        multipliers: of it, a level each; between levels an image is halved.
        blocks: of each level; the decoder has one more.
        attention: heights of maps with attention.
        features: between encoder and codes.
        quantizer: a section of `nn.codebook.quantizer`.
        dropout: of the blocks.
    """

    width: int = 128
    multipliers: Sequence[int] = (1, 1, 2, 2, 4)
    blocks: int = 2
    attention: Sequence[int] = (16,)
    features: int = 256
    quantizer: Annotated[Mapping[str, Any], check_quantizer] = nn.FrozenDict(
        name="codebook", codes=1024, dim=256, learned="gradient", start="narrow"
    )
    dropout: float = 0.0

    last = ("decoder", "last", "kernel")  # of the params: what adaptive weights look at

    def setup(self) -> None:
        """Names the networks."""
        sizes = self.width, self.multipliers, self.blocks, self.attention
        self.encoder = Encoder(*sizes, self.features, self.dropout)
        self.decoder = Decoder(*sizes, self.dropout)
        self.book = quantizer(self.quantizer)
        self.to_codes = Conv(self.book.dim, (1, 1))
        self.from_codes = Conv(self.features, (1, 1))

    @nn.nowrap
    def maps(self, shape: tuple[int, ...]) -> dict[str, Map]:
        """`codes`, of data [H, W, C].

        Raises:
            ValueError: for sizes that cannot be halved so often.
        """
        book, levels, (height, width) = quantizer(self.quantizer), len(self.multipliers), shape[:2]
        shrink = 2 ** (levels - 1)
        if height % shrink or width % shrink:
            raise ValueError(
                f"images of {height}x{width} cannot be halved between {levels} levels: expected "
                f"multiples of {shrink}"
            )
        return {"codes": Map(height // shrink, width // shrink, book.groups, book.codes)}

    def __call__(self, x: Images, size: tuple[int, ...], train: bool = False) -> Coding:
        """[B, H, W, C] in [0, 1] to an image of shape `size`, and the codes."""
        found = self.book(self._vectors(x, train), train)
        return Coding(self._shown(found.q, size, train), {"codes": found})

    def encode(self, x: Images) -> dict[str, CodeMap]:
        """Ids, [B, h, w, G]."""
        return {"codes": self.book(self._vectors(x, False)).ids}

    def decode(self, ids: dict[str, CodeMap], size: tuple[int, ...]) -> Batched:
        """The image of ids."""
        return self._shown(self.book.lookup(ids["codes"]), size, False)

    def _vectors(self, x: Images, train: bool) -> Resized:
        return self.to_codes(self.encoder(2 * x - 1, train))

    def _shown(self, q: Images, size: tuple[int, ...], train: bool) -> Batched:
        return (self.decoder(self.from_codes(q), size, train) + 1) / 2
