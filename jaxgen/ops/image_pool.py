"""A pool of images made before, of which a discriminator sees some instead of the newest."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Pool = Float[Array, "size h w c"]
Images = Float[Array, "b h w c"]
Count = Int[Array, ""]


def exchanged(pool: Pool, count: Count, images: Images, rng: Array) -> tuple[Pool, Count, Images]:
    """Puts images into a pool, one after the other, and gives as many.

    Until the pool is full an image is stored and given. Then, with probability 1/2, it takes the
    place of one that is stored, which is given; else it is given itself.

    Args:
        pool: a size of 0 gives the images.
        count: how many are in it.
        images: new ones.
        rng: a key.

    Returns:
        The pool, the count, and the images that are given.

    Source: Shrivastava et al. 2017, "Learning from Simulated and Unsupervised Images through
    Adversarial Training", section 2.3; image by image as in the official code of Zhu et al. 2017.
    """
    size = len(pool)
    if not size:
        return pool, count, images
    coins, places = jax.random.split(rng)
    swaps = jax.random.bernoulli(coins, 0.5, images.shape[:1])
    drawn = jax.random.randint(places, images.shape[:1], 0, size)

    def put(
        carry: tuple[Array, Array], new: tuple[Array, Array, Array]
    ) -> tuple[tuple[Array, Array], Array]:
        pool, count = carry
        image, swap, place = new
        filling = count < size
        place = jnp.where(filling, count, place)
        old = pool[place]
        stored = filling | swap
        pool = pool.at[place].set(jnp.where(stored, image, old))
        given = jnp.where(~filling & swap, old, image)
        return (pool, jnp.minimum(count + 1, size)), given

    (pool, count), given = jax.lax.scan(put, (pool, count), (images, swaps, drawn))
    return pool, count, given
