"""Coupling layers: one half of the channels is transformed by what a network makes of the other."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet
from jaxgen.bijectors.transforms import Transform
from jaxgen.ops.densities import sum_event

X = Float[Array, "b *event c"]
Half = Float[Array, "b *event _"]


class Coupling(Bijector):
    """(a, b) -> (a, t(b)), where the parameters of the elementwise t are a network of a.

    Source: Dinh et al. 2015, NICE, section 3; the first half of the channels conditions, as in
    Glow's official code.

    Attributes:
        transform: elementwise, see `transforms.py`.
        net: (a, cond, features) -> [B, ..., features]; the parameters of one element of b
            stand next to each other.
    """

    transform: Transform
    net: nn.Module

    def _split(self, x: X, cond: Any) -> tuple[Half, Half, Float[Array, "b *event _ features"]]:
        channels = x.shape[-1]
        if channels < 2:
            raise ValueError(
                f"a coupling needs at least 2 channels, got shape {x.shape[1:]}; squeeze first"
            )
        a, b = jnp.split(x, [channels // 2], axis=-1)
        theta = self.net(a, cond, b.shape[-1] * self.transform.features).astype(x.dtype)
        return a, b, theta.reshape(*b.shape, self.transform.features)

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms the second half."""
        a, b, theta = self._split(x, cond)
        b, log_slope = self.transform.forward(b, theta)
        return jnp.concatenate([a, b], axis=-1), sum_event(log_slope)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms it back."""
        a, b, theta = self._split(y, cond)
        b, log_slope = self.transform.inverse(b, theta)
        return jnp.concatenate([a, b], axis=-1), sum_event(log_slope)
