"""Bijectors with free parameters: diagonal, orthogonal, and any elementwise transform."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet
from jaxgen.bijectors.reversible import are_reversible
from jaxgen.bijectors.transforms import Transform
from jaxgen.ops.densities import sum_event

X = Float[Array, "b *event c"]


class Diagonal(Bijector):
    """x -> x * exp(log_scale) + bias, of every element its own; starts as the identity.

    Source: Dinh et al. 2015, NICE, section 3.3, whose scaling layer has no bias.

    Attributes:
        bias: add one.
    """

    bias: bool = True

    @nn.compact
    def _params(self, x: X) -> tuple[Float[Array, "1 *event c"], Float[Array, "1 *event c"]]:
        zeros = nn.initializers.zeros
        log_scale = self.param("log_scale", zeros, x.shape[1:], x.dtype)
        bias = jnp.zeros_like(log_scale)
        if self.bias:
            bias = self.param("bias", zeros, x.shape[1:], x.dtype)
        return log_scale[None], bias[None]

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Scales, then adds."""
        log_scale, bias = self._params(x)
        return x * jnp.exp(log_scale) + bias, zero_logdet(x) + sum_event(log_scale)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Subtracts, then divides."""
        log_scale, bias = self._params(y)
        return (y - bias) * jnp.exp(-log_scale), zero_logdet(y) - sum_event(log_scale)


class Householder(Bijector):
    """An orthogonal map of the channels: a product of reflections x -> x - 2 v (v x) / (v v).

    As many reflections as channels reach every orthogonal matrix of one sign of determinant.
    Sums are elementwise and so in full precision on every platform.

    Source: Tomczak & Welling 2016, Improving variational auto-encoders using Householder flow,
    section 3.2, with free instead of amortised vectors.

    Attributes:
        reflections: number of vectors v; a zero vector reflects nothing.
    """

    reflections: int

    @nn.compact
    def _vectors(self, x: X) -> Float[Array, "k c"]:
        shape = (self.reflections, x.shape[-1])
        return self.param("vectors", nn.initializers.normal(1.0), shape, x.dtype)

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Reflects by every vector, first to last."""
        return _reflect(x, self._vectors(x), reverse=False), zero_logdet(x)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Reflects by every vector, last to first."""
        return _reflect(y, self._vectors(y), reverse=True), zero_logdet(y)


def _reflect(x: X, vectors: Float[Array, "k c"], reverse: bool) -> X:
    def one(x: X, v: Float[Array, " c"]) -> tuple[X, None]:
        square = jnp.sum(jnp.square(v))
        v = v.reshape((1,) * (x.ndim - 1) + v.shape)
        along = jnp.sum(x * v, axis=-1, keepdims=True) / jnp.where(square > 0, square, 1)
        return x - 2 * along * v, None

    return jax.lax.scan(one, x, vectors, reverse=reverse)[0]


class Elementwise(Bijector):
    """Any elementwise transform, with learned parameters of every element and no network.

    Zero parameters, with which it starts, are the identity of most transforms.

    Attributes:
        transform: see `transforms.py`.
    """

    transform: Transform

    @property
    def reversible(self) -> bool:
        """Whether the transform is."""
        return are_reversible(self.transform)

    @nn.compact
    def _theta(self, x: X) -> Float[Array, "b *event c features"]:
        shape = (*x.shape[1:], self.transform.features)
        theta = self.param("theta", nn.initializers.zeros, shape, x.dtype)
        return jnp.broadcast_to(theta[None], (x.shape[0], *shape))

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms every element."""
        y, log_slope = self.transform.forward(x, self._theta(x))
        return y, sum_event(log_slope)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms it back."""
        x, log_slope = self.transform.inverse(y, self._theta(y))
        return x, sum_event(log_slope)
