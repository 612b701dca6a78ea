"""The cheapest pairing of two sets of equal size, exact, inside of a program."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def assignment(cost: Float[Array, "n n"]) -> Int[Array, " n"]:
    """Of each row the column that it is paired with; the sum of the costs is least.

    Rows enter one after another along a shortest augmenting path, whose lengths prices keep from
    being negative: n^3 at most, of which points near each other take a small part. It is exact up
    to roundings of the costs, draws nothing, and needs no call of the host.

    Source: Jonker & Volgenant 1987, A shortest augmenting path algorithm for dense and sparse
    linear assignment problems.
    """
    n = len(cost)
    cost = cost.astype(jnp.promote_types(cost.dtype, jnp.float32))
    far = jnp.asarray(jnp.inf, cost.dtype)

    def enter(row: Any, found: Any) -> Any:
        """One more row; `owner` is the row of each column, n of none."""
        owner, price = found

        def seeks(way: Any) -> Any:
            return way[0] < n

        def grow(way: Any) -> Any:
            now, reached, length, before, done = way
            # a row's own pair costs nothing at the price of the row
            own = jnp.where(reached < 0, 0.0, cost[now, reached] - price[reached])
            start = jnp.where(reached < 0, 0.0, length[reached])
            through = start + cost[now] - price - own
            better = ~done & (through < length)
            length = jnp.where(better, through, length)
            before = jnp.where(better, reached, before)
            column = jnp.argmin(jnp.where(done, far, length)).astype(jnp.int32)
            return owner[column], column, length, before, done.at[column].set(True)

        nobody = jnp.full(n, -1, jnp.int32)
        way = (jnp.int32(row), jnp.int32(-1), jnp.full(n, far), nobody, jnp.zeros(n, bool))
        _, last, length, before, done = jax.lax.while_loop(seeks, grow, way)
        price = price + jnp.where(done, jnp.minimum(length - length[last], 0.0), 0.0)

        def flip(way: Any) -> Any:
            column, owner = way
            previous = before[column]
            new = jnp.where(previous < 0, row, owner[previous])
            return previous, owner.at[column].set(new)

        _, owner = jax.lax.while_loop(lambda way: way[0] >= 0, flip, (last, owner))
        return owner, price

    start = (jnp.full(n, n, jnp.int32), jnp.zeros(n, cost.dtype))
    owner, _ = jax.lax.fori_loop(0, n, enter, start)
    return jnp.zeros(n, jnp.int32).at[owner].set(jnp.arange(n, dtype=jnp.int32))
