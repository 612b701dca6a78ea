"""Elementwise transforms: maps of the real line with parameters for every element.

A transform is a frozen dataclass of two pure functions. They are written once and lifted into
coupling form (`coupling.py`) and autoregressive form (`autoregressive.py`):

    y, log_slope = t.forward(x, theta)   # theta: [..., t.features], one row per element of x
    x, log_slope = t.inverse(y, theta)   # log_slope of this direction, elementwise, nats

Zero parameters, which a zero-initialised network gives, are the identity unless stated.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

X = Float[Array, "*shape"]
Theta = Float[Array, "*shape features"]
SCALES = ("sigmoid", "exp")


class Transform(Protocol):
    """What `Coupling` and `MaskedAutoregressive` lift."""

    @property
    def features(self) -> int:
        """Number of parameters per element."""
        ...

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Data to latent, and the logarithm of the slope."""
        ...

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Latent to data, and the logarithm of that slope."""
        ...


@dataclasses.dataclass(frozen=True)
class Shift:
    """x -> x + shift; keeps volume.

    Source: Dinh et al. 2015, NICE, section 3.2.
    """

    features: int = dataclasses.field(default=1, init=False)

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Adds."""
        return x + theta[..., 0], jnp.zeros_like(x)

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Subtracts."""
        return y - theta[..., 0], jnp.zeros_like(y)


@dataclasses.dataclass(frozen=True)
class Scale:
    """x -> (x + shift) * scale.

    Attributes:
        kind: "sigmoid", scale = sigmoid(raw + 2) in (0, 1), where zero parameters give 0.88 and
            not 1 (Glow's official code, `model.py`, whose order shift before scale this is);
            "exp", scale = exp(bound * tanh(raw / bound)). Either inverse loses digits where the
            scale is small: at ten times the training data's range a trained net may leave none
            in float32.
        bound: of the log-scale of "exp".
    """

    kind: str = "exp"
    bound: float = 5.0
    features: int = dataclasses.field(default=2, init=False)

    def __post_init__(self) -> None:
        """Checks the kind."""
        if self.kind not in SCALES:
            raise ValueError(f"kind={self.kind!r}, expected one of {SCALES}")

    def _params(self, theta: Theta) -> tuple[X, X]:
        shift, raw = theta[..., 0], theta[..., 1]
        if self.kind == "sigmoid":
            return shift, jax.nn.log_sigmoid(raw + 2.0)
        return shift, self.bound * jnp.tanh(raw / self.bound)

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Shifts, then scales."""
        shift, log_scale = self._params(theta)
        return (x + shift) * jnp.exp(log_scale), log_scale

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Undoes the scale, then the shift."""
        shift, log_scale = self._params(theta)
        return y * jnp.exp(-log_scale) - shift, -log_scale


@dataclasses.dataclass(frozen=True)
class RationalQuadraticSpline:
    """Monotone rational-quadratic spline on [-bound, bound], the identity outside.

    The slope is 1 at both ends, so that the log-density has no jump there.

    Source: Durkan et al. 2019, Neural spline flows, section 3.1, equations 4 to 8; the least
    width, height and slope are those of the official code.

    Attributes:
        bins: K, number of pieces.
        bound: B, half the width of the spline's interval.
        least: width and height of a bin as a fraction of the interval, and slope at a knot, are
            never less.
    """

    bins: int = 8
    bound: float = 3.0
    least: float = 1e-3

    @property
    def features(self) -> int:
        """K widths, K heights and K - 1 inner slopes."""
        return 3 * self.bins - 1

    def knots(self, theta: Theta) -> tuple[Array, Array, Array]:
        """Positions in x, positions in y, slopes: [..., K + 1] each."""
        k = self.bins
        slopes = _slopes(theta[..., 2 * k :], self.least)
        slopes = jnp.pad(slopes, [*[(0, 0)] * (theta.ndim - 1), (1, 1)], constant_values=1.0)
        xs = _positions(theta[..., :k], -self.bound, 2 * self.bound, self.least)
        ys = _positions(theta[..., k : 2 * k], -self.bound, 2 * self.bound, self.least)
        return xs, ys, slopes

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """The spline inside the interval."""
        inside = jnp.abs(x) < self.bound
        y, log_slope = _spline(jnp.where(inside, x, 0.0), *self.knots(theta))
        return jnp.where(inside, y, x), jnp.where(inside, log_slope, 0.0)

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Its inverse inside the interval."""
        inside = jnp.abs(y) < self.bound
        x, log_slope = _spline_inverse(jnp.where(inside, y, 0.0), *self.knots(theta))
        return jnp.where(inside, x, y), jnp.where(inside, log_slope, 0.0)


@dataclasses.dataclass(frozen=True)
class CircularSpline:
    """Monotone rational-quadratic spline of an angle: a map of the circle [0, 2 pi) to itself.

    The slopes at both ends are one parameter, so that the map and its derivative are continuous
    at the seam. The spline fixes 0; the rotation after it moves it. Angles may be given in any
    turn, those returned are in [0, 2 pi).

    Source: Rezende et al. 2020, Normalizing flows on tori and spheres, section 2.1.2.

    Attributes:
        bins: K, number of pieces.
        rotate: add a learned angle to the result.
        least: width and height of a bin as a fraction of the circle, and slope at a knot, are
            never less.
    """

    bins: int = 8
    rotate: bool = True
    least: float = 1e-3

    @property
    def features(self) -> int:
        """K widths, K heights, K slopes, and the angle of the rotation."""
        return 3 * self.bins + self.rotate

    def knots(self, theta: Theta) -> tuple[Array, Array, Array]:
        """Positions in x, positions in y, slopes: [..., K + 1] each, first slope = last slope."""
        k = self.bins
        slopes = _slopes(theta[..., 2 * k : 3 * k], self.least)
        slopes = jnp.concatenate([slopes, slopes[..., :1]], axis=-1)
        xs = _positions(theta[..., :k], 0.0, 2 * math.pi, self.least)
        ys = _positions(theta[..., k : 2 * k], 0.0, 2 * math.pi, self.least)
        return xs, ys, slopes

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """The spline, then the rotation."""
        y, log_slope = _spline(_wrap(x), *self.knots(theta))
        return _wrap(y + theta[..., -1] if self.rotate else y), log_slope

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """The rotation back, then the inverse of the spline."""
        y = _wrap(y - theta[..., -1] if self.rotate else y)
        x, log_slope = _spline_inverse(y, *self.knots(theta))
        return _wrap(x), log_slope


def _wrap(angle: X) -> X:
    """Into [0, 2 pi)."""
    turn = jnp.asarray(2 * math.pi, angle.dtype)
    wrapped = angle - turn * jax.lax.stop_gradient(jnp.floor(angle / turn))
    # rounding may leave it just outside, as it does for a small negative number
    inside = (wrapped >= 0) & (wrapped < turn)
    return jnp.where(inside, wrapped, wrapped - jax.lax.stop_gradient(wrapped))


def _positions(raw: Float[Array, "*shape k"], low: float, width: float, least: float) -> Array:
    """Knots from `low` to `low + width` whose gaps are the softmax of `raw`, bounded below."""
    sizes = least + (1 - least * raw.shape[-1]) * jax.nn.softmax(raw, axis=-1)
    ends = [(0, 0)] * (raw.ndim - 1)
    inner = jnp.pad(jnp.cumsum(sizes[..., :-1], axis=-1), [*ends, (1, 0)])
    return low + width * jnp.pad(inner, [*ends, (0, 1)], constant_values=1)


def _slopes(raw: Float[Array, "*shape _"], least: float) -> Array:
    """Positive slopes, bounded below: 1 where `raw` is 0."""
    unit = math.log(math.expm1(1 - least))  # softplus of it, and least, are 1
    return least + jax.nn.softplus(raw + unit)


def _piece(value: X, grid: Array, *knots: Array) -> list[X]:
    """For each array of knots, its values left and right of `value`."""
    index = jnp.sum(value[..., None] >= grid[..., 1:-1], axis=-1, keepdims=True)
    picked = []
    for knot in knots:
        picked += [jnp.take_along_axis(knot, index + i, axis=-1)[..., 0] for i in (0, 1)]
    return picked


def _spline(x: X, xs: Array, ys: Array, slopes: Array) -> tuple[X, X]:
    """Durkan et al. 2019, equation 4, and the logarithm of equation 5."""
    x0, x1, y0, y1, d0, d1 = _piece(x, xs, xs, ys, slopes)
    height, log_slope = _rational((x - x0) / (x1 - x0), (y1 - y0) / (x1 - x0), d0, d1)
    return y0 + (y1 - y0) * height, log_slope


def _spline_inverse(y: X, xs: Array, ys: Array, slopes: Array) -> tuple[X, X]:
    """Durkan et al. 2019, equations 6 to 8: the root that does not cancel."""
    x0, x1, y0, y1, d0, d1 = _piece(y, ys, xs, ys, slopes)
    steep = (y1 - y0) / (x1 - x0)
    u = y - y0
    bend = d0 + d1 - 2 * steep
    a = (y1 - y0) * (steep - d0) + u * bend
    b = (y1 - y0) * d0 - u * bend
    c = -steep * u
    square = b * b - 4 * a * c
    # rounding may leave it at zero or below, where the square root has no gradient
    root = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    t = jnp.clip(2 * c / (-b - root), 0.0, 1.0)
    _, log_slope = _rational(t, steep, d0, d1)
    return x0 + (x1 - x0) * t, -log_slope


def _rational(t: X, steep: X, d0: X, d1: X) -> tuple[X, X]:
    """Height in [0, 1] at t in [0, 1] of one piece, and the logarithm of its slope."""
    rest = t * (1 - t)
    below = steep + (d1 + d0 - 2 * steep) * rest
    height = (steep * t * t + d0 * rest) / below
    above = d1 * t * t + 2 * steep * rest + d0 * jnp.square(1 - t)
    return height, 2 * jnp.log(steep) + jnp.log(above) - 2 * jnp.log(below)
