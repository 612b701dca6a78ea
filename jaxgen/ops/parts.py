"""Parts of pictures: pixels that maps tell apart, means over each, and tables of such means."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

Maps = Integer[Array, "b h w"]
Parts = Int[Array, "b h w"]  # the number of the part that each pixel is of, from 0 in each picture
Planes = Float[Array, "b h w f"]
Table = Float[Array, "classes size f"]
Counts = Int[Array, " classes"]


def numbered(*maps: Maps) -> Parts:
    """Two pixels of a picture are of one part where all maps have the same number at both.

    Parts have the order of the numbers, those of the first map first. There may be as many as
    pixels.
    """

    def one(maps: tuple[Array, ...]) -> Array:
        keys = tuple(m.reshape(-1).astype(jnp.int32) for m in maps)
        *ordered, places = jax.lax.sort((*keys, jnp.arange(keys[0].size)), num_keys=len(keys))
        starts = jnp.zeros(keys[0].size, bool)
        for key in ordered:
            starts = starts.at[1:].max(key[1:] != key[:-1])
        numbers = jnp.cumsum(starts.astype(jnp.int32))
        return jnp.zeros_like(numbers).at[places].set(numbers).reshape(maps[0].shape)

    return jax.vmap(one)(maps)


def means(x: Planes, parts: Parts) -> Planes:
    """At each pixel the mean of x over the part that it is of.

    Source: Wang et al. 2018 (pix2pixHD), section 3.3.
    """

    def one(x: Array, parts: Array) -> Array:
        flat, of = x.reshape(-1, x.shape[-1]), parts.reshape(-1)
        total = jax.ops.segment_sum(flat, of, len(of))
        count = jax.ops.segment_sum(jnp.ones(len(of), x.dtype), of, len(of))
        return (total / jnp.maximum(count, 1)[:, None])[of].reshape(x.shape)

    return jax.vmap(one)(x, parts)


def first_pixels(parts: Parts, most: int) -> Int[Array, "b most"]:
    """Of each of the first `most` parts a pixel, as a number in a flat picture; -1 where none is.

    Args:
        parts: as `numbered` gives them.
        most: parts of a picture.
    """
    pixels = parts.shape[1] * parts.shape[2]

    def one(parts: Array) -> Array:
        found = jax.ops.segment_min(jnp.arange(pixels), parts.reshape(-1), most)
        return jnp.where(found < pixels, found, -1)

    return jax.vmap(one)(parts)


def kept(
    table: Table, counts: Counts, rows: Float[Array, "n f"], of: Int[Array, " n"]
) -> tuple[Table, Counts]:
    """A table of the newest rows of each class, and how many were seen, with more of them.

    Args:
        table: the row that a class saw k-th is at k modulo size.
        counts: rows that each class saw.
        rows: new ones, in their order.
        of: the class of each; -1 for those to leave out.
    """
    classes, size = table.shape[:2]
    mine = (of[:, None] == jnp.arange(classes)[None]).astype(jnp.int32)
    before = jnp.sum((jnp.cumsum(mine, axis=0) - mine) * mine, axis=1)
    total = jnp.sum(mine, axis=0)
    newest = (of >= 0) & (before >= total[of] - size)
    place = (counts[of] + before) % size
    table = table.at[jnp.where(newest, of, classes), place].set(rows, mode="drop")
    return table, counts + total
