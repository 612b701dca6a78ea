"""The autoencoder of latent diffusion: the VQGAN's networks around a map of normal latents.

Source: Rombach et al. 2022, "High-Resolution Image Synthesis with Latent Diffusion Models" (CVPR),
section 3.1 and appendix G, "KL-reg."; the official code (CompVis/latent-diffusion).
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.vaes.vqgan import Decoder, Encoder
from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.conv import Conv
from jaxgen.nn.latents import Normal

LOG_STD = (-15.0, 10.0)  # bounds of the posterior's


class KLAutoencoder(nn.Module):
    """A map of normal latents, [B, h, w, latent], and an image of it, about [-1, 1].

    Attributes:
        width: channels of the first convolution.
        multipliers: of it, a level each; between levels an image is halved.
        blocks: of each level; the decoder has one more.
        attention: heights of maps with attention; the smallest always has it.
        latent: channels of the latents.
        dropout: of the blocks.
    """

    width: int = 128
    multipliers: Sequence[int] = (1, 2, 4, 4)
    blocks: int = 2
    attention: Sequence[int] = ()
    latent: int = 4
    dropout: float = 0.0

    last = ("decoder", "last", "kernel")  # of the params: what adaptive weights look at

    def setup(self) -> None:
        """Names the networks."""
        sizes = self.width, self.multipliers, self.blocks, self.attention
        self.encoder = Encoder(*sizes, 2 * self.latent, self.dropout)
        self.decoder = Decoder(*sizes, self.dropout)
        self.to_moments = Conv(2 * self.latent, (1, 1))
        self.from_latents = Conv(self.latent, (1, 1))

    @nn.nowrap
    def latent_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """Of data [H, W, C].

        Raises:
            ValueError: for sizes that cannot be halved so often.
        """
        levels, (height, width) = len(self.multipliers), shape[:2]
        shrink = 2 ** (levels - 1)
        if height % shrink or width % shrink:
            raise ValueError(
                f"images of {height}x{width} cannot be halved between {levels} levels: expected "
                f"multiples of {shrink}"
            )
        return height // shrink, width // shrink, self.latent

    def __call__(self, x: Images, train: bool = False) -> tuple[Batched, Normal]:
        """[B, H, W, C] in [-1, 1] to an image of the posterior's mean, in training of a draw.

        A draw takes a key from the stream "latent".
        """
        found = self.posterior(x, train)
        z = found.sample(self.make_rng("latent")) if train else found.mean
        return self.decode(z, x.shape, train), found

    def posterior(self, x: Images, train: bool = False) -> Normal:
        """Of the latents, [B, h, w, latent]."""
        mean, log_variance = jnp.split(self.to_moments(self.encoder(x, train)), 2, axis=-1)
        return Normal(mean, jnp.clip(log_variance / 2, *LOG_STD))

    def decode(self, z: Images, size: tuple[int, ...], train: bool = False) -> Resized:
        """The image of latents, of shape `size`."""
        return self.decoder(self.from_latents(z), size, train)
