"""A block on the ground, as a renderer sees it: what a network learns before it sees a camera."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

SIDE, HALF = 24, 2.5  # pixels of a picture, and half of the block's
LOWEST, HIGHEST = 4.0, 20.0  # of the block's middle, right and down
GROUND, BLOCK = 0.25, 0.85


def covered(position: Any, half: float = HALF, xp: Any = jnp) -> Any:
    """The share of each pixel under a square of this half side, [N, SIDE, SIDE] in [0, 1].

    Args:
        position: middles [N, 2], right and down; pixel i reaches from i to i + 1.
        half: half of the side.
        xp: jax.numpy or numpy.
    """
    edges = xp.arange(SIDE)[None, None]
    low, high = position[:, :, None] - half, position[:, :, None] + half
    share = xp.clip(xp.minimum(edges + 1, high) - xp.maximum(edges, low), 0, 1)
    return share[:, 1, :, None] * share[:, 0, None, :]


def synthetic(position: Any, xp: Any = jnp) -> Any:
    """The flat picture of blocks there, [N, SIDE, SIDE, 1] in [0, 1]; see `covered`."""
    return (GROUND + (BLOCK - GROUND) * covered(position, xp=xp))[..., None]
