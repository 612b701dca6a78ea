"""The autoencoder of discrete codes, VQ-VAE.

Source: van den Oord et al. 2017, "Neural Discrete Representation Learning" (NeurIPS), section 4.1;
networks of the official notebook (deepmind/sonnet, examples/vqvae_example.ipynb), whose paper has
no more than their sizes. The notebook halves an image twice; here `halvings` says how often.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
from jaxtyping import Array, Int

from jaxgen.nn.arrays import Images, Resized
from jaxgen.nn.codebook import check_quantizer, quantizer
from jaxgen.nn.codes import Coding, Map
from jaxgen.nn.conv import Conv, ConvTranspose

CodeMap = Int[Array, "b rows columns groups"]


class ResidualStack(nn.Module):
    """Blocks of ReLU, 3x3 to `residual` channels, ReLU, 1x1 back; a ReLU after the last.

    Attributes:
        layers: how many.
        residual: channels within a block.
        dropout: of these, in training; the notebook has none.
    """

    layers: int
    residual: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Images:
        """[B, H, W, C] to the same."""
        for _ in range(self.layers):
            h = nn.relu(Conv(self.residual, (3, 3))(nn.relu(x)))
            h = nn.Dropout(self.dropout, deterministic=not train)(h)
            x = x + Conv(x.shape[-1], (1, 1))(h)
        return nn.relu(x)


class Encoder(nn.Module):
    """Convolutions of stride 2, one of stride 1, a residual stack.

    Attributes:
        hidden: channels; half of them after the first convolution of stride 2.
        layers: residual blocks.
        residual: channels within them.
        halvings: convolutions of stride 2.
        dropout: of `ResidualStack`.
    """

    hidden: int
    layers: int
    residual: int
    halvings: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Images, train: bool = False) -> Resized:
        """[B, H, W, C] -> [B, H / 2^halvings, W / 2^halvings, hidden]; sizes are rounded up."""
        for i in range(self.halvings):
            width = self.hidden if i else self.hidden // 2
            x = nn.relu(Conv(width, (4, 4), strides=(2, 2))(x))
        x = nn.relu(Conv(self.hidden, (3, 3))(x))
        return ResidualStack(self.layers, self.residual, self.dropout)(x, train)


class Decoder(nn.Module):
    """The encoder's mirror image: a convolution, a residual stack, transposed convolutions.

    Attributes:
        hidden: channels; half of them before the last transposed convolution.
        layers: residual blocks.
        residual: channels within them.
        halvings: transposed convolutions of stride 2; without any, a 3x3 makes the output.
        dropout: of `ResidualStack`.
    """

    hidden: int
    layers: int
    residual: int
    halvings: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Images, size: tuple[int, ...], train: bool = False) -> Resized:
        """[B, h, w, C] -> `size`, [B, H, W, width]: the first pixels where codes are of more."""
        x = Conv(self.hidden, (3, 3))(x)
        x = ResidualStack(self.layers, self.residual, self.dropout)(x, train)
        if not self.halvings:
            return Conv(size[-1], (3, 3))(x)
        for i in reversed(range(1, self.halvings)):
            width = self.hidden if i > 1 else self.hidden // 2
            x = nn.relu(ConvTranspose(width, (4, 4), 2)(x))
        return ConvTranspose(size[-1], (4, 4), 2)(x)[:, : size[1], : size[2]]


class VQVAE(nn.Module):
    """One map of codes; see `nn.codes` for the methods, which are those of every model of codes.

    Attributes:
        hidden: channels of encoder and decoder.
        layers: residual blocks of each.
        residual: channels within them.
        halvings: so many times codes are halved against the image.
        quantizer: a section of `nn.codebook.quantizer`.
        dropout: of the residual blocks.
    """

    hidden: int = 128
    layers: int = 2
    residual: int = 32
    halvings: int = 2
    quantizer: Annotated[Mapping[str, Any], check_quantizer] = nn.FrozenDict(name="codebook")
    dropout: float = 0.0

    def setup(self) -> None:
        """Names the networks."""
        self.book = quantizer(self.quantizer)
        sizes = self.hidden, self.layers, self.residual, self.halvings, self.dropout
        self.encoder, self.decoder = Encoder(*sizes), Decoder(*sizes)
        self.to_codes = Conv(self.book.dim, (1, 1))

    @nn.nowrap
    def maps(self, shape: tuple[int, ...]) -> dict[str, Map]:
        """`codes`, of data [H, W, C]."""
        book, shrink = quantizer(self.quantizer), 2**self.halvings
        height, width = (-(-n // shrink) for n in shape[:2])
        return {"codes": Map(height, width, book.groups, book.codes)}

    def __call__(self, x: Images, size: tuple[int, ...], train: bool = False) -> Coding:
        """[B, H, W, C] in [0, 1] to theta of shape `size`, and the codes."""
        found = self.book(self._vectors(x, train), train)
        return Coding(self.decoder(found.q, size, train), {"codes": found})

    def encode(self, x: Images) -> dict[str, CodeMap]:
        """Ids, [B, h, w, G]."""
        return {"codes": self.book(self._vectors(x, False)).ids}

    def decode(self, ids: dict[str, CodeMap], size: tuple[int, ...]) -> Resized:
        """Theta of ids."""
        return self.decoder(self.book.lookup(ids["codes"]), size)

    def _vectors(self, x: Images, train: bool) -> Resized:
        return self.to_codes(self.encoder(x - 0.5, train))
