"""StackGAN's second stage: a larger picture of a text from a small one, which it corrects.

Source: Zhang et al. 2017, StackGAN: Text to photo-realistic image synthesis with stacked generative
adversarial networks (arXiv:1612.03242), section 3.4 and the implementation details of 3.5, with the
official code's layers (stageII/model.py of hanzhanggit/StackGAN): no convolution has a bias, and
both read the text itself, not the first stage's code of it. Kernels begin as there; scales of the
batch normalisation begin at one, not near it.
"""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.models.gans.stackgan import LEAST, SLOPE, Augmentation, Painted, Texts
from jaxgen.nn.arrays import Images, Resized
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.condition import beside
from jaxgen.nn.conv import Conv
from jaxgen.nn.gan_layers import doubled

HALVINGS = 2  # of the small picture, before its features meet the text
WIDEST = 8  # the discriminator's last features, in its width, and its shallow ones' most
TRUNCATED = nn.initializers.truncated_normal(0.02)


def conv(channels: int, side: int, name: str, stride: int = 1, padding: str = "SAME") -> Conv:
    """A convolution without a bias."""
    return Conv(
        channels,
        (side, side),
        (stride, stride),
        padding,
        use_bias=False,
        kernel_init=TRUNCATED,
        name=name,
    )


class Normed(nn.Module):
    """A convolution and batch normalisation.

    Attributes:
        channels: that come out.
        side: of the kernel.
        stride: of the convolution.
    """

    channels: int
    side: int = 3
    stride: int = 1

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H / stride, W / stride, channels]."""
        return BatchNorm(name="norm")(conv(self.channels, self.side, "conv", self.stride)(x))


class Residual(nn.Module):
    """x plus two 3x3, rectified."""

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] -> the same."""
        h = jax.nn.relu(Normed(x.shape[-1], name="first")(x))
        return jax.nn.relu(x + Normed(x.shape[-1], name="second")(h))


class Generator(nn.Module):
    """A picture and its text to a larger one in [-1, 1]; there is no new z.

    Attributes:
        width: channels of the first features; those that meet the text are four times as many, and
            each doubling has half as many as the one before.
        code: width of the text's code.
        residual: blocks where picture and text have met.
    """

    width: int = 128
    code: int = 128
    residual: int = 4

    @nn.compact
    def painted(self, low: Images, size: tuple[int, ...], text: Texts) -> Painted:
        """The picture of `size` [B, H, W, C], of a small one [B, h, w, C] and texts.

        Raises:
            ValueError: for a size that is not the small one's times a power of two, or too small.
        """
        small, large = low.shape[1:3], tuple(size[1:3])
        times = int(math.log2(max(large[0] // small[0], 1)))
        if any(n % 2**HALVINGS for n in small) or large != tuple(n << times for n in small):
            raise ValueError(
                f"StackGAN's second stage: images of {large[0]}x{large[1]} from {small[0]}x"
                f"{small[1]}, expected a multiple of {2**HALVINGS}, and that times a power of two: "
                "data.size"
            )
        code, mean, log_var = Augmentation(self.code, "leaky", name="augmentation")(text)
        channels = self.width
        h = jax.nn.relu(conv(channels, 3, "picture")(low))
        for i in range(HALVINGS):
            channels *= 2
            h = jax.nn.relu(Normed(channels, 4, 2, name=f"down_{i}")(h))
        h = jax.nn.relu(Normed(channels, name="joint")(beside(h, code)))
        for i in range(self.residual):
            h = Residual(name=f"residual_{i}")(h)
        for i in range(HALVINGS + times):
            channels = max(channels // 2, 1)
            h = jax.nn.relu(Normed(channels, name=f"up_{i}")(doubled(h)))
        image = jnp.tanh(conv(size[3], 3, "image")(h))
        return Painted((image,), mean, log_var)


class Discriminator(nn.Module):
    """Pictures to logits of whether they are real and of their text.

    Convolutions of stride two down to 4x4, 1x1 ones that bring their channels back, a residual
    block, and the text beside it.

    Attributes:
        width: channels of the first convolution.
        code: width of what it makes of a text.
    """

    width: int = 64
    code: int = 128

    @nn.compact
    def __call__(
        self, images: tuple[Array, ...], text: Texts
    ) -> tuple[tuple[Array, Array | None], ...]:
        """One picture [B, H, W, C], and texts, to one pair: the logit [B], and none without text.

        Raises:
            ValueError: for a picture that is no square of 8 times a power of two.
        """
        (x,) = images
        halvings = int(math.log2(max(x.shape[1] // LEAST, 1)))
        if x.shape[1] != x.shape[2] or LEAST << halvings != x.shape[1] or not halvings:
            raise ValueError(
                f"StackGAN's second stage: images of {x.shape[1]}x{x.shape[2]}, expected a square "
                f"of {2 * LEAST} times a power of two: data.size"
            )
        channels = self.width
        h = jax.nn.leaky_relu(conv(channels, 4, "picture", 2)(x), SLOPE)
        for i in range(1, halvings):
            channels *= 2
            h = jax.nn.leaky_relu(Normed(channels, 4, 2, name=f"down_{i}")(h), SLOPE)
        while channels > WIDEST * self.width:
            channels //= 2
            h = Normed(channels, 1, name=f"narrow_{channels}")(h)
            h = jax.nn.leaky_relu(h, SLOPE) if channels > WIDEST * self.width else h
        inner = max(channels // 4, 1)
        rest = jax.nn.leaky_relu(Normed(inner, 1, name="first")(h), SLOPE)
        rest = jax.nn.leaky_relu(Normed(inner, name="second")(rest), SLOPE)
        h = jax.nn.leaky_relu(h + Normed(channels, name="third")(rest), SLOPE)
        code = jax.nn.leaky_relu(
            nn.Dense(self.code, kernel_init=TRUNCATED, name="text")(text), SLOPE
        )
        h = jax.nn.leaky_relu(Normed(channels, 1, name="joint")(beside(h, code)), SLOPE)
        return ((conv(1, LEAST, "matching", padding="VALID")(h)[:, 0, 0, 0], None),)
