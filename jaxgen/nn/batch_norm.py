"""Batch normalisation with PyTorch's running variance."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.nn.arrays import Features
from jaxgen.ops.channels import channel_sum, scale_channels, spread


class BatchNorm(nn.Module):
    """By the batch's moments where the collection "batch_stats" may move, else by the running ones.

    The batch's variance is the biased one; the running variance collects the unbiased one, n / (n -
    1) times as large, as PyTorch's `batch_norm` does and with it most official code. Moments are of
    the global batch, and in float32 for half precision. The scale is noted in the collection
    "intermediates", as "scale", if it is mutable: methods penalise it.

    Source: Ioffe & Szegedy 2015, "Batch Normalization", algorithms 1 and 2.

    Attributes:
        momentum: share of the running moments that a batch leaves; PyTorch's is 1 - this.
        eps: added to the variance.
        scaled: learn a scale and a bias per channel.
    """

    momentum: float = 0.9
    eps: float = 1e-5
    scaled: bool = True

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """[..., C] to the same, per channel."""
        shape, dtype = x.shape[-1:], x.dtype
        x = x.astype(jnp.promote_types(dtype, jnp.float32))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape)
        if self.is_mutable_collection("batch_stats"):
            count = x.size // x.shape[-1]
            mean = channel_sum(x) / count
            x = x - spread(mean, x.shape)
            var = channel_sum(jnp.square(x)) / count
            if not self.is_initializing():
                unbiased = var * (count / max(count - 1, 1))
                running_mean.value += (1 - self.momentum) * (mean - running_mean.value)
                running_var.value += (1 - self.momentum) * (unbiased - running_var.value)
        else:
            x, var = x - spread(running_mean.value, x.shape), running_var.value
        factor = jax.lax.rsqrt(var + self.eps)
        if self.scaled:
            scale = self.param("scale", nn.initializers.ones, shape)
            bias = self.param("bias", nn.initializers.zeros, shape)
            self.sow("intermediates", "scale", scale, lambda _, new: new, lambda: scale)
            return (scale_channels(x, scale * factor) + spread(bias, x.shape)).astype(dtype)
        return scale_channels(x, factor).astype(dtype)
