"""The VQ-VAE-2: a map of codes at the top, a larger one below it that is given the first.

Source: Razavi et al. 2019, "Generating Diverse High-Fidelity Images with VQ-VAE-2" (NeurIPS),
section 3.1 and figure 2. There is no official code; networks and sizes are those of the port that
is in use (rosinality/vq-vae-2-pytorch), with the blocks of `vqvae`, which have a ReLU before the
first residual block where the port has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.vaes.vqvae import CodeMap, Decoder, Encoder
from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.codebook import check_quantizer, quantizer
from jaxgen.nn.codes import Coding, Map, Quantized
from jaxgen.nn.conv import Conv, ConvTranspose


class VQVAE2(nn.Module):
    """Two maps of codes, "top" and "bottom"; see `nn.codes` for the methods.

    The top is of what the bottom's encoder sees, halved once more; the bottom is of that and of
    what the top says of it; the image is of both.

    Attributes:
        hidden: channels of encoders and decoders.
        layers: residual blocks of each.
        residual: channels within them.
        halvings: so many times the bottom is halved against the image, the top once more.
        quantizer: a section of `nn.codebook.quantizer`, of each map.
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
        sizes = self.hidden, self.layers, self.residual
        self.top, self.bottom = quantizer(self.quantizer), quantizer(self.quantizer)
        dim = self.top.dim
        self.encoder = Encoder(*sizes, self.halvings, self.dropout)
        self.decoder = Decoder(*sizes, self.halvings, self.dropout)
        self.top_encoder = Encoder(*sizes, 1, self.dropout)
        self.top_decoder = Decoder(*sizes, 1, self.dropout)
        self.to_top, self.to_bottom = Conv(dim, (1, 1)), Conv(dim, (1, 1))
        self.enlarge = ConvTranspose(dim, (4, 4), 2)

    @nn.nowrap
    def maps(self, shape: tuple[int, ...]) -> dict[str, Map]:
        """`top` and `bottom`, of data [H, W, C]."""
        book, found = quantizer(self.quantizer), {}
        for name, shrink in (("top", 2 ** (self.halvings + 1)), ("bottom", 2**self.halvings)):
            height, width = (-(-n // shrink) for n in shape[:2])
            found[name] = Map(height, width, book.groups, book.codes)
        return found

    def __call__(self, x: Images, size: tuple[int, ...], train: bool = False) -> Coding:
        """[B, H, W, C] in [0, 1] to theta of shape `size`, and the codes."""
        found = self._codes(x, train)
        return Coding(self._theta(found["top"].q, found["bottom"].q, size, train), found)

    def encode(self, x: Images) -> dict[str, CodeMap]:
        """Ids, [B, h, w, G] of each map."""
        return {name: of.ids for name, of in self._codes(x, False).items()}

    def decode(self, ids: dict[str, CodeMap], size: tuple[int, ...]) -> Resized:
        """Theta of ids."""
        top, bottom = self.top.lookup(ids["top"]), self.bottom.lookup(ids["bottom"])
        return self._theta(top, bottom, size, False)

    def _codes(self, x: Images, train: bool) -> dict[str, Quantized]:
        below = self.encoder(2 * x - 1, train)
        top = self.top(self.to_top(self.top_encoder(below, train)), train)
        said = self.top_decoder(top.q, (*below.shape[:3], self.top.dim), train)
        both = jnp.concatenate([said, below], axis=-1)
        return {"top": top, "bottom": self.bottom(self.to_bottom(both), train)}

    def _theta(self, top: Images, bottom: Resized, size: tuple[int, ...], train: bool) -> Batched:
        larger = self.enlarge(top)[:, : bottom.shape[1], : bottom.shape[2]]
        return self.decoder(jnp.concatenate([larger, bottom], axis=-1), size, train)
