"""Sylvester flow: a planar step along several directions at a time.

Source: van den Berg et al. 2018, "Sylvester Normalizing Flows for Variational Inference" (UAI),
sections 3.1 to 3.3, with its Householder form of the orthogonal matrix.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet
from jaxgen.ops.densities import sum_event
from jaxgen.ops.roots import invert_increasing, norm

X = Float[Array, "b d"]
Within = Float[Array, "#b m"]
Square = Float[Array, "#b m m"]
LIMIT = 0.999  # of the diagonals: 1 + r h' s stays above 0.002, which float32 can invert


class Sylvester(Bijector):
    """z -> z + Q R tanh(S Q^T z + b), Q orthonormal columns, R and S upper triangular.

    The diagonals of R and S are in (-1, 1), which is enough for an inverse; it is found by
    back-substitution, one search in each direction.

    Attributes:
        rank: M, number of directions, at most D.
        reflections: H, number of Householder reflections that Q is the product of.
        net: (x, cond, features) -> [B, features], the parameters of every example (amortised);
            must not read the values of x. None learns one set of parameters.
    """

    rank: int
    reflections: int = 4
    net: nn.Module | None = None

    @property
    def reversible(self) -> bool:
        """False: the inverse is a search in each direction."""
        return False

    @nn.compact
    def _params(self, x: X, cond: Any) -> tuple[Array, Square, Square, Within]:
        """Q [#B, D, M], R, S and b."""
        d, m, count = x.shape[-1], self.rank, self.reflections
        if m > d:
            raise ValueError(f"rank={m} is more than the {d} dimensions")
        sizes = (count * d, m * m, m * m, m)
        if self.net is None:
            init = nn.initializers.normal(0.3)
            theta = self.param("theta", init, (1, sum(sizes)), x.dtype)
        else:
            theta = self.net(x, cond, sum(sizes)).astype(x.dtype)
        ends = [sum(sizes[:i]) for i in range(1, len(sizes))]
        vectors, r, s, b = jnp.split(theta, ends, axis=-1)
        r, s = (_triangular(v.reshape(-1, m, m)) for v in (r, s))
        return _orthonormal(vectors.reshape(-1, count, d), m), r, s, b

    def _logdet(self, h: Within, r: Square, s: Square) -> LogDet:
        # 1 - tanh^2 = 1 / cosh^2
        flat = 1 / jnp.square(jnp.cosh(jnp.clip(h, -40.0, 40.0)))
        both = jnp.diagonal(r, axis1=1, axis2=2) * jnp.diagonal(s, axis1=1, axis2=2)
        return sum_event(jnp.log1p(flat * both))

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Simple to complicated: equation 13."""
        q, r, s, b = self._params(x, cond)
        h = _times(s, _times(jnp.swapaxes(q, 1, 2), x)) + b
        return x + _times(q, _times(r, jnp.tanh(h))), self._logdet(h, r, s)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Finds Q^T z from its last element to its first."""
        q, r, s, b = self._params(y, cond)
        wanted = _times(jnp.swapaxes(q, 1, 2), y)
        v = jnp.zeros_like(wanted)
        for i in reversed(range(self.rank)):
            # what the elements behind i, which are known, add
            h = _times(s, v) + b
            rest = wanted[:, i] - _times(r[:, i : i + 1, i + 1 :], jnp.tanh(h[:, i + 1 :]))[:, 0]
            ri, si, hi = r[:, i, i], s[:, i, i], h[:, i]

            def step(p: Array, ri: Any = ri, si: Any = si, hi: Any = hi) -> tuple[Array, Array]:
                bend = jnp.tanh(si * p + hi)
                flat = 1 / jnp.square(jnp.cosh(jnp.clip(si * p + hi, -40.0, 40.0)))
                return p + ri * bend, jnp.log1p(ri * si * flat)

            v = v.at[:, i].set(invert_increasing(step, rest, rest - 1, rest + 1))
        h = _times(s, v) + b
        return y - _times(q, _times(r, jnp.tanh(h))), -self._logdet(h, r, s)


def _triangular(raw: Square) -> Square:
    """Upper triangle, with a diagonal in (-1, 1)."""
    eye = jnp.eye(raw.shape[-1], dtype=raw.dtype)[None]
    return jnp.triu(raw, 1) + eye * LIMIT * jnp.tanh(raw)


def _orthonormal(vectors: Float[Array, "n h d"], rank: int) -> Float[Array, "n d m"]:
    """The first columns of the product of reflections at the planes across the vectors."""
    q = jnp.eye(vectors.shape[-1], dtype=vectors.dtype)[None, :, :rank]
    q = jnp.broadcast_to(q, (len(vectors), *q.shape[1:]))
    for i in range(vectors.shape[1]):
        v = vectors[:, i] / jnp.maximum(norm(vectors[:, i]), 1e-12)[:, None]
        q = q - 2 * v[:, :, None] * jnp.sum(v[:, :, None] * q, axis=1, keepdims=True)
    return q


def _times(matrix: Float[Array, "#b i j"], vector: Float[Array, "#b j"]) -> Array:
    """Of each example, in full precision on every platform."""
    return jnp.sum(matrix * vector[:, None, :], axis=-1)
