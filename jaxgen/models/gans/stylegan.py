"""StyleGAN, the first: a constant, noise and styles, grown as ProGAN is.

Source: Karras et al. 2019, "A Style-Based Generator Architecture for Generative Adversarial
Networks" (CVPR), sections 2 and 3.2 and appendix C, with the official code (NVlabs/stylegan,
`networks_stylegan.py`), whose parameter counts these networks have. The discriminator is
`progan.Discriminator` with `blur`. Images whose sides are not a power of two are made at the next
one and cut in the middle.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.models.gans.progan import blurred, grown, kernel, picture
from jaxgen.nn.arrays import Channels, Codes, Images, LayerStyles, Styles
from jaxgen.nn.condition import Condition
from jaxgen.nn.stylegan import (
    GAIN,
    LEAST,
    Biased,
    EqualDense,
    Styled,
    channels_at,
    noisy,
    remembered,
    unit_length,
)
from jaxgen.ops.growth import enlarged, faded, top_level


class Mapping(nn.Module):
    """z, and the class where there is one, to w.

    Attributes:
        style: width of w and of the layers.
        layers: dense ones.
    """

    style: int
    layers: int

    @nn.compact
    def __call__(self, z: Codes, cond: Condition | None = None) -> Styles:
        """[B, latent] -> [B, style]; moves the mean of w where "moments" is mutable."""
        if cond is not None:
            init = nn.initializers.normal(1.0)
            rows = self.param("classes", init, (cond.shape[-1], z.shape[-1]))
            z = jnp.concatenate([z, cond @ rows], axis=-1)
        h = unit_length(z)
        for i in range(self.layers):
            h = GAIN * EqualDense(self.style, 0.01, use_bias=False, name=f"layer{i}")(h)
            h = Biased(0.01, name=f"bias{i}")(h)
        return remembered(self, h)


def adain(x: Images, scale: Channels, shift: Channels) -> Images:
    """Each channel of each image at mean 0 and variance 1, then scaled and shifted.

    Source: Karras et al. 2019, equation 1.

    Args:
        x: [B, H, W, C].
        scale: [B, C].
        shift: [B, C].
    """
    x = x - jnp.mean(x, axis=(1, 2), keepdims=True)
    x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=(1, 2), keepdims=True) + LEAST)
    return x * scale[:, None, None] + shift[:, None, None]


class Epilogue(nn.Module):
    """Noise, bias, rectifier, style: what every convolution is followed by."""

    @nn.compact
    def __call__(self, x: Images, w: Styles, noise: str) -> Images:
        """[B, H, W, C] and w [B, style] -> [B, H, W, C].

        Args:
            x: images.
            w: of the style.
            noise: see `noisy`.
        """
        channels = x.shape[-1]
        x = noisy(self, x, noise, (channels,))
        style = EqualDense(2 * channels, name="affine")(w)
        scale, shift = jnp.split(style, 2, axis=-1)
        return adain(Biased(name="bias")(x), 1 + scale, shift)


class Generator(Styled):
    """z [B, latent] to images in [-1, 1], though nothing holds them there.

    Calls take `alpha`, as those of `progan.Generator`.

    Attributes:
        latent: width of z.
        style: width of w.
        layers: of the mapping.
        base: channels times side, as far as `most` allows.
        most: channels at low resolutions.
        level: binary logarithm of the side at which images are made, before they are enlarged to
            the size of the data; None for that of the data.
    """

    latent: int = 512
    style: int = 512
    layers: int = 8
    base: int = 16_384
    most: int = 512
    level: int | None = None

    def setup(self) -> None:
        """Names the mapping; layers of the synthesis are named by their side."""
        self.mapping = Mapping(self.style, self.layers)
        self.synthesis = Synthesis(self.base, self.most, self.level)

    def num_styles(self, size: tuple[int, ...]) -> int:
        """How many w images of a size take: two at each level."""
        return 2 * (self.level or top_level(size[1:3])) - 2


class Synthesis(nn.Module):
    """A constant, convolutions, and the images of the last two levels.

    Attributes:
        base: channels times side, as far as `most` allows.
        most: channels at low resolutions.
        level: binary logarithm of the side at which images are made; None for that of the data.
    """

    base: int
    most: int
    level: int | None

    @nn.compact
    def __call__(
        self, styles: LayerStyles, size: tuple[int, ...], noise: str, alpha: Array | float = 1.0
    ) -> Images:
        """[B, num, style] -> `size`."""
        num, colours, level = size[0], size[3], self.level or top_level(size[1:3])
        if styles.shape[1] != 2 * level - 2:
            raise ValueError(f"{styles.shape[1]} styles, expected {2 * level - 2} at level {level}")
        old: Any = None
        image: Any = None
        for i in range(2, level + 1):
            side, features = 2**i, channels_at(2**i, self.base, self.most)
            if i == 2:
                constant = self.param("constant", nn.initializers.ones, (4, 4, features))
                h = jnp.broadcast_to(constant[None], (num, 4, 4, features))
            else:
                h = blurred(kernel(features, name=f"up{side}")(enlarged(h, 2)))
            h = Epilogue(name=f"after_up{side}")(h, styles[:, 2 * i - 4], noise)
            h = kernel(features, name=f"conv{side}")(h)
            h = Epilogue(name=f"after_conv{side}")(h, styles[:, 2 * i - 3], noise)
            if i >= level - 1 or self.is_initializing():
                old, image = image, picture(colours, side)(h)
        if level > 2:
            image = faded(enlarged(old, 2), image, alpha)
        return grown(image, size)
