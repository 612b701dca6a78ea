"""Augmentation of images on the device; integer images stay integers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, Num


def random_shift(
    rng: Key[Array, ""], x: Num[Array, "b h w c"], fraction: float
) -> Num[Array, "b h w c"]:
    """Moves every image by whole pixels; what comes into view repeats the nearest edge.

    Args:
        rng: a key.
        x: images.
        fraction: of height and width, up to which an image is moved up or down, left or right.
    """
    b, h, w, _ = x.shape
    sides = jnp.array([h, w])
    offsets = jax.random.uniform(rng, (b, 2), minval=-fraction, maxval=fraction) * sides[None]

    def move(image: Array, offset: Array) -> Array:
        rows = jnp.clip(jnp.arange(h) + offset[0], 0, h - 1)
        columns = jnp.clip(jnp.arange(w) + offset[1], 0, w - 1)
        return image[rows][:, columns]

    return jax.vmap(move)(x, jnp.round(offsets).astype(jnp.int32))
