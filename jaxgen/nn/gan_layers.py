"""Layers of generators and discriminators: classes, attention, sizes, sets of examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxgen.nn import batch_norm
from jaxgen.nn.arrays import Doubled, Features, Halved, Images, Resized, Rows, Wide
from jaxgen.nn.spectral_norm import Conv, Dense
from jaxgen.ops.precision import plus, times, wide


class BatchNorm(nn.Module):
    """Batch normalisation whose scale and shift may depend on the class.

    The statistics are those of `jaxgen.nn.batch_norm`. With a condition, scale is 1 + W c and shift
    V c, without biases.

    Source: Dumoulin et al. 2017, A learned representation for artistic style, equation 5; Miyato
    & Koyama 2018, cGANs with projection discriminator; the form of 1 + W c is that of BigGAN.

    Attributes:
        spectral: normalise W and V, as BigGAN does.
        momentum: of the running statistics: the share that is kept.
        eps: added to the variance.
    """

    spectral: bool = False
    momentum: float = 0.9
    eps: float = 1e-5

    @nn.compact
    def __call__(self, x: Features, cond: Rows | None = None) -> Features:
        """[B, ..., C], and the condition [B, K] or None."""
        x = batch_norm.BatchNorm(self.momentum, self.eps, cond is None, name="moments")(x)
        if cond is None:
            return x
        features, zeros = x.shape[-1], nn.initializers.zeros
        init = nn.initializers.orthogonal() if self.spectral else zeros
        shape = (x.shape[0],) + (1,) * (x.ndim - 2) + (features,)
        gain, shift = (
            Dense(features, False, init, self.spectral, name=name)(cond).reshape(shape)
            for name in ("gain", "shift")
        )
        return plus(times(x, 1 + gain), shift)


class SelfAttention(nn.Module):
    """x + gamma o(attention), gamma 0 at first; keys and values are pooled by two.

    Source: Zhang et al. 2019, Self-attention generative adversarial networks, section 3, with the
    official code's channels (C / 8 of keys and queries, C / 2 of values) and pooling.

    Attributes:
        spectral: normalise the kernels.
        kernel_init: of them.
    """

    spectral: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.orthogonal()

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] -> the same."""
        b, h, w, c = x.shape

        def one_by_one(features: int, name: str) -> Conv:
            return Conv(features, 1, False, self.kernel_init, self.spectral, name=name)

        query = one_by_one(c // 8, "query")(x).reshape(b, h * w, -1)
        key = largest(one_by_one(c // 8, "key")(x)).reshape(b, h * w // 4, -1)
        value = largest(one_by_one(c // 2, "value")(x)).reshape(b, h * w // 4, -1)
        logits = wide(jnp.einsum("bqc,bkc->bqk", query, key))
        weights = jax.nn.softmax(logits, axis=-1).astype(x.dtype)
        mixed = jnp.einsum("bqk,bkc->bqc", weights, value).reshape(b, h, w, -1)
        gamma = self.param("gamma", nn.initializers.zeros, ())
        return x + times(one_by_one(c, "out")(mixed), gamma)


class MinibatchDiscrimination(nn.Module):
    """Features, and how near each example's projections are to those of the others.

    Source: Salimans et al. 2016, Improved techniques for training GANs, section 3.2; an example
    is not compared with itself, as in the official code.

    Attributes:
        kernels: B of the paper.
        width: C of the paper, dimensions of a kernel.
    """

    kernels: int = 100
    width: int = 5

    @nn.compact
    def __call__(self, x: Rows) -> Wide:
        """[B, D] -> [B, D + kernels]."""
        shape = (x.shape[-1], self.kernels * self.width)
        projected = x @ self.param("kernel", nn.initializers.normal(0.05), shape)
        m = projected.reshape(x.shape[0], self.kernels, self.width)
        distance = jnp.sum(jnp.abs(m[:, None] - m[None]), axis=-1)  # [B, B, kernels]
        others = 1 - jnp.eye(x.shape[0], dtype=x.dtype)[..., None]
        bias = self.param("bias", nn.initializers.constant(-1.0), (self.kernels,))
        return jnp.concatenate([x, jnp.sum(jnp.exp(-distance) * others, axis=1) + bias[None]], -1)


def largest(x: Images) -> Halved:
    """[B, H, W, C] -> [B, H / 2, W / 2, C]: the largest of four."""
    b, h, w, c = x.shape
    return jnp.max(x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def pooled(x: Images) -> Halved:
    """[B, H, W, C] -> [B, H / 2, W / 2, C]: means of four."""
    b, h, w, c = x.shape
    return jnp.mean(x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def shrunk(x: Images) -> Resized:
    """Means of 3x3, every second one; pixels beyond the border do not count."""
    window, stride = (1, 3, 3, 1), (1, 2, 2, 1)
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    zero = np.zeros((), x.dtype)  # a constant: JAX knows the gradient of a sum from zero alone
    total = lax.reduce_window(x, zero, lax.add, window, stride, pads)
    ones = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return total / lax.reduce_window(ones, zero, lax.add, window, stride, pads)


def doubled(x: Images) -> Doubled:
    """[B, H, W, C] -> [B, 2 H, 2 W, C]: every pixel four times."""
    b, h, w, c = x.shape
    wide = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    return wide.reshape(b, 2 * h, 2 * w, c)


def pyramid(size: Sequence[int], least: int = 4) -> tuple[int, int, int]:
    """(height, width, times): what [H, W] becomes when it is halved as often as it can be.

    Halving ends before a side is odd or below `least`: 32 to 4 in three times, 28 to 7 in two.

    Args:
        size: H and W.
        least: side at which to stop.

    Raises:
        ValueError: for sizes that cannot be halved once.
    """
    h, w = size
    times = 0
    while h % 2 == 0 and w % 2 == 0 and min(h, w) >= 2 * least:
        h, w, times = h // 2, w // 2, times + 1
    if not times:
        raise ValueError(
            f"images of {size[0]}x{size[1]} cannot be halved: expected even sides of "
            f"{2 * least} or more; resize them (data.size)"
        )
    return h, w, times


def scaled_glorot(gain: float) -> Callable[..., Any]:
    """Glorot's uniform initialiser, times `gain`."""
    return nn.initializers.variance_scaling(gain**2, "fan_avg", "uniform")


ROOT_TWO_GLOROT = scaled_glorot(math.sqrt(2))
