"""From integers to real numbers: dequantisation and the logit, each with its log-determinant.

With these as bijectors in front of a flow, log p(integers) is the base log-density plus the
summed log-determinants, and nobody adds `log 256` by hand.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet
from jaxgen.ops.densities import normal_log_prob, sum_event


class UniformDequantize(Bijector):
    """Integers 0 .. levels - 1 to [0, 1): x -> (x + u) / levels with u uniform in [0, 1).

    Its log-determinant is that of the scaling; with it, the density of the result is a lower
    bound of the log-probability of the integers. Needs the random stream "dequantize".

    Source: Theis et al. 2016, A note on the evaluation of generative models, section 3.1.

    Attributes:
        levels: number of grey levels.
    """

    levels: int

    def forward(self, x: Num[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """Integers to real numbers, float32 (float64 from float64)."""
        dtype = jnp.promote_types(x.dtype, jnp.float32) if x.dtype.kind == "f" else jnp.float32
        u = jax.random.uniform(self.make_rng("dequantize"), x.shape, dtype)
        return _add(x, u, self.levels)

    def inverse(self, y: Float[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """Real numbers to the nearest valid integer below: uint8, or uint16 above 256 levels."""
        return _floor(y, self.levels)


class VariationalDequantize(Bijector):
    """Integers to [0, 1): x -> (x + u) / levels with u drawn from a learned density q(u | x).

    u is the sigmoid of a flow of standard normal noise, stretched by alpha so that 0 and 1 are
    reached by finite noise, and cut off there. The log-determinant is that of the
    scaling less log q(u | x): with it, the density of the result is a lower bound of the
    log-probability of the integers, and a tighter one than that of uniform noise as q comes
    closer to the density of the pixels. Needs the random stream "dequantize".

    Source: Ho et al. 2019, Flow++, section 3.1, equation 8; alpha is that of the flows of the
    UvA deep learning tutorials (Lippe, tutorial 11), the paper has none.

    Attributes:
        levels: number of grey levels.
        flow: of the noise: `forward`, given the image in [-1/2, 1/2) as `cond`, makes of it what
            the sigmoid is taken of. Its inverse is never used.
        alpha: in [0, 1): u = (sigmoid - alpha / 2) / (1 - alpha).
    """

    levels: int
    flow: Bijector
    alpha: float = 1e-5

    def forward(self, x: Num[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """Integers to real numbers, float32 (float64 from float64)."""
        dtype = jnp.promote_types(x.dtype, jnp.float32) if x.dtype.kind == "f" else jnp.float32
        eps = jax.random.normal(self.make_rng("dequantize"), x.shape, dtype)
        raw, logdet = self.flow.forward(eps, x.astype(dtype) / self.levels - 0.5)
        logdet += sum_event(jax.nn.log_sigmoid(raw) + jax.nn.log_sigmoid(-raw))
        u = (jax.nn.sigmoid(raw) - self.alpha / 2) / (1 - self.alpha)
        y, scaling = _add(x, u, self.levels)
        scaling -= x[0].size * math.log1p(-self.alpha)
        return y, scaling + logdet - sum_event(normal_log_prob(eps))

    def inverse(self, y: Float[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """As that of `UniformDequantize`: of the scaling alone, since floor forgets the noise."""
        return _floor(y, self.levels)


def _add(x: Num[Array, "b *event"], u: Float[Array, "b *event"], levels: int) -> Any:
    """(x + u) / levels and its log-determinant."""
    # close below 1, x + u would round to x + 1
    u = jnp.clip(u, 0, 1 - 4 * levels * jnp.finfo(u.dtype).eps)
    y = (x.astype(u.dtype) + u) / levels
    return y, zero_logdet(y) - x[0].size * jnp.log(jnp.asarray(levels, u.dtype))


def _floor(y: Float[Array, "b *event"], levels: int) -> Any:
    """The nearest valid integer below, and the log-determinant of the scaling."""
    x = jnp.clip(jnp.floor(y * levels), 0, levels - 1)
    logdet = zero_logdet(y) + y[0].size * jnp.log(jnp.asarray(levels, y.dtype))
    return x.astype(jnp.uint8 if levels <= 256 else jnp.uint16), logdet


class Logit(Bijector):
    """[0, 1] to the real line: x -> logit(alpha + (1 - 2 alpha) x).

    Source: RealNVP, section 4.1, in the form of the official code: the form of the text,
    alpha + (1 - alpha) x, is infinite at x = 1.

    Attributes:
        alpha: in [0, 0.5); keeps the ends of the range finite.
    """

    alpha: float = 0.05

    def forward(self, x: Float[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """Unit interval to real line."""
        p = self.alpha + (1 - 2 * self.alpha) * x
        y = jnp.log(p) - jnp.log1p(-p)
        return y, self._logdet(y)

    def inverse(self, y: Float[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """Real line to unit interval, and a little beyond its ends."""
        x = (jax.nn.sigmoid(y) - self.alpha) / (1 - 2 * self.alpha)
        return x, -self._logdet(y)

    def _logdet(self, y: Float[Array, "b *event"]) -> LogDet:
        # dy/dx = (1 - 2 alpha) / (p (1 - p)) and -log p(1 - p) = softplus(y) + softplus(-y)
        each = jax.nn.softplus(y) + jax.nn.softplus(-y)
        return sum_event(each + jnp.log1p(jnp.asarray(-2 * self.alpha, y.dtype)))
