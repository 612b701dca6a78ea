"""Planar and radial flows: maps of a vector that change it along one direction, or one radius.

Both are written in closed form from simple to complicated, as in the paper, whose noise they
map to samples: a model that fits a density uses `Invert` of them.

Source: Rezende & Mohamed 2015, "Variational Inference with Normalizing Flows" (ICML), section
4.1 and appendix A.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet
from jaxgen.ops.roots import invert_increasing, norm

X = Float[Array, "b d"]
Row = Float[Array, "#b d"]  # one for each example where a network gives the parameters, else one
Number = Float[Array, " #b"]
LEAST = 1e-12  # of |w|^2, which is divided by
STEEPEST = 1e-6  # of 1 + w û: the slope of a planar step that float32 can still invert


class Planar(Bijector):
    """z -> z + û tanh(w z + b), with û the u of appendix A.1, for which w û > -1.

    The inverse is exact along everything but w, and found by bisection along w.

    Attributes:
        net: (x, cond, features) -> [B, features], the parameters u, w and b of every example
            (amortised); must not read the values of x, and must not start at zero, since û is
            not continuous at w = 0. None learns one set of parameters.
    """

    net: nn.Module | None = None

    @property
    def reversible(self) -> bool:
        """False: the inverse is a search."""
        return False

    @nn.compact
    def _params(self, x: X, cond: Any) -> tuple[Row, Row, Number, Number]:
        """û, w, b, and 1 + w û > 0."""
        d = x.shape[-1]
        if self.net is None:
            small, unit = nn.initializers.normal(0.1), nn.initializers.normal(1 / math.sqrt(d))
            u = self.param("u", small, (d,), x.dtype)[None]
            w = self.param("w", unit, (d,), x.dtype)[None]
            b = self.param("b", small, (1,), x.dtype)
        else:
            theta = self.net(x, cond, 2 * d + 1).astype(x.dtype)
            u, w, b = theta[:, :d], theta[:, d : 2 * d], theta[:, -1]
        along = jnp.sum(u * w, axis=-1)
        square = jnp.maximum(jnp.sum(jnp.square(w), axis=-1), LEAST)
        stretch = jnp.maximum(jax.nn.softplus(along), STEEPEST)
        # m(a) - a with m(a) = softplus(a) - 1, without the difference of large numbers
        change = jnp.where(along > 0, jax.nn.softplus(-along), stretch - along) - 1
        return u + (change / square)[:, None] * w, w, b, stretch

    def _move(self, position: Number, b: Number, stretch: Number) -> tuple[Number, Number]:
        """w z + b -> w z' and the log-determinant, which is the log-slope of this map."""
        bend = jnp.tanh(position + b)
        # 1 + (1 - tanh^2) w û, as a sum of positive terms
        flat = 1 / jnp.square(jnp.cosh(jnp.clip(position + b, -40.0, 40.0)))
        logdet = jnp.log(jnp.square(bend) + flat * stretch)
        return position + (stretch - 1) * bend, logdet

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Simple to complicated: equation 10, and the log-determinant of equation 12."""
        u, w, b, stretch = self._params(x, cond)
        position = jnp.sum(w * x, axis=-1)
        y = x + u * jnp.tanh(position + b)[:, None]
        return y, self._move(position, b, stretch)[1]

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Finds w z, whose image is w z', and undoes the step."""
        u, w, b, stretch = self._params(y, cond)
        wanted = jnp.sum(w * y, axis=-1)
        reach = jnp.abs(stretch - 1) + 1e-3
        position = invert_increasing(
            lambda p: self._move(p, b, stretch), wanted, wanted - reach, wanted + reach
        )
        x = y - u * jnp.tanh(position + b)[:, None]
        return x, -self._move(position, b, stretch)[1]


class Radial(Bijector):
    """z -> z + beta / (alpha + r) (z - c), with r = |z - c| and beta >= -alpha (appendix A.2).

    Expands or contracts around the centre c; the inverse solves a quadratic equation.

    Attributes:
        net: (x, cond, features) -> [B, features], the parameters of every example (amortised);
            must not read the values of x. None learns one set of parameters.
    """

    net: nn.Module | None = None

    @nn.compact
    def _params(self, x: X, cond: Any) -> tuple[Row, Number, Number]:
        """c, alpha > 0 and alpha + beta > 0."""
        d = x.shape[-1]
        if self.net is None:
            centre = self.param("centre", nn.initializers.normal(1.0), (d,), x.dtype)[None]
            raw = self.param("raw", nn.initializers.normal(0.1), (2,), x.dtype)[None]
        else:
            theta = self.net(x, cond, d + 2).astype(x.dtype)
            centre, raw = theta[:, :d], theta[:, d:]
        # raw zero is alpha = 1
        alpha = jnp.maximum(jax.nn.softplus(raw[:, 0] + math.log(math.e - 1)), 1e-6)
        return centre, alpha, jnp.maximum(jax.nn.softplus(raw[:, 1]), STEEPEST)

    def _logdet(self, r: Number, alpha: Number, total: Number, d: int) -> Number:
        # of (d - 1) directions across, and of the one along; each a quotient of positive sums
        across = jnp.log(r + total) - jnp.log(alpha + r)
        along = jnp.log(jnp.square(r) + 2 * alpha * r + alpha * total) - 2 * jnp.log(alpha + r)
        return (d - 1) * across + along

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Simple to complicated: equation 14."""
        centre, alpha, total = self._params(x, cond)
        offset = x - centre
        r = norm(offset)
        y = centre + offset * ((r + total) / (alpha + r))[:, None]
        return y, self._logdet(r, alpha, total, x.shape[-1])

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """The positive root r of r^2 + (alpha + beta - r') r - alpha r' = 0."""
        centre, alpha, total = self._params(y, cond)
        offset = y - centre
        wanted = norm(offset)
        half = 0.5 * (wanted - total)
        root = jnp.sqrt(jnp.square(half) + alpha * wanted)  # not 0: alpha + beta > 0
        # of the two forms of the root, that which adds numbers of one sign
        below = jnp.where(half < 0, root - half, 1.0)
        r = jnp.where(half < 0, alpha * wanted / below, half + root)
        x = centre + offset * ((alpha + r) / (r + total))[:, None]
        return x, -self._logdet(r, alpha, total, y.shape[-1])
