"""Group normalisation as one multiplication and one addition for each channel of an example."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nn.arrays import Images, Rows


class GroupNorm(nn.Module):
    """Moments of groups of channels to 0 and 1, then a learnt scale and bias of each channel.

    It is `flax.linen.GroupNorm`, with its parameters, but for rounding: on a CPU it takes half the
    time, since an image is read once for its sums and once to be scaled.

    Source: Wu & He 2018, "Group Normalization" (ECCV), equations 2, 3 and 7.

    Attributes:
        groups: of neighbouring channels, all equally large.
        eps: added to the variance.
        dtype: of the result; None is that of x. Statistics are float32 at least.
    """

    groups: int
    eps: float = 1e-6
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Images, scale: Rows | None = None, shift: Rows | None = None) -> Images:
        """[B, H, W, C] to the same; times 1 + scale, plus shift, [B, C] each, where given."""
        b, _, _, c = x.shape
        real = jnp.promote_types(x.dtype, jnp.float32)
        wide = x.astype(real)
        mean, square = (
            jnp.mean(jnp.mean(v, axis=(1, 2)).reshape(b, self.groups, -1), axis=-1)
            for v in (wide, wide * wide)
        )
        inverse = jax.lax.rsqrt(jnp.maximum(square - mean * mean, 0.0) + self.eps)
        mean, inverse = (jnp.repeat(v, c // self.groups, axis=-1) for v in (mean, inverse))
        factor = inverse * self.param("scale", nn.initializers.ones, (c,))[None]
        term = self.param("bias", nn.initializers.zeros, (c,))[None] - mean * factor
        if scale is not None:
            factor, term = factor * (1 + scale), term * (1 + scale)
        if shift is not None:
            term = term + shift
        y = wide * factor[:, None, None] + term[:, None, None]
        return y.astype(self.dtype or x.dtype)
