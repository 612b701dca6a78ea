"""Maps of angles, elementwise, and the bijector that lifts them to a torus or a sphere.

The transforms here are those of `transforms.py` in form, for angles in [0, 2 pi): they fix 0, are
continuous with their derivative at the seam, and zero parameters are the identity. `CircularSpline`
stands there too. What they return may leave the interval by rounding, by whole turns if their
argument has left it.

Source: Rezende et al. 2020, "Normalizing Flows on Tori and Spheres" (ICML), sections 2.1 and 2.2.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet
from jaxgen.bijectors.transforms import Theta, Transform, X
from jaxgen.ops.roots import invert_increasing, norm

TURN = 2 * math.pi
Components = Float[Array, "*shape k"]


@dataclasses.dataclass(frozen=True)
class Moebius:
    """Convex combination of Moebius maps of the circle, each rotated so that it fixes 0.

    z -> (1 - |w|^2) / |z - w|^2 (z - w) - w expands the circle around the centre w, |w| < 1.
    The combination has no inverse in closed form; it is found numerically.

    Source: sections 2.1.1 and 2.1.4 of the paper.

    Attributes:
        components: K, number of centres.
        limit: |w| stays below it.
    """

    components: int = 12
    limit: float = 0.99

    @property
    def features(self) -> int:
        """Two coordinates of each centre, and a weight."""
        return 3 * self.components

    @property
    def reversible(self) -> bool:
        """False: the inverse is a search."""
        return False

    def _params(self, theta: Theta) -> tuple[Components, Components, Components]:
        """Coordinates [..., K] of the centres, and logarithms of the weights."""
        k = self.components
        raw = jnp.stack([theta[..., :k], theta[..., k : 2 * k]], axis=-1)
        centre = self.limit * raw / (1 + norm(raw))[..., None]
        return centre[..., 0], centre[..., 1], jax.nn.log_softmax(theta[..., 2 * k :], axis=-1)

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Data to latent."""
        return _moebius(x, *self._params(theta))

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Latent to data, numerically."""
        params = self._params(theta)
        return _invert(lambda x: _moebius(x, *params), y)


def _moebius(x: X, a: Components, b: Components, log_weights: Components) -> tuple[X, X]:
    """With centres a + i b. The image of z is z conj(q) / q with q = 1 - conj(w) z.

    Since |w| < 1, the argument of q is a smooth function of the angle: no branch is cut.
    """
    cos, sin = jnp.cos(x)[..., None], jnp.sin(x)[..., None]
    real, imaginary = 1 - a * cos - b * sin, b * cos - a * sin
    turned = jnp.arctan2(imaginary, real) - jnp.arctan2(b, 1 - a)
    y = x - 2 * jnp.sum(jnp.exp(log_weights) * turned, axis=-1)
    above = jnp.log1p(-(jnp.square(a) + jnp.square(b)))
    log_slopes = above - jnp.log(jnp.square(real) + jnp.square(imaginary))
    return y, jax.nn.logsumexp(log_weights + log_slopes, axis=-1)


@dataclasses.dataclass(frozen=True)
class NonCompactProjection:
    """Convex combination of affine maps of the line that the circle without a point is.

    x -> 2 arctan(alpha tan(x / 2 - pi / 2) + beta) + pi, with alpha > 0. The combination is
    inverted numerically.

    Source: sections 2.1.3 and 2.1.4 of the paper.

    Attributes:
        components: K.
        bound: of |log alpha| and |beta|, without which the slope at 0 overflows.
    """

    components: int = 12
    bound: float = 5.0

    @property
    def features(self) -> int:
        """log alpha, beta and a weight of each component."""
        return 3 * self.components

    @property
    def reversible(self) -> bool:
        """False: the inverse is a search."""
        return False

    def _params(self, theta: Theta) -> tuple[Components, Components, Components]:
        """alpha, beta, logarithms of the weights: [..., K] each."""
        k = self.components
        log_alpha, beta = (
            self.bound * jnp.tanh(raw / self.bound)
            for raw in (theta[..., :k], theta[..., k : 2 * k])
        )
        return jnp.exp(log_alpha), beta, jax.nn.log_softmax(theta[..., 2 * k :], axis=-1)

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Data to latent."""
        return _project(x, *self._params(theta))

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Latent to data, numerically."""
        params = self._params(theta)
        return _invert(lambda x: _project(x, *params), y)


def _project(x: X, alpha: Components, beta: Components, log_weights: Components) -> tuple[X, X]:
    """By sine and cosine of half the angle, which have no pole."""
    turns = TURN * jnp.floor(x / TURN)
    half = 0.5 * (x - turns)[..., None]
    # sine and cosine of half - pi / 2
    sin, cos = -jnp.cos(half), jnp.sin(half)
    image = alpha * sin + beta * cos
    y = jnp.sum(jnp.exp(log_weights) * (2 * jnp.arctan2(image, cos) + math.pi), axis=-1)
    log_slopes = jnp.log(alpha) - jnp.log(jnp.square(image) + jnp.square(cos))
    return y + turns, jax.nn.logsumexp(log_weights + log_slopes, axis=-1)


def _invert(function: Callable[[X], tuple[X, X]], y: X) -> tuple[X, X]:
    """Of an increasing function that adds a turn when its argument does, and fixes 0."""
    turns = TURN * jax.lax.stop_gradient(jnp.floor(y / TURN))
    low = jnp.zeros_like(y)
    x = invert_increasing(function, y - turns, low, low + TURN)
    return x + turns, -function(x)[1]


class Conditionals(Bijector):
    """Transforms element i by a transform of its own, given the elements before it.

    The autoregressive form for few elements of different kinds, as an interval and a circle.
    Forward is one pass, inverse goes element by element.

    Source: sections 2.2 and 2.3 of the paper.

    Attributes:
        transforms: of each element.
        nets: (features of the elements before, cond, features) -> [B, features], one for each
            element. What precedes the first is a column of ones.
        angles: whether each element is an angle, which nets see as cosine and sine.
    """

    transforms: Sequence[Transform]
    nets: Sequence[nn.Module]
    angles: Sequence[bool]

    @property
    def reversible(self) -> bool:
        """False: the inverse goes element by element."""
        return False

    def _theta(self, i: int, before: list[Float[Array, " b"]], x: Any, cond: Any) -> Array:
        seen = [jnp.ones_like(x[:, 0])]
        for value, angle in zip(before, self.angles, strict=False):
            seen += [jnp.cos(value), jnp.sin(value)] if angle else [value]
        return self.nets[i](jnp.stack(seen, axis=-1), cond, self.transforms[i].features)

    def _run(self, x: Float[Array, "b d"], cond: Any, back: bool) -> tuple[Any, LogDet]:
        if x.shape[-1] != len(self.transforms):
            raise ValueError(f"expected {len(self.transforms)} elements, got shape {x.shape[1:]}")
        logdet, out = zero_logdet(x), []
        for i, transform in enumerate(self.transforms):
            before = out if back else [x[:, j] for j in range(i)]
            apply = transform.inverse if back else transform.forward
            y, log_slope = apply(x[:, i], self._theta(i, before, x, cond))
            out.append(y)
            logdet += log_slope
        return jnp.stack(out, axis=-1), logdet

    def forward(self, x: Float[Array, "b d"], cond: Any = None) -> tuple[Any, LogDet]:
        """All elements at once."""
        return self._run(x, cond, back=False)

    def inverse(self, y: Float[Array, "b d"], cond: Any = None) -> tuple[Any, LogDet]:
        """First to last."""
        return self._run(y, cond, back=True)
