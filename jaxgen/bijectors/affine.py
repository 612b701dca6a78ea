"""Affine maps: fixed, normalising, channel-mixing, and conditioned on something else."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import jax.scipy.linalg
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, positions, zero_logdet
from jaxgen.ops.channels import scale_channels, spread
from jaxgen.ops.densities import sum_event

X = Float[Array, "b *event c"]


class Affine(Bijector):
    """x -> (x + shift) * scale with fixed numbers, as in preprocessing.

    Attributes:
        shift: added first.
        scale: multiplies then; not zero.
    """

    shift: float = 0.0
    scale: float = 1.0

    def _logdet(self, x: X) -> LogDet:
        return zero_logdet(x) + x[0].size * jnp.log(jnp.abs(jnp.asarray(self.scale, x.dtype)))

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Shifts, then scales."""
        return (x + self.shift) * self.scale, self._logdet(x)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Undoes the scale, then the shift."""
        return y / self.scale - self.shift, -self._logdet(y)


class ActNorm(Bijector):
    """Per-channel affine map that gives the first batch zero mean and unit variance.

    The parameter holds the log-scale divided by `log_scale_factor`, which multiplies its
    learning rate.

    Source: Kingma & Dhariwal 2018, Glow, section 3.1; the factor 3 and eps are those of the
    official code (`tfops.py`).
    """

    log_scale_factor: float = 3.0
    eps: float = 1e-6

    @nn.compact
    def shift_and_log_scale(self, x: X) -> tuple[Any, Any]:
        """What is added and the logarithm of what then multiplies, [C] each.

        The values of x, [B, ..., C], are read by initialisation only.
        """
        axes = tuple(range(x.ndim - 1))
        bias = self.param("bias", lambda _: -jnp.mean(x, axes))
        log_scale = self.param(
            "log_scale", lambda _: -jnp.log(jnp.std(x, axes) + self.eps) / self.log_scale_factor
        )
        return bias, log_scale * self.log_scale_factor

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Adds the bias, then multiplies by the scale."""
        bias, log_scale = self.shift_and_log_scale(x)
        y = scale_channels(x + spread(bias, x.shape), jnp.exp(log_scale))
        return y, zero_logdet(x) + positions(x) * jnp.sum(log_scale)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Divides by the scale, then subtracts the bias."""
        bias, log_scale = self.shift_and_log_scale(y)
        x = scale_channels(y, jnp.exp(-log_scale)) - spread(bias, y.shape)
        return x, zero_logdet(y) - positions(y) * jnp.sum(log_scale)


class InvertibleConv(Bijector):
    """1x1 convolution: one square matrix W mixes the channels, y = x W.

    Starts as a random rotation. Computed in full precision on every platform: the inverse of a
    TF32 or bfloat16 product is wrong in the third digit, and the likelihood does not show it.

    Source: Glow, section 3.2; the LU form W = P L (U + diag(s)), with P and the signs of s
    fixed, is equation 11.

    Attributes:
        lu: parametrise W by its LU decomposition, whose log-determinant is a sum.
        identity: start as the identity instead.
    """

    lu: bool = False
    identity: bool = False

    @nn.compact
    def _weight(self, x: X) -> tuple[Any, Any]:
        c = x.shape[-1]
        start = _eye if self.identity else nn.initializers.orthogonal()
        if not self.lu:
            weight = self.param("weight", start, (c, c), x.dtype)
            return weight, jnp.linalg.slogdet(weight)[1]

        p = low = up = jnp.eye(c, dtype=x.dtype)
        if self.is_initializing():
            p, low, up = jax.scipy.linalg.lu(start(self.make_rng("params"), (c, c), x.dtype))
        s = jnp.diag(up)
        permutation = self.variable("constants", "permutation", lambda: p).value
        sign = self.variable("constants", "sign", lambda: jnp.sign(s)).value
        lower = self.param("lower", lambda _: jnp.tril(low, -1))
        upper = self.param("upper", lambda _: jnp.triu(up, 1))
        log_s = self.param("log_s", lambda _: jnp.log(jnp.abs(s)))
        lower = jnp.tril(lower, -1) + jnp.eye(c, dtype=x.dtype)
        upper = jnp.triu(upper, 1) + jnp.diag(sign * jnp.exp(log_s))
        return _matmul(_matmul(permutation, lower), upper), jnp.sum(log_s)

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Multiplies every pixel's channels by W."""
        weight, logdet = self._weight(x)
        return _matmul(x, weight), zero_logdet(x) + positions(x) * logdet

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Multiplies every pixel's channels by the inverse of W."""
        weight, logdet = self._weight(y)
        inverse = jnp.linalg.inv(weight)
        # one Newton step: in float32 it is ten times more exact at 384 channels
        residual = 2 * jnp.eye(len(weight), dtype=weight.dtype) - _matmul(weight, inverse)
        x = _matmul(y, _matmul(inverse, residual))
        return x, zero_logdet(y) - positions(y) * logdet


def _eye(rng: Any, shape: tuple[int, int], dtype: Any) -> Float[Array, "c c"]:
    return jnp.eye(shape[0], dtype=dtype)


def _matmul(x: Float[Array, "*rows c"], w: Float[Array, "c d"]) -> Float[Array, "*rows d"]:
    dims = (((x.ndim - 1,), (0,)), ((), ()))
    return jax.lax.dot_general(x, w, dims, precision=jax.lax.Precision.HIGHEST)


class ConditionalAffine(Bijector):
    """Makes a diagonal Gaussian standard: x -> (x - mean) / scale, both from `net(cond)`.

    A learned or conditional prior is this bijector in front of a standard base density: its
    latent is the noise `eps` that a temperature multiplies.

    Attributes:
        net: (x, cond, features) -> [B, ..., features], mean and log-scale in halves; must not
            read the values of x, only its shape.
    """

    net: nn.Module

    def _params(self, x: X, cond: Any) -> tuple[X, X]:
        out = self.net(x, cond, 2 * x.shape[-1]).astype(x.dtype)
        shift, scale = jnp.split(out, 2, axis=-1)
        return shift, scale

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Sample to noise."""
        mean, log_scale = self._params(x, cond)
        return (x - mean) * jnp.exp(-log_scale), -sum_event(log_scale)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Noise to sample."""
        mean, log_scale = self._params(y, cond)
        return y * jnp.exp(log_scale) + mean, sum_event(log_scale)
