"""Draws and evaluations of any number of examples, in chunks of one shape.

Chunk i draws with a key that is a function of the seed and i alone, and the last chunk is filled
up: what an example gets depends on its place, never on how many others are asked for, and every
number of them runs in the memory, and in the compiled program, of one chunk.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.types import Array, DataSpec, PyTree

CHUNK = 128  # examples at most: other sizes draw other examples
NUMBERS = 2**18  # of a chunk's examples together, at most


def chunk_size(spec: DataSpec) -> int:
    """Examples of a chunk: a power of two, 128 of 28x28x1, 64 of 32x32x3, 1 of 512x512x3."""
    return min(CHUNK, 2 ** max(0, int(math.log2(NUMBERS / spec.dims))))


def chunk_key(key: Array, number: Any, of_set: Any = 0) -> Array:
    """The key of a chunk.

    The first chunk of the first set draws with `key` itself: it is one call of `Method.sample`,
    as the grids of training are.

    Args:
        key: of the user's seed.
        number: of the chunk.
        of_set: sets of different numbers are independent.
    """
    later = jax.random.fold_in(jax.random.fold_in(key, of_set), number)
    return jnp.where((jnp.uint32(number) == 0) & (jnp.uint32(of_set) == 0), key, later)


def filled(rows: PyTree, start: int, size: int) -> PyTree:
    """`size` rows of every leaf from `start` on; beyond the end the last one again."""

    def part(leaf: np.ndarray) -> np.ndarray:
        found = leaf[start : start + size]
        missing = size - len(found)
        return np.concatenate([found, np.repeat(found[-1:], missing, 0)]) if missing else found

    return jax.tree.map(part, rows)
