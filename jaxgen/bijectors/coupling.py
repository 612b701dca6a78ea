"""Coupling layers: one half of the channels is transformed by what a network makes of the other."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet, zero_logdet
from jaxgen.ops.densities import sum_event

X = Float[Array, "b *event c"]
Half = Float[Array, "b *event _"]


def _halves(x: X) -> tuple[Half, Half]:
    if x.shape[-1] < 2:
        raise ValueError(
            f"a coupling needs at least 2 channels, got shape {x.shape[1:]}; squeeze first"
        )
    return tuple(jnp.split(x, [x.shape[-1] // 2], axis=-1))


class AdditiveCoupling(Bijector):
    """(a, b) -> (a, b + net(a)); keeps volume.

    Source: Dinh et al. 2015, NICE, section 3.2.

    Attributes:
        net: (a, cond, features) -> [B, ..., features], the shift.
    """

    net: nn.Module

    def _shift(self, a: Half, b: Half, cond: Any) -> Half:
        return self.net(a, cond, b.shape[-1]).astype(b.dtype)

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Adds the shift."""
        a, b = _halves(x)
        return jnp.concatenate([a, b + self._shift(a, b, cond)], -1), zero_logdet(x)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Subtracts the shift."""
        a, b = _halves(y)
        return jnp.concatenate([a, b - self._shift(a, b, cond)], -1), zero_logdet(y)


class AffineCoupling(Bijector):
    """(a, b) -> (a, (b + shift) * scale) with scale = sigmoid(raw + 2) in (0, 1).

    The bounded scale keeps the inverse stable, also out of distribution. A zero-initialised net
    gives scale 0.88, not 1.

    Source: Glow, table 1; the order shift before scale, the sigmoid and the 2 are those of the
    official code (`model.py`). There shift and scale alternate along the channels; here they
    are two halves, which only permutes the net's outputs.

    Attributes:
        net: (a, cond, features) -> [B, ..., features], shift and raw scale in halves.
    """

    net: nn.Module

    def _params(self, a: Half, b: Half, cond: Any) -> tuple[Half, Half]:
        out = self.net(a, cond, 2 * b.shape[-1]).astype(b.dtype)
        shift, raw = jnp.split(out, 2, axis=-1)
        return shift, jax.nn.log_sigmoid(raw + 2.0)

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Shifts, then scales."""
        a, b = _halves(x)
        shift, log_scale = self._params(a, b, cond)
        y = jnp.concatenate([a, (b + shift) * jnp.exp(log_scale)], -1)
        return y, sum_event(log_scale)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Undoes the scale, then the shift."""
        a, b = _halves(y)
        shift, log_scale = self._params(a, b, cond)
        x = jnp.concatenate([a, b * jnp.exp(-log_scale) - shift], -1)
        return x, -sum_event(log_scale)
