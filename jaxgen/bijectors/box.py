"""A box to the real line, parameter by parameter: densities that stay inside of their support."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet
from jaxgen.ops.densities import sum_event

X = Float[Array, "b d"]
Ends = Float[Array, "1 d"]


class Box(Bijector):
    """x -> logit((x - low) / (high - low)), elementwise with ends of its own.

    Values at or beyond an end are taken as next to it.

    Attributes:
        low: lower ends, D of them.
        high: upper ends.
    """

    low: Sequence[float]
    high: Sequence[float]

    def _ends(self, x: X) -> tuple[Ends, Ends]:
        """Lower ends and widths."""
        if not len(self.low) == len(self.high) == x.shape[-1]:
            raise ValueError(
                f"a box of {len(self.low)} lower and {len(self.high)} upper ends got "
                f"{x.shape[-1]} values"
            )
        low, high = (jnp.asarray(v, x.dtype)[None] for v in (self.low, self.high))
        return low, high - low

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Box to real line."""
        low, width = self._ends(x)
        least = jnp.finfo(x.dtype).eps
        p = jnp.clip((x - low) / width, least, 1 - least)
        y = jnp.log(p) - jnp.log1p(-p)
        return y, -self._logdet(y, width)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Real line to box."""
        low, width = self._ends(y)
        # beyond its rounding, low + width may exceed the upper end
        x = jnp.clip(low + width * jax.nn.sigmoid(y), low, jnp.asarray(self.high, y.dtype)[None])
        return x, self._logdet(y, width)

    def _logdet(self, y: X, width: Ends) -> LogDet:
        # dx/dy = width * sigmoid(y) * sigmoid(-y)
        return sum_event(jnp.log(width) - jax.nn.softplus(y) - jax.nn.softplus(-y))
