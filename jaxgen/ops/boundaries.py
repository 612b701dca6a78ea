"""Where the objects of a picture meet."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Num


def boundaries(numbers: Num[Array, "b h w"]) -> Float[Array, "b h w"]:
    """1 where one of the four neighbours is of another object, else 0; beyond the border is none.

    Args:
        numbers: that tell objects apart.

    Source: Wang et al. 2018 (pix2pixHD), section 3.3.
    """
    down = numbers[:, 1:] != numbers[:, :-1]
    right = numbers[:, :, 1:] != numbers[:, :, :-1]
    above, below = (jnp.pad(down, ((0, 0), pad, (0, 0))) for pad in ((1, 0), (0, 1)))
    left, after = (jnp.pad(right, ((0, 0), (0, 0), pad)) for pad in ((1, 0), (0, 1)))
    return (above | below | left | after).astype(jnp.result_type(float))
