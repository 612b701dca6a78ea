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

from jaxgen.models.gans.progan import blurred, grown, kernel, picture
from jaxgen.models.gans.stylegan2 import AVERAGE_DECAY, channels_at
from jaxgen.nn.stylegan import GAIN, LEAST, Biased, EqualDense, unit_length
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
    def __call__(self, z: Any, cond: Any = None) -> Any:
        """[B, latent] -> [B, style]; moves the mean of w where "moments" is mutable."""
        if cond is not None:
            init = nn.initializers.normal(1.0)
            rows = self.param("classes", init, (cond.shape[-1], z.shape[-1]))
            z = jnp.concatenate([z, cond @ rows], axis=-1)
        h = unit_length(z)
        for i in range(self.layers):
            h = GAIN * EqualDense(self.style, 0.01, use_bias=False, name=f"layer{i}")(h)
            h = Biased(0.01, name=f"bias{i}")(h)
        mean = self.variable("moments", "mean", jnp.zeros, (self.style,))
        if self.is_mutable_collection("moments") and not self.is_initializing():
            mean.value = AVERAGE_DECAY * mean.value + (1 - AVERAGE_DECAY) * jnp.mean(h, axis=0)
        return h


def adain(x: Any, scale: Any, shift: Any) -> Any:
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
    def __call__(self, x: Any, w: Any, noise: str) -> Any:
        """[B, H, W, C] and w [B, style] -> [B, H, W, C].

        Args:
            x: images.
            w: of the style.
            noise: "random" draws it from the stream "noise", "const" takes that of the
                initialisation, "none" adds none.
        """
        b, height, width, channels = x.shape
        strength = self.param("strength", nn.initializers.zeros, (channels,)).reshape(1, 1, 1, -1)
        kept = self.variable(
            "constants",
            "noise",
            lambda: jax.random.normal(self.make_rng("params"), (1, height, width, 1)),
        )
        if noise == "random":
            x += strength * jax.random.normal(self.make_rng("noise"), (b, height, width, 1))
        elif noise == "const":
            x += strength * kept.value
        elif noise != "none":
            raise ValueError(f"noise={noise!r}, expected 'random', 'const' or 'none'")
        style = EqualDense(2 * channels, name="affine")(w)
        scale, shift = jnp.split(style, 2, axis=-1)
        return adain(Biased(name="bias")(x), 1 + scale, shift)


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1], though nothing holds them there.

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

    def __call__(
        self,
        z: Any,
        size: tuple[int, ...],
        cond: Any = None,
        noise: str = "random",
        alpha: Any = 1.0,
    ) -> Any:
        """[B, latent] -> `size`, one w for all layers; `alpha` as of `progan.Generator`."""
        return self.synthesize(self.spread(self.map(z, cond), size), size, noise, alpha)

    def map(self, z: Any, cond: Any = None) -> Any:
        """z [B, latent] to w [B, style]."""
        return self.mapping(z, cond)

    def spread(self, w: Any, size: tuple[int, ...]) -> Any:
        """w [B, style] to one for every layer, [B, num, style]."""
        num = self.num_styles(size)
        return jnp.broadcast_to(w[:, None], (len(w), num, w.shape[-1]))

    def num_styles(self, size: tuple[int, ...]) -> int:
        """How many w images of a size take: two at each level."""
        return 2 * (self.level or top_level(size[1:3])) - 2

    def synthesize(
        self, styles: Any, size: tuple[int, ...], noise: str = "random", alpha: Any = 1.0
    ) -> Any:
        """w of every layer, [B, num, style], to images of `size`; see `Epilogue` for noise."""
        return self.synthesis(styles, size, noise, alpha)


class Synthesis(nn.Module):
    """A constant, convolutions, and the images of the last two levels.

    Attributes:
        base: and
        most: and
        level: as of the generator.
    """

    base: int
    most: int
    level: int | None

    @nn.compact
    def __call__(self, styles: Any, size: tuple[int, ...], noise: str, alpha: Any) -> Any:
        """[B, num, style] -> `size`."""
        num, colours, level = size[0], size[3], self.level or top_level(size[1:3])
        if styles.shape[1] != 2 * level - 2:
            raise ValueError(f"{styles.shape[1]} styles, expected {2 * level - 2} at level {level}")
        old = image = None
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
