"""StyleGAN2: mapping, synthesis with skips, residual discriminator.

Source: Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN" (CVPR), figures
2 and 7 (configuration F), with the official code (NVlabs/stylegan2-ada-pytorch), whose parameter
counts these networks have. Images whose sides are not a power of two are made at the next one
and cut in the middle; the discriminator pads them back with zeros. `clamp` is `conv_clamp` there:
256 in official runs, which are in float16 and end at 65,504, and none in their option `--fp32`.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.nn.arrays import Codes, Images, LayerStyles, Logits, Resized, Styles
from jaxgen.nn.condition import Condition
from jaxgen.nn.stylegan import (
    AVERAGE_DECAY,
    NORMAL,
    EqualConv,
    EqualDense,
    Styled,
    StyledConv,
    ToImage,
    channels_at,
    remembered,
    unit_length,
    with_deviation,
)
from jaxgen.ops.growth import cut, padded, top_level
from jaxgen.ops.precision import narrow, wide
from jaxgen.ops.upfirdn import upsample


class Mapping(nn.Module):
    """z, and the class where there is one, to w.

    Attributes:
        style: width of w and of the layers.
        layers: dense ones.
        decay: of the mean of w, a training pass.
    """

    style: int
    layers: int
    decay: float = AVERAGE_DECAY

    @nn.compact
    def __call__(self, z: Codes, cond: Condition | None = None) -> Styles:
        """[B, latent] -> [B, style]; moves the mean of w where "moments" is mutable."""
        h = unit_length(z)
        if cond is not None:
            embedded = EqualDense(self.style, name="embed")(cond)
            h = jnp.concatenate([h, unit_length(embedded)], axis=-1)
        for i in range(self.layers):
            h = EqualDense(self.style, rate=0.01, active=True, name=f"layer{i}")(h)
        return remembered(self, h, self.decay)


class Generator(Styled):
    """z [B, latent] to images in [-1, 1], though nothing holds them there.

    Attributes:
        latent: width of z.
        style: width of w.
        layers: of the mapping.
        base: channels times side, as far as `most` allows.
        most: channels at low resolutions.
        clamp: the largest activation, of either sign; None for any.
        dtype: of the convolutions, as "bfloat16"; None is float32.
    """

    latent: int = 512
    style: int = 512
    layers: int = 8
    base: int = 32_768
    most: int = 512
    clamp: float | None = None
    dtype: str | None = None

    def setup(self) -> None:
        """Names the mapping; layers of the synthesis are named by their side."""
        self.mapping = Mapping(self.style, self.layers)
        self.synthesis = Synthesis(self.base, self.most, self.clamp, self.dtype)

    def num_styles(self, size: tuple[int, ...]) -> int:
        """How many w images of a size take."""
        return 2 * top_level(size[1:3]) - 2


class Synthesis(nn.Module):
    """A constant, convolutions, and images of all resolutions added up.

    Attributes:
        base: channels times side, as far as `most` allows.
        most: channels at low resolutions.
        clamp: the largest activation, of either sign; None for any.
        dtype: of the convolutions; None is float32.
    """

    base: int
    most: int
    clamp: float | None = None
    dtype: str | None = None

    @nn.compact
    def __call__(self, styles: LayerStyles, size: tuple[int, ...], noise: str) -> Images:
        """[B, num, style] -> `size`."""
        num, colours, level = size[0], size[3], top_level(size[1:3])
        if styles.shape[1] != 2 * level - 2:
            raise ValueError(f"{styles.shape[1]} styles, expected {2 * level - 2} for {size}")
        first = channels_at(4, self.base, self.most)
        constant = self.param("constant", NORMAL, (4, 4, first))
        x = narrow(jnp.broadcast_to(constant[None], (num, 4, 4, first)), self.dtype)
        x = StyledConv(first, clamp=self.clamp, name="conv4")(x, styles[:, 0], noise)
        image = wide(ToImage(colours, self.clamp, name="image4")(x, styles[:, 1]))
        for i in range(3, level + 1):
            side, at = 2**i, 2 * i - 5
            features = channels_at(side, self.base, self.most)
            x = StyledConv(features, True, self.clamp, name=f"up{side}")(x, styles[:, at], noise)
            layer = StyledConv(features, clamp=self.clamp, name=f"conv{side}")
            x = layer(x, styles[:, at + 1], noise)
            layer = ToImage(colours, self.clamp, name=f"image{side}")
            image = upsample(image) + layer(x, styles[:, at + 2])
        return cut(image, (size[1], size[2]))


class Discriminator(nn.Module):
    """Images to logits; with a class, the projection on its embedding.

    Attributes:
        base: channels times side, as far as `most` allows.
        most: channels at low resolutions.
        group: examples whose deviation is looked at together; None for the whole batch.
        style: width of the class's embedding.
        layers: of its mapping.
        residual: with skips around every two convolutions; without them it is the "orig" of the
            official code, which is that of its CIFAR-10 runs.
        clamp: the largest activation, of either sign; None for any.
        dtype: of the convolutions, as "bfloat16"; None is float32.
    """

    base: int = 32_768
    most: int = 512
    group: int | None = 4
    style: int = 512
    layers: int = 8
    residual: bool = True
    clamp: float | None = None
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        level = top_level(x.shape[1:3])
        features = channels_at(2**level, self.base, self.most)
        h = narrow(padded(x, 2**level), self.dtype)
        h = EqualConv(features, 1, clamp=self.clamp, name="image")(h)
        for i in range(level, 2, -1):
            h = self._halved(h, 2**i, channels_at(2 ** (i - 1), self.base, self.most))
        last = EqualConv(h.shape[-1], clamp=self.clamp, name="last")
        h = wide(last(with_deviation(h, self.group)))
        h = EqualDense(h.shape[-1], active=True, name="dense")(h.reshape(h.shape[0], -1))
        if cond is None:
            return EqualDense(1, name="logit")(h)[:, 0]
        # as in the official code, the class alone goes through a mapping of its own
        c = unit_length(EqualDense(self.style, name="embed")(cond))
        for i in range(self.layers):
            c = EqualDense(self.style, rate=0.01, active=True, name=f"layer{i}")(c)
        logits = EqualDense(self.style, name="logit")(h)
        return jnp.sum(logits * c, axis=-1) / math.sqrt(self.style)

    def _halved(self, x: Images, side: int, features: int) -> Resized:
        """Two convolutions of images of a side, the second of which halves them."""
        gain = math.sqrt(0.5) if self.residual else 1.0
        h = EqualConv(x.shape[-1], clamp=self.clamp, name=f"conv{side}")(x)
        down = EqualConv(features, down=True, gain=gain, clamp=self.clamp, name=f"down{side}")
        if not self.residual:
            return down(h)
        skip = EqualConv(
            features, 1, True, use_bias=False, active=False, gain=gain, name=f"skip{side}"
        )
        return skip(x) + down(h)
