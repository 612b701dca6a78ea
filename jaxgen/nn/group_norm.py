"""Group normalisation, whose sums over positions are matrix products."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Images, Rows

OfChannels = Float[Array, "b 1 c"]


class GroupNorm(nn.Module):
    """Moments of groups of channels to 0 and 1, then a learnt scale and bias of each channel.

    It is `flax.linen.GroupNorm`, with its parameters, but for rounding: sums over positions are
    matrix products, which XLA runs faster on a CPU. Values are centred before they are squared, so
    nearly equal ones keep their variance.

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
        b, h, w, c = x.shape
        real = jnp.promote_types(x.dtype, jnp.float32)
        flat = x.astype(real).reshape(b, h * w, c)
        share = jnp.full((b, 1, h * w), 1 / (h * w), real)
        flat = flat - self._of_groups(share @ flat)
        factor = jax.lax.rsqrt(self._of_groups(share @ jnp.square(flat)) + self.eps)
        factor = factor * self.param("scale", nn.initializers.ones, (c,))[None, None]
        term = self.param("bias", nn.initializers.zeros, (c,))[None, None]
        if scale is not None:
            factor, term = factor * (1 + scale[:, None]), term * (1 + scale[:, None])
        if shift is not None:
            term = term + shift[:, None]
        return (flat * factor + term).astype(self.dtype or x.dtype).reshape(x.shape)

    def _of_groups(self, v: OfChannels) -> OfChannels:
        """The mean of every channel's group."""
        b, _, c = v.shape
        means = jnp.mean(v.reshape(b, 1, self.groups, -1), axis=-1)
        return jnp.repeat(means, c // self.groups, axis=-1)
