"""From integers to real numbers: dequantisation and the logit, each with its log-determinant.

With these as bijectors in front of a flow, log p(integers) is the base log-density plus the
summed log-determinants, and nobody adds `log 256` by hand.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet
from jaxgen.ops.densities import sum_event


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
        # close below 1, x + u would round to x + 1
        u = jnp.minimum(u, 1 - 4 * self.levels * jnp.finfo(dtype).eps)
        y = (x.astype(dtype) + u) / self.levels
        return y, zero_logdet(y) - x[0].size * jnp.log(jnp.asarray(self.levels, dtype))

    def inverse(self, y: Float[Array, "b *event"], cond: Any = None) -> tuple[Any, LogDet]:
        """Real numbers to the nearest valid integer below: uint8, or uint16 above 256 levels."""
        x = jnp.clip(jnp.floor(y * self.levels), 0, self.levels - 1)
        logdet = zero_logdet(y) + y[0].size * jnp.log(jnp.asarray(self.levels, y.dtype))
        return x.astype(jnp.uint8 if self.levels <= 256 else jnp.uint16), logdet


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
