"""The coarse-to-fine generator of pix2pixHD: a residual generator, and an enhancer around it.

Source: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with
Conditional GANs" (CVPR), sections 3.1 and 3.3, appendix 6; paddings are those of NVIDIA/pix2pixHD.
The enhancer's features at half the size are added to those of the residual generator before its
last layer. An encoder may give it, beside what it is given, features of every object.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.gans.cyclegan import INIT, Block, Reflected
from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.gan_layers import shrunk
from jaxgen.nn.instance_norm import instance_norm
from jaxgen.ops.parts import Parts, means
from jaxgen.values import Natural


class Generator(nn.Module):
    """What is given [B, H, W, K] to images in [-1, 1] of the same size.

    Attributes:
        width: channels of the residual generator's first layer; each halving doubles them.
        halvings: of its sides.
        blocks: of it.
        enhancer_blocks: of the enhancer, which has half the width; 0 for none: then the residual
            generator makes the image by itself. With it, it sees the half of the size, and has a
            last layer of its own for a first phase of training, see `methods.coarse_to_fine`.
        features: channels that an encoder gives for each object; 0 for none. See
            `methods.instance_features`.
        feature_width: see `Encoder`.
        feature_halvings: see `Encoder`.
        latent: none.
    """

    width: int = 64
    halvings: int = 4
    blocks: int = 9
    enhancer_blocks: Natural = 0
    features: Natural = 0
    feature_width: int = 16
    feature_halvings: Natural = 4
    latent = 0

    def setup(self) -> None:
        """Makes the encoder."""
        if self.features:
            self.encoder = Encoder(self.features, self.feature_width, self.feature_halvings)

    def encode(self, x: Images, parts: Parts) -> Resized:
        """Images, and of which part each pixel is -> [B, H, W, features], the means of the parts.

        Raises:
            ValueError: for sides that the encoder cannot halve so often.
        """
        return means(self.encoder(x), parts)

    @nn.compact
    def __call__(
        self, cond: Images, channels: int, z: Batched | None = None, coarse: bool = False
    ) -> Resized:
        """[B, H, W, K] -> [B, H, W, channels].

        Args:
            cond: what is given; for `coarse` of half of the size.
            channels: of the images.
            z: features [B, H, W, features], of the size of `cond`; None are zeros.
            coarse: make the images of the residual generator alone, where there is an enhancer.

        Raises:
            ValueError: for sides that cannot be halved so often.
        """
        times = self.halvings + (bool(self.enhancer_blocks) and not coarse)
        part = 2**times
        if any(side % part or side < 2 * part for side in cond.shape[1:3]):
            raise ValueError(
                f"images of {cond.shape[1]}x{cond.shape[2]} cannot be halved {times} times: "
                f"expected multiples of {part}, {2 * part} or more"
            )
        if self.features:
            size = cond.shape[:3]
            if self.is_initializing():
                self.encoder(jnp.zeros((*size, channels)))
            z = jnp.zeros((*size, self.features), cond.dtype) if z is None else z
            cond = jnp.concatenate([cond, z], axis=-1)
        residual = Residual(self.width, self.halvings, self.blocks, name="coarse")
        if not self.enhancer_blocks:
            return jnp.tanh(Reflected(channels, 7, name="last")(residual(cond)))
        features = residual(cond if coarse else shrunk(cond))
        image = jnp.tanh(Reflected(channels, 7, name="last_coarse")(features))
        if coarse:
            return image
        fine = Reflected(self.width // 2, 7, name="first")(cond)
        h = down(nn.relu(instance_norm(fine)), self.width, "down") + features
        for i in range(self.enhancer_blocks):
            h = Block(name=f"block_{i}")(h)
        h = up(h, self.width // 2, "up")
        return jnp.tanh(Reflected(channels, 7, name="last")(h))


class Encoder(nn.Module):
    """Images [B, H, W, C] to features of each pixel, [B, H, W, features] in [-1, 1].

    Attributes:
        features: channels out.
        width: channels of the first layer; each halving doubles them.
        halvings: of the sides, and doublings after.
    """

    features: int = 3
    width: int = 16
    halvings: Natural = 4

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H, W, features].

        Raises:
            ValueError: for sides that cannot be halved so often.
        """
        part = 2**self.halvings
        if any(side % part or side < 2 * part for side in x.shape[1:3]):
            raise ValueError(
                f"images of {x.shape[1]}x{x.shape[2]}: the encoder of features halves them "
                f"{self.halvings} times: expected multiples of {part}, {2 * part} or more"
            )
        h = Residual(self.width, self.halvings, 0, name="body")(x)
        return jnp.tanh(Reflected(self.features, 7, name="last")(h))


class Residual(nn.Module):
    """The residual generator without its last layer.

    Attributes:
        width: channels of the first layer.
        halvings: of the sides.
        blocks: in the middle.
    """

    width: int
    halvings: int
    blocks: int

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, K] -> [B, H, W, width]."""
        h = nn.relu(instance_norm(Reflected(self.width, 7, name="first")(x)))
        for i in range(self.halvings):
            h = down(h, self.width * 2 ** (i + 1), f"down_{i}")
        for i in range(self.blocks):
            h = Block(name=f"block_{i}")(h)
        for i in reversed(range(self.halvings)):
            h = up(h, self.width * 2**i, f"up_{i}")
        return h


def down(x: Images, width: int, name: str) -> Resized:
    """Half the size. In a compact method alone."""
    pad = ((1, 1), (1, 1))
    x = Conv(width, (3, 3), 2, padding=pad, kernel_init=INIT, name=name)(x)
    return nn.relu(instance_norm(x))


def up(x: Images, width: int, name: str) -> Resized:
    """Twice the size. In a compact method alone."""
    x = ConvTranspose(width, (3, 3), 2, ((1, 2), (1, 2)), kernel_init=INIT, name=name)(x)
    return nn.relu(instance_norm(x))
