"""The blur of what a discriminator sees at the beginning of a training."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]


def blurred(x: Images, deviation: Any, most: float) -> Images:
    """Both axes filtered with 2^-(i / deviation)^2 over |i| <= 3 deviations; zeros lie beyond.

    At a deviation below 1/3 nothing changes.

    Source: Karras et al. 2021, Alias-free generative adversarial networks, appendix F.3, of
    configuration R; NVlabs/stylegan3, `training/loss.py`, for the base 2.

    Args:
        x: images.
        deviation: in pixels, maybe of a train step.
        most: the largest that it will be.
    """
    reach = math.floor(3 * most)
    places = jnp.arange(-reach, reach + 1)
    width = jnp.maximum(jnp.asarray(deviation, x.dtype), 1e-3)
    taps = jnp.where(
        jnp.abs(places) <= jnp.floor(3 * width), jnp.exp2(-jnp.square(places / width)), 0.0
    )
    taps = taps / jnp.sum(taps)
    rows, columns = (_matrix(taps, side, reach) for side in x.shape[1:3])
    return jnp.einsum("bhwc,kh,lw->bklc", x, rows, columns)


def _matrix(taps: Float[Array, " t"], side: int, reach: int) -> Float[Array, "side side"]:
    """A filter along an axis as a matrix."""
    apart = jnp.arange(side)[:, None] - jnp.arange(side)[None]
    inside = jnp.abs(apart) <= reach
    return jnp.where(inside, taps[jnp.clip(apart + reach, 0, 2 * reach)], 0.0)
