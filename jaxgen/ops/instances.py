"""What maps of instances say of a picture: where objects end, and means over each.

Source: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with
Conditional GANs" (pix2pixHD), sections 3.3 and 3.4.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Ids = Int[Array, "b h w"]


def boundaries(ids: Ids) -> Float[Array, "b h w 1"]:
    """1 where a pixel is of another instance than one of its four neighbours, else 0."""
    down, across = ids[:, 1:] != ids[:, :-1], ids[:, :, 1:] != ids[:, :, :-1]
    above = jnp.pad(down, ((0, 0), (1, 0), (0, 0)))
    below = jnp.pad(down, ((0, 0), (0, 1), (0, 0)))
    left = jnp.pad(across, ((0, 0), (0, 0), (1, 0)))
    right = jnp.pad(across, ((0, 0), (0, 0), (0, 1)))
    return (above | below | left | right)[..., None].astype(jnp.float32)


def instance_sums(x: Float[Array, "b h w c"], ids: Ids, count: int) -> Float[Array, "b k c"]:
    """The sum of x over the pixels of each instance.

    Args:
        x: values of pixels.
        ids: of instances, 0 to count - 1.
        count: K, how many there may be.
    """

    def one(x: Array, ids: Array) -> Array:
        return jax.ops.segment_sum(x.reshape(-1, x.shape[-1]), ids.reshape(-1), count)

    return jax.vmap(one)(x, ids)


def instance_means(x: Float[Array, "b h w c"], ids: Ids, count: int) -> Float[Array, "b h w c"]:
    """x, each pixel replaced by the mean over its instance.

    Args:
        x: values of pixels.
        ids: of instances, 0 to count - 1.
        count: how many there may be.
    """
    sums = instance_sums(x, ids, count)
    sizes = instance_sums(jnp.ones((*ids.shape, 1), x.dtype), ids, count)
    return jax.vmap(lambda means, ids: means[ids])(sums / jnp.maximum(sizes, 1), ids)
