"""Weight normalisation that starts on the first batch.

Source: Salimans & Kingma 2016, "Weight Normalization" (NeurIPS), equations 2 and 4 to 6.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Batched

DIRECTIONS = nn.initializers.normal(0.05)


def unit_kernel(direction: Array) -> Array:
    """v / |v| of each output channel, the last axis."""
    axes = tuple(range(direction.ndim - 1))
    square = jnp.sum(jnp.square(direction), axes, keepdims=True)
    return direction * jax.lax.rsqrt(jnp.maximum(square, 1e-12))


def rescaled(module: nn.Module, y: Array, std: float) -> Array:
    """y with a learned scale and bias per channel, which give it moments 0 and `std` at first.

    To be called in a compact module, whose parameters "scale" and "bias" are.

    Args:
        module: which.
        y: [B, ..., C], what kernels of unit norm make.
        std: of the outputs on the batch that initialises the module.
    """
    axes = tuple(range(y.ndim - 1))

    def scale() -> Array:
        return std * jax.lax.rsqrt(jnp.var(y, axes) + 1e-10)

    g = module.param("scale", lambda _: scale())
    bias = module.param("bias", lambda _: -jnp.mean(y, axes) * scale())
    return y * g.reshape(*(1,) * len(axes), -1) + bias.reshape(*(1,) * len(axes), -1)


class WeightNormDense(nn.Module):
    """A dense layer with weight normalisation.

    Attributes:
        features: channels out.
        std: of the outputs on the first batch.
    """

    features: int
    std: float = 1.0

    @nn.compact
    def __call__(self, x: Batched) -> Batched:
        """[B, ..., C] -> [B, ..., features]."""
        direction = self.param("direction", DIRECTIONS, (x.shape[-1], self.features))
        return rescaled(self, x @ unit_kernel(direction), self.std)
