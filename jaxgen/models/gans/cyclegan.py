"""Translators of images between two domains, there and back, and the judges of both.

Source: Zhu et al. 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks" (ICCV), appendix 7.2: the residual generator of Johnson et al. 2016 with reflecting pads
and instance normalisation. Layers that halve or double have the paddings of the PyTorch code
(junyanz/pytorch-CycleGAN-and-pix2pix): 1 of zeros, and one more below and right where they double.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.models.gans.patchgan import PatchDiscriminator
from jaxgen.nn.arrays import Images, Resized
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.instance_norm import instance_norm
from jaxgen.values import Natural

INIT = nn.initializers.normal(0.02)
Maps = Float[Array, "b h2 w2"]


class Generator(nn.Module):
    """Images to images of the same size in [-1, 1]; without halvings of any size.

    Attributes:
        width: channels of the first layer; each halving doubles them.
        blocks: residual blocks; the paper has 6 for sides of 128, 9 from 256 on.
        halvings: of the sides, on the way in, and doublings on the way out.
        kernel: side of the first and the last kernel.
    """

    width: int = 64
    blocks: int = 9
    halvings: Natural = 2
    kernel: int = 7

    @nn.compact
    def __call__(self, x: Images, channels: int) -> Resized:
        """[B, H, W, C] -> [B, H, W, channels].

        Raises:
            ValueError: for sides that cannot be halved so often, or are too small to be reflected.
        """
        self._check(x)
        features = self.features(x)
        return jnp.tanh(Reflected(channels, self.kernel, name="last")(features))

    def features(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H, W, width]: all but the last layer. In a compact method alone."""
        h = nn.relu(instance_norm(Reflected(self.width, self.kernel, name="first")(x)))
        for i in range(self.halvings):
            width = self.width * 2 ** (i + 1)
            h = Conv(
                width, (3, 3), 2, padding=((1, 1), (1, 1)), kernel_init=INIT, name=f"down_{i}"
            )(h)
            h = nn.relu(instance_norm(h))
        for i in range(self.blocks):
            h = Block(name=f"block_{i}")(h)
        for i in reversed(range(self.halvings)):
            h = ConvTranspose(
                self.width * 2**i, (3, 3), 2, ((1, 2), (1, 2)), kernel_init=INIT, name=f"up_{i}"
            )(h)
            h = nn.relu(instance_norm(h))
        return h

    def _check(self, x: Images) -> None:
        part, least = 2**self.halvings, self.kernel // 2 + 1
        if any(side % part for side in x.shape[1:3]) or min(x.shape[1:3]) < max(least, 2 * part):
            raise ValueError(
                f"images of {x.shape[1]}x{x.shape[2]}: expected sides that are multiples of {part} "
                f"and {max(least, 2 * part)} or more"
            )


class Block(nn.Module):
    """x + two convolutions of 3x3, of as many channels."""

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] to the same."""
        h = nn.relu(instance_norm(Reflected(x.shape[-1], 3, name="conv_0")(x)))
        return x + instance_norm(Reflected(x.shape[-1], 3, name="conv_1")(h))


class Generators(nn.Module):
    """Two generators, alike but for their weights; see `Generator`.

    Attributes:
        width: of each.
        blocks: of each.
        halvings: of each.
        kernel: of each.
    """

    width: int = 64
    blocks: int = 9
    halvings: Natural = 2
    kernel: int = 7

    @nn.compact
    def __call__(self, x: Images, to: str, channels: int) -> Resized:
        """[B, H, W, C] -> [B, H, W, channels], an image of the domain `to`."""
        parts = self.width, self.blocks, self.halvings, self.kernel
        return Generator(*parts, name=f"to_{to}")(x, channels)


class Discriminators(nn.Module):
    """Two discriminators, alike but for their weights; see `patchgan.PatchDiscriminator`.

    Attributes:
        width: of each.
        layers: of each.
        norm: of each.
    """

    width: int = 64
    layers: int = 3
    norm: str = "instance"

    @nn.compact
    def __call__(self, x: Images, of: str) -> Maps:
        """[B, H, W, C] -> [B, h, w], logits of the domain `of`."""
        return PatchDiscriminator(self.width, self.layers, self.norm, name=f"of_{of}")(x)


class Reflected(nn.Module):
    """A convolution whose border is the image in a mirror.

    Attributes:
        features: channels out.
        kernel: its side, odd.
    """

    features: int
    kernel: int

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H, W, features]."""
        pad = self.kernel // 2
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)), mode="reflect")
        conv = Conv(self.features, (self.kernel,) * 2, padding="VALID", kernel_init=INIT)
        return conv(x)
