"""Bijectors of images: squeeze, and the multi-scale arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet

Image = Float[Array, "b _ _ _"]


class Squeeze(Bijector):
    """[B, 2h, 2w, c] -> [B, h, w, 4c]: each 2x2 block of pixels becomes channels.

    Source: Dinh et al. 2017, RealNVP, section 3.6; channels are ordered (c, row, column) as in
    Glow's official code.
    """

    def forward(self, x: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Pixels to channels.

        Raises:
            ValueError: for an odd height or width.
        """
        b, h, w, c = x.shape
        if h % 2 or w % 2:
            raise ValueError(
                f"squeeze needs an even height and width, got {h}x{w}: "
                "use fewer levels or images whose sides are divisible by 2**levels"
            )
        y = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4)
        return y.reshape(b, h // 2, w // 2, 4 * c), zero_logdet(x)

    def inverse(self, y: Image, cond: Any = None) -> tuple[Image, LogDet]:
        """Channels to pixels."""
        b, h, w, c = y.shape
        x = y.reshape(b, h, w, c // 4, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        return x.reshape(b, 2 * h, 2 * w, c // 4), zero_logdet(y)


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
        x = None
        for i in reversed(range(len(self.levels))):
            leaving, ld = self.priors[i].inverse(y[i], cond if i == last else x)
            logdet += ld
            x = leaving if i == last else jnp.concatenate([x, leaving], axis=-1)
            x, ld = self.levels[i].inverse(x, cond)
            logdet += ld
        return x, logdet
