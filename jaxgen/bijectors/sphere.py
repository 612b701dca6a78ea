"""Charts that map tori and spheres to the unit cube, where the uniform density is theirs.

The log-determinant of a chart of a sphere is with respect to the sphere's surface: D coordinates
stand for D + 1 of a unit vector.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet
from jaxgen.ops.roots import invert_increasing, norm

X = Float[Array, "b d"]
Points = Float[Array, "b _"]
Height = Float[Array, " b"]
LEAST = 1e-12  # of 1 - r^2 where it is divided by: the poles are singular


class Cylinder(Bijector):
    """A unit vector to its height on the last axis, that of the rest scaled to a unit, and so on.

    [B, D + 1] on the sphere S^D to D - 1 heights in [-1, 1] and one angle in [0, 2 pi).

    Source: Rezende et al. 2020, "Normalizing Flows on Tori and Spheres" (ICML), section 2.3.1;
    each step multiplies the volume by (1 - r^2)^(1 - i / 2) on S^i, which is 1 on S^2.
    """

    def forward(self, x: Points, cond: Any = None) -> tuple[Points, LogDet]:
        """Sphere to cylinder."""
        out, logdet = [], zero_logdet(x)
        for i in range(x.shape[-1] - 1, 1, -1):
            rest, length = norm(x[:, :-1]), jnp.maximum(norm(x), math.sqrt(LEAST))
            out.append(jnp.clip(x[:, -1] / length, -1.0, 1.0))
            # 1 - r^2, from what does not cancel at a pole
            logdet += (1 - i / 2) * jnp.log(jnp.maximum(jnp.square(rest / length), LEAST))
            x = x[:, :-1] / jnp.maximum(rest, math.sqrt(LEAST))[:, None]
        angle = jnp.arctan2(x[:, 1], _away_from_zero(x))
        out.append(jnp.where(angle < 0, angle + 2 * math.pi, angle))
        return jnp.stack(out, axis=-1), logdet

    def inverse(self, y: Points, cond: Any = None) -> tuple[Points, LogDet]:
        """Cylinder to sphere."""
        logdet, angle = zero_logdet(y), y[:, -1]
        x = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
        for i in range(2, y.shape[-1] + 1):
            height = jnp.clip(y[:, y.shape[-1] - i], -1.0, 1.0)
            square = (1 - height) * (1 + height)
            safe = jnp.maximum(square, LEAST)
            radius = jnp.where(square > LEAST, jnp.sqrt(safe), 0.0)
            logdet += (i / 2 - 1) * jnp.log(safe)
            x = jnp.concatenate([x * radius[:, None], height[:, None]], axis=-1)
        return x, logdet


def _away_from_zero(x: Points) -> Height:
    """x_1, but 1 at the origin, which has no angle."""
    return jnp.where(norm(x[:, :2]) > 0, x[:, 0], 1.0)


class UnitCube(Bijector):
    """Heights and angles of the uniform density on a sphere or torus to that on [0, 1]^D.

    Attributes:
        sphere: the elements are those of `Cylinder`, heights first; else all are angles.
    """

    sphere: bool

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """To the unit cube: distribution functions of the heights, fractions of a turn."""
        logdet, out, d = zero_logdet(x), [], x.shape[-1]
        for i in range(d):
            value, log_slope = (
                _height_cdf(x[:, i], d - i) if self._is_height(i, d) else _turn(x[:, i])
            )
            out.append(value)
            logdet += log_slope
        return jnp.stack(out, axis=-1), logdet

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Back."""
        logdet, out, d = zero_logdet(y), [], y.shape[-1]
        for i in range(d):
            if self._is_height(i, d):
                x = _height_quantile(y[:, i], d - i)
                log_slope = _height_cdf(x, d - i)[1]
            else:
                x, log_slope = 2 * math.pi * y[:, i], _turn(y[:, i])[1]
            out.append(x)
            logdet -= log_slope
        return jnp.stack(out, axis=-1), logdet

    def _is_height(self, i: int, d: int) -> bool:
        return self.sphere and i < d - 1


def _turn(angle: Height) -> tuple[Height, Height]:
    value = angle / (2 * math.pi)
    return value - jnp.floor(value), jnp.full_like(value, -math.log(2 * math.pi))


def _height_cdf(height: Height, dim: int) -> tuple[Height, Height]:
    """Of the height of a uniform point of S^dim, dim >= 2, and its log-density."""
    height = jnp.clip(height, -1.0, 1.0)
    log_total = 0.5 * math.log(math.pi) + math.lgamma(dim / 2) - math.lgamma((dim + 1) / 2)
    square = jnp.maximum((1 - height) * (1 + height), LEAST)
    log_density = (dim / 2 - 1) * jnp.log(square) - log_total
    if dim == 2:
        return 0.5 * (1 + height), log_density
    half = jnp.full_like(height, dim / 2)
    return jax.scipy.special.betainc(half, half, 0.5 * (1 + height)), log_density


def _height_quantile(value: Height, dim: int) -> Height:
    if dim == 2:
        return 2 * value - 1
    # at the poles themselves its slope is infinite
    end = jnp.full_like(value, 1 - 4 * jnp.finfo(value.dtype).eps)
    return invert_increasing(lambda h: _height_cdf(h, dim), value, -end, end)
