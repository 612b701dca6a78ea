"""Bijectors of images: squeeze, the multi-scale arrangement, and images as vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet

Image = Float[Array, "b _ _ _"]
ORDER = (0, 3, 1, 2)  # pixels of a 2x2 block: the two diagonals


class Squeeze(Bijector):
    """[B, 2h, 2w, c] -> [B, h, w, 4c]: each 2x2 block of pixels becomes channels.

    `Invert(Squeeze())` unsqueezes: channels become pixels.

    Source: Dinh et al. 2017, RealNVP, section 3.6; channels are ordered (c, row, column) as in
    Glow's official code.
    """

    def forward(self, x: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Pixels to channels.

        Raises:
            ValueError: for an odd height or width.
        """
        return _squeeze(x), zero_logdet(x)

    def inverse(self, y: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Channels to pixels."""
        return _unsqueeze(y), zero_logdet(y)


def _squeeze(x: Image) -> Image:
    b, h, w, c = x.shape
    if h % 2 or w % 2:
        raise ValueError(
            f"squeeze needs an even height and width, got {h}x{w}: "
            "use fewer levels or images whose sides are divisible by 2**levels"
        )
    y = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
    return y.reshape(b, h // 2, w // 2, 4 * c)


def _unsqueeze(y: Image) -> Image:
    b, h, w, c = y.shape
    x = y.reshape(b, h, w, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
    return x.reshape(b, 2 * h, 2 * w, c // 4)


class OrderedSqueeze(Bijector):
    """A squeeze whose first half of the channels is one colour of the checkerboard.

    Channels are ordered (pixel, c), the pixels top left, bottom right, top right, bottom left:
    the half that `Multiscale` keeps is a regular lattice of the image.

    Source: the official code of RealNVP, `squeeze_2x2_ordered`; section 3.6 of the paper does
    not say in which order the half of the dimensions leaves.
    """

    def forward(self, x: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Pixels to channels; sides as `Squeeze` needs them."""
        y = _squeeze(x)
        blocks = y.reshape(*y.shape[:-1], x.shape[-1], 4)[..., jnp.array(ORDER)]
        return blocks.swapaxes(-1, -2).reshape(y.shape), zero_logdet(x)

    def inverse(self, y: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Channels to pixels."""
        blocks = y.reshape(*y.shape[:-1], 4, y.shape[-1] // 4).swapaxes(-1, -2)
        x = blocks[..., jnp.argsort(jnp.array(ORDER))].reshape(y.shape)
        return _unsqueeze(x), zero_logdet(y)


class Mirror(Bijector):
    """Exchanges left and right, and so the two colours of the checkerboard; its own inverse."""

    def forward(self, x: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Last column first.

        Raises:
            ValueError: for an odd width, whose colours would stay where they are.
        """
        if x.shape[2] % 2:
            raise ValueError(f"mirror needs an even width to exchange colours, got {x.shape[1:]}")
        return x[:, :, ::-1], zero_logdet(x)

    def inverse(self, y: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Last column first again."""
        return self.forward(y, cond)


class Flatten(Bijector):
    """Applies a bijector of vectors to events of any shape; latents have the shape of the event.

    Attributes:
        bijector: [B, D] -> [B, D].
    """

    bijector: Bijector

    @property
    def reversible(self) -> bool:
        """Whether the bijector is."""
        return self.bijector.reversible

    def forward(self, x: Float[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """The bijector's forward of the flat event."""
        y, logdet = self.bijector.forward(x.reshape(x.shape[0], -1), cond)
        return y.reshape(x.shape), logdet

    def inverse(self, y: Float[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """The bijector's inverse of the flat latent."""
        x, logdet = self.bijector.inverse(y.reshape(y.shape[0], -1), cond)
        return x.reshape(y.shape), logdet


class Multiscale(Bijector):
    """x -> (z_1, ..., z_L): after each level but the last, half of the channels leave.

    Each `priors[i]` maps what leaves at level i to noise, given what stays (the last one: given
    `cond`), so that the base density is a standard one on every leaf. The noises, not the
    channels that left, are the latents: a temperature multiplies all of them alike.

    Source: RealNVP, section 3.6 (factoring out) and Glow's official code (`split2d`, whose
    prior of the leaving half is conditioned on the staying half).

    Attributes:
        levels: bijectors of images, first to last; level i + 1 sees half of the channels that
            level i leaves.
        priors: as many bijectors.
    """

    levels: Sequence[Bijector]
    priors: Sequence[Bijector]

    def forward(self, x: Image, cond: Any = None) -> tuple[tuple[Image, ...], LogDet]:
        """An image to its latents, finest level first."""
        logdet, latents, last = zero_logdet(x), [], len(self.levels) - 1
        for i, (level, prior) in enumerate(zip(self.levels, self.priors, strict=True)):
            x, ld = level.forward(x, cond)
            logdet += ld
            leaving, given = x, cond
            if i < last:
                x, leaving = jnp.split(x, 2, axis=-1)
                given = x
            eps, ld = prior.forward(leaving, given)
            logdet += ld
            latents.append(eps)
        return tuple(latents), logdet

    def inverse(self, y: tuple[Image, ...], cond: Any = None) -> tuple[Image, LogDet]:
        """Latents, finest level first, to the image."""
        logdet, last = zero_logdet(y), len(self.levels) - 1
        x: Any = None
        for i in reversed(range(len(self.levels))):
            leaving, ld = self.priors[i].inverse(y[i], cond if i == last else x)
            logdet += ld
            x = leaving if i == last else jnp.concatenate([x, leaving], axis=-1)
            x, ld = self.levels[i].inverse(x, cond)
            logdet += ld
        return x, logdet
