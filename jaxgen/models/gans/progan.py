"""ProGAN: players whose images grow, with pixelwise normalisation and equalised learning rates.

Source: Karras et al. 2018, "Progressive Growing of GANs for Improved Quality, Stability, and
Variation" (ICLR), section 4 and table 2, with the official code (tkarras/
progressive_growing_of_gans, `networks.py`). Where they differ we follow the code: halving comes
before bias and rectifier. Classes are those of the first StyleGAN (the logit of the class,
Mescheder et al. 2018) and not of an auxiliary classifier. Images whose sides are not a power of two
are made at the next one and cut in the middle; the discriminator pads them back with zeros.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Codes, Images, Logits, Resized
from jaxgen.nn.condition import Condition, beside
from jaxgen.nn.stylegan import (
    GAIN,
    Biased,
    EqualConv,
    EqualDense,
    channels_at,
    unit_length,
    with_deviation,
)
from jaxgen.ops.growth import cut, enlarged, faded, padded, shrunk, top_level
from jaxgen.ops.upfirdn import upfirdn

BLUR = (0.25, 0.5, 0.25)  # of the first StyleGAN


def blurred(x: Images) -> Images:
    """[B, H, W, C] -> the same, through `BLUR`, with zeros around."""
    return upfirdn(x, BLUR, pad=(1, 1))


def kernel(features: int, size: int = 3, name: str = "kernel") -> EqualConv:
    """He's convolution, without bias or rectifier."""
    return EqualConv(features, size, use_bias=False, active=False, gain=GAIN, name=name)


def picture(colours: int, side: int) -> EqualConv:
    """To the colours of an image."""
    return EqualConv(colours, 1, active=False, name=f"image{side}")


def grown(x: Images, size: tuple[int, ...]) -> Resized:
    """An image of a level, [B, 2^level, 2^level, C], at the size of the data [B, H, W, C]."""
    return cut(enlarged(x, 2 ** top_level(size[1:3]) // x.shape[1]), (size[1], size[2]))


class Layer(nn.Module):
    """Convolution, bias, rectifier.

    Attributes:
        features: channels out.
        size: side of the kernel.
        down: halve the image, between convolution and bias.
        blur: it before the convolution, where it is halved.
    """

    features: int
    size: int = 3
    down: bool = False
    blur: bool = False

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', features]."""
        y = kernel(self.features, self.size)(blurred(x) if self.down and self.blur else x)
        return Biased(name="bias")(shrunk(y, 2) if self.down else y)


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1], though nothing holds them there.

    Attributes:
        latent: width of z.
        base: channels times side, as far as `most` allows.
        most: channels at low resolutions.
        level: binary logarithm of the side at which images are made, before they are enlarged to
            the size of the data; None for that of the data.
    """

    latent: int = 512
    base: int = 16_384
    most: int = 512
    level: int | None = None

    @nn.compact
    def __call__(
        self,
        z: Codes,
        size: tuple[int, ...],
        cond: Condition | None = None,
        alpha: Array | float = 1.0,
    ) -> Images:
        """[B, latent] -> `size`; `alpha` is the share of the level, the rest is of the one below.

        Initialisation makes the parameters of all levels.
        """
        num, colours, level = size[0], size[3], self.level or top_level(size[1:3])
        first = channels_at(4, self.base, self.most)
        h = unit_length(beside(z, cond))
        h = (GAIN / 4) * EqualDense(16 * first, use_bias=False, name="dense")(h)
        h = unit_length(Biased(name="bias")(h.reshape(num, 4, 4, first)))
        h = unit_length(Layer(first, name="conv4")(h))
        old: Any = None
        image: Any = picture(colours, 4)(h) if level < 4 or self.is_initializing() else None
        for i in range(3, level + 1):
            side, features = 2**i, channels_at(2**i, self.base, self.most)
            h = unit_length(Layer(features, name=f"up{side}")(enlarged(h, 2)))
            h = unit_length(Layer(features, name=f"conv{side}")(h))
            if i >= level - 1 or self.is_initializing():
                old, image = image, picture(colours, side)(h)
        if level > 2:
            image = faded(enlarged(old, 2), image, alpha)
        return grown(image, size)


class Discriminator(nn.Module):
    """Images to logits; with a class, the logit of that class.

    Attributes:
        base: channels times side, as far as `most` allows.
        most: channels at low resolutions.
        group: examples whose deviation is looked at together; None for the whole batch.
        blur: before images are halved, as the first StyleGAN does.
        level: binary logarithm of the side to which images are shrunk first; None for that of the
            data.
    """

    base: int = 16_384
    most: int = 512
    group: int | None = 4
    blur: bool = False
    level: int | None = None

    @nn.compact
    def __call__(
        self, x: Images, cond: Condition | None = None, alpha: Array | float = 1.0
    ) -> Logits:
        """[B, H, W, C] -> [B]; `alpha` as of the generator."""
        top = top_level(x.shape[1:3])
        level = self.level or top
        x = shrunk(padded(x, 2**top), 2 ** (top - level))
        h = Layer(channels_at(2**level, self.base, self.most), 1, name=f"image{2**level}")(x)
        for i in range(level, 2, -1):
            side, features = 2**i, channels_at(2 ** (i - 1), self.base, self.most)
            h = Layer(h.shape[-1], name=f"conv{side}")(h)
            h = Layer(features, down=True, blur=self.blur, name=f"down{side}")(h)
            if i == level or self.is_initializing():
                x = shrunk(x, 2)
                old = Layer(features, 1, name=f"image{side // 2}")(x)
                h = faded(old, h, alpha) if i == level else h
        h = Layer(h.shape[-1], name="last")(with_deviation(h, self.group))
        width = channels_at(2, self.base, self.most)
        h = GAIN * EqualDense(width, use_bias=False, name="dense")(h.reshape(h.shape[0], -1))
        h = Biased(name="bias")(h)
        if cond is None:
            return EqualDense(1, name="logit")(h)[:, 0]
        return jnp.sum(EqualDense(cond.shape[-1], name="logit")(h) * cond, axis=-1)
