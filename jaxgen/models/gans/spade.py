"""The SPADE generator, also called GauGAN: a layout modulates every normalisation of features.

Source: Park et al. 2019, "Semantic Image Synthesis with Spatially-Adaptive Normalization" (CVPR),
sections 3 and 4, appendix A; NVlabs/SPADE for the shortcut, which has no activation, and the middle
width of a block. With a latent, an encoder finds the style of an image, as in section 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.models.gans.gan import leaky
from jaxgen.nn import batch_norm
from jaxgen.nn.arrays import Batched, Images, Resized, Rows
from jaxgen.nn.conv import Conv, conv
from jaxgen.nn.gan_layers import doubled
from jaxgen.nn.instance_norm import instance_norm
from jaxgen.nn.spectral_norm import Conv as SpectralConv
from jaxgen.nn.spectral_norm import Kernel, Vector
from jaxgen.values import Natural

INIT = nn.initializers.variance_scaling(0.02**2, "fan_avg", "normal")
HIDDEN = 128  # channels between layout and modulation


class Weights(nn.Module):
    """Kernel [3, 3, channels, features] and bias of a convolution, to be joined with another's.

    Attributes:
        features: channels out.
    """

    features: int

    @nn.compact
    def __call__(self, channels: int) -> tuple[Kernel, Vector]:
        """Of so many channels in."""
        kernel = self.param("kernel", INIT, (3, 3, channels, self.features))
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


class Spade(nn.Module):
    """Batch normalisation, then scale 1 + g(m) and shift b(m) of the layout m at every position.

    Attributes:
        hidden: channels between the layout and both.
    """

    hidden: int = HIDDEN

    @nn.compact
    def __call__(self, x: Images, layout: Batched) -> Images:
        """x [B, h, w, C], layout [B, H, W, K], of which the nearest pixels are taken."""
        x = batch_norm.BatchNorm(scaled=False, name="moments")(x)
        layout = nearest(layout, x.shape[1], x.shape[2])
        options: Any = dict(padding=((1, 1), (1, 1)), kernel_init=INIT)
        h = nn.relu(Conv(self.hidden, (3, 3), name="shared", **options)(layout))
        both = [Weights(x.shape[-1], name=name)(self.hidden) for name in ("gain", "shift")]
        kernel, bias = (jnp.concatenate(parts, axis=-1) for parts in zip(*both, strict=True))
        gain, shift = jnp.split(conv(h, kernel, padding=1) + bias[None, None, None], 2, axis=-1)
        return x * (1 + gain) + shift


class Block(nn.Module):
    """A residual block of two convolutions, whose shortcut is learnt where widths differ.

    Attributes:
        features: channels out.
        hidden: of `Spade`.
    """

    features: int
    hidden: int = HIDDEN

    @nn.compact
    def __call__(self, x: Images, layout: Batched) -> Resized:
        """[B, h, w, C] -> [B, h, w, features]."""
        wide, out = x.shape[-1], self.features
        middle = min(wide, out)
        h = leaky(Spade(self.hidden, name="spade_0")(x, layout), 0.2)
        h = SpectralConv(middle, kernel_init=INIT, name="conv_0")(h)
        h = leaky(Spade(self.hidden, name="spade_1")(h, layout), 0.2)
        h = SpectralConv(out, kernel_init=INIT, name="conv_1")(h)
        if wide != out:
            x = Spade(self.hidden, name="spade_s")(x, layout)
            x = SpectralConv(out, 1, False, INIT, name="conv_s")(x)
        return x + h


class Encoder(nn.Module):
    """An image to mean and log variance of its style.

    Attributes:
        latent: numbers of a style.
        width: channels of the first layer.
        halvings: of the sides, down to 4; the paper has 6, and so sees images at 256.
    """

    latent: int
    width: int = 64
    halvings: int = 6

    @nn.compact
    def __call__(self, x: Images) -> tuple[Rows, Rows]:
        """[B, H, W, C], brought to one size -> [B, latent] twice."""
        side = 4 * 2**self.halvings
        h = jax.image.resize(x, (x.shape[0], side, side, x.shape[-1]), "bilinear", antialias=False)
        for i in range(self.halvings):
            h = leaky(h, 0.2) if i else h
            width = self.width * min(2**i, 8)
            options: Any = dict(kernel_init=INIT, stride=2, padding=1, name=f"conv_{i}")
            h = SpectralConv(width, 3, False, **options)(h)
            h = instance_norm(h)
        h = leaky(h, 0.2).reshape(h.shape[0], -1)
        mean, log_var = (
            nn.Dense(self.latent, kernel_init=INIT, name=name)(h) for name in ("mean", "log_var")
        )
        return mean, log_var


class Generator(nn.Module):
    """What is given [B, H, W, K] to images in [-1, 1] of the same size.

    Attributes:
        width: channels of a multiplier of 1.
        multipliers: of the channels of each block.
        still: blocks, beside the first, before which the sides are not doubled.
        latent: numbers of a style; 0 for none: then the smallest map is made of the layout.
        encoder_width: see `Encoder`.
        encoder_halvings: see `Encoder`.
        hidden: channels between the layout and a modulation.
    """

    width: int = 64
    multipliers: Sequence[int] = (16, 16, 16, 8, 4, 2, 1)
    still: Sequence[int] = (2,)
    latent: Natural = 0
    encoder_width: int = 64
    encoder_halvings: int = 6
    hidden: int = HIDDEN

    def setup(self) -> None:
        """Makes the encoder."""
        if self.latent:
            self.encoder = Encoder(self.latent, self.encoder_width, self.encoder_halvings)

    def encode(self, x: Images) -> tuple[Rows, Rows]:
        """Mean and log variance of the style of images, [B, latent] each."""
        return self.encoder(x)

    @nn.compact
    def __call__(self, cond: Images, channels: int, z: Rows | None = None) -> Resized:
        """[B, H, W, K], and styles [B, latent] where there are any -> [B, H, W, channels].

        Raises:
            ValueError: for sides that the doublings do not reach; with styles, also for others than
                the network was made for.
        """
        doubles = [i > 0 and i not in self.still for i in range(len(self.multipliers))]
        part, (height, width) = 2 ** sum(doubles), cond.shape[1:3]
        if height % part or width % part:
            raise ValueError(
                f"images of {height}x{width}: {sum(doubles)} doublings reach multiples of {part}"
            )
        low, wide = (height // part, width // part), self.width * self.multipliers[0]
        if z is None:
            pad: Any = dict(padding=((1, 1), (1, 1)), kernel_init=INIT)
            h = Conv(wide, (3, 3), name="first", **pad)(nearest(cond, *low))
        else:
            self._check(low[0] * low[1] * wide, (height, width))
            h = nn.Dense(low[0] * low[1] * wide, kernel_init=INIT, name="first")(z)
            h = h.reshape(-1, *low, wide)
        if z is not None and self.is_initializing():
            self.encode(jnp.zeros((len(cond), height, width, channels)))
        for i, (multiplier, double) in enumerate(zip(self.multipliers, doubles, strict=True)):
            h = doubled(h) if double else h
            h = Block(self.width * multiplier, self.hidden, name=f"block_{i}")(h, cond)
        last: Any = dict(padding=((1, 1), (1, 1)), kernel_init=INIT)
        return jnp.tanh(Conv(channels, (3, 3), name="last", **last)(leaky(h, 0.2)))

    def _check(self, numbers: int, size: tuple[int, int]) -> None:
        """Refuses another size of the smallest map than the layer has that makes it of a style."""
        if self.is_initializing() or not self.has_variable("params", "first"):
            return
        made = self.get_variable("params", "first")["kernel"].shape[1]
        if made != numbers:
            raise ValueError(
                f"images of {size[0]}x{size[1]}: a network with styles makes images of one size, "
                "that of its data"
            )


def nearest(x: Batched, height: int, width: int) -> Batched:
    """[B, H, W, K] at [B, height, width, K], of pixels that are there: the first of each block."""
    rows = np.arange(height) * x.shape[1] // height
    columns = np.arange(width) * x.shape[2] // width
    return x[:, rows[:, None], columns[None]]
