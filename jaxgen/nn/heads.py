"""What an autoregressive network is asked for, and what it may offer to be drawn from quickly."""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float, Integer

X = Integer[Array, "b *event"]
Theta = Float[Array, "b *positions width"]
Rows = Float[Array, "b width"]


@dataclasses.dataclass(frozen=True)
class Head:
    """Which values a network sees, and how many numbers it says of a position.

    Attributes:
        values: that an entry of x can have: integers 0 .. values - 1.
        width: of theta, as `ops.observations` has it for the channels of a position.
    """

    values: int
    width: int


class Causal(nn.Module):
    """A network whose theta of a position depends on what is before it, in raster order, alone.

    An example is drawn by `start`, then for each row of positions by `row`, and for each position
    by `step`. They keep what later ones need in the collection "cache", made as zeros at its first
    use, and may be called again for the same position. Here nothing is kept: a step is a pass over
    the whole example.

    Attributes:
        channelwise: whether theta of a channel may depend on the channels before it, which are
            then drawn one after another.
    """

    channelwise = False

    def __call__(self, x: X, head: Head, cond: Any = None, *, train: bool = False) -> Theta:
        """Integers [B, *positions, C], or [B, T] of tokens, to theta [B, *positions, width].

        Args:
            x: data.
            head: what is asked for.
            cond: what the network is given, see `nn.condition`.
            train: use dropout.
        """
        raise NotImplementedError

    def start(self, x: X, head: Head, cond: Any = None) -> None:
        """Prepares a draw; x holds what is known."""

    def row(self, x: X, i: Any, head: Head, cond: Any = None) -> None:
        """Prepares the draws of row i, an int32 scalar; in x all before it is there."""

    def step(self, x: X, t: Any, head: Head, cond: Any = None) -> Rows:
        """Theta [B, width] of the position t, an int32 scalar; in x all before it is there."""
        theta = self(x, head, cond)
        return theta.reshape(x.shape[0], -1, head.width)[:, t]
