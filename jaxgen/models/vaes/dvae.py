"""The discrete VAE of DALL-E: logits of codes at every position, drawn by Gumbel-softmax.

Source: Ramesh et al. 2021, "Zero-Shot Text-to-Image Generation" (ICML), section 2.1 and appendix A;
networks of the official code (openai/DALL-E), which has no training in it. There a 1x1 convolution
takes one-hot codes; here that is a table of vectors and a bias.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.codes import Coding, GumbelCodebook, Map
from jaxgen.nn.conv import Conv

CodeMap = Int[Array, "b rows columns groups"]
INIT = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
EPS = 0.1  # of the observation: pixels come as it maps them


class Block(nn.Module):
    """x, by a 1x1 where widths differ, and four convolutions after a ReLU each, scaled down.

    Attributes:
        features: of the output; a quarter of them within.
        kernels: of the four.
        gain: of their output.
    """

    features: int
    kernels: tuple[int, ...]
    gain: float

    @nn.compact
    def __call__(self, x: Images) -> Batched:
        """[B, H, W, C] -> [B, H, W, features]."""
        h = x
        for i, kernel in enumerate(self.kernels):
            width = self.features if i == len(self.kernels) - 1 else self.features // 4
            h = Conv(width, (kernel, kernel), kernel_init=INIT)(nn.relu(h))
        if x.shape[-1] != self.features:
            x = Conv(self.features, (1, 1), kernel_init=INIT, name="id_path")(x)
        return x + self.gain * h


class Encoder(nn.Module):
    """Groups of blocks, each twice as wide as the one before, with a maximum of 2x2 between them.

    Attributes:
        hidden: channels of the first group.
        groups: how many.
        blocks: of each.
        codes: logits of each position.
    """

    hidden: int
    groups: int
    blocks: int
    codes: int

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H / 2^(groups - 1), ..., codes]; sizes are rounded up."""
        gain = 1 / (self.groups * self.blocks) ** 2
        x = Conv(self.hidden, (7, 7), kernel_init=INIT)(x)
        for group in range(self.groups):
            if group:
                x = nn.max_pool(x, (2, 2), (2, 2), "SAME")
            for _ in range(self.blocks):
                x = Block(self.hidden * 2**group, (3, 3, 3, 1), gain)(x)
        return Conv(self.codes, (1, 1), kernel_init=INIT)(nn.relu(x))


class Decoder(nn.Module):
    """The encoder's groups in reverse, each doubled by its nearest neighbours.

    Attributes:
        hidden: channels of the last group.
        groups: how many.
        blocks: of each.
    """

    hidden: int
    groups: int
    blocks: int

    @nn.compact
    def __call__(self, x: Images, size: tuple[int, ...]) -> Batched:
        """Vectors of codes [B, h, w, C] to `size`, [B, H, W, width]."""
        gain = 1 / (self.groups * self.blocks) ** 2
        bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
        x = x + bias.reshape(1, 1, 1, -1)
        for group in reversed(range(self.groups)):
            for _ in range(self.blocks):
                x = Block(self.hidden * 2**group, (1, 3, 3, 3), gain)(x)
            if group:
                x = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        x = Conv(size[-1], (1, 1), kernel_init=INIT)(nn.relu(x))
        return x[:, : size[1], : size[2]]


class DVAE(nn.Module):
    """One map of codes; see `nn.codes` for the methods.

    Attributes:
        codes: K.
        hidden: channels of the widest maps of encoder and decoder.
        groups: so many; each but one halves an image.
        blocks: of each group.
        width: of the vectors of codes.
        hard: draws of training are one-hot.
    """

    codes: int = 8192
    hidden: int = 256
    groups: int = 4
    blocks: int = 2
    width: int = 128
    hard: bool = False

    tempered = True  # see `nn.codes.Tempered`

    def setup(self) -> None:
        """Names the networks."""
        sizes = self.hidden, self.groups, self.blocks
        self.encoder, self.decoder = Encoder(*sizes, self.codes), Decoder(*sizes)
        self.book = GumbelCodebook(self.codes, self.width, self.hard)

    @nn.nowrap
    def maps(self, shape: tuple[int, ...]) -> dict[str, Map]:
        """`codes`, of data [H, W, C]."""
        height, width = (-(-n // 2 ** (self.groups - 1)) for n in shape[:2])
        return {"codes": Map(height, width, 1, self.codes)}

    def __call__(
        self, x: Images, size: tuple[int, ...], train: bool = False, temperature: Any = 1.0
    ) -> Coding:
        """[B, H, W, C] in [0, 1] to theta of shape `size`, and codes drawn at the temperature."""
        found = self.book(self._logits(x), train, temperature)
        return Coding(self.decoder(found.q, size), {"codes": found})

    def encode(self, x: Images) -> dict[str, CodeMap]:
        """The likeliest ids, [B, h, w, 1]."""
        return {"codes": jnp.argmax(self._logits(x), axis=-1).astype(jnp.int32)[..., None]}

    def decode(self, ids: dict[str, CodeMap], size: tuple[int, ...]) -> Batched:
        """Theta of ids."""
        return self.decoder(self.book.lookup(ids["codes"]), size)

    def _logits(self, x: Images) -> Resized:
        return self.encoder((1 - 2 * EPS) * x + EPS)
