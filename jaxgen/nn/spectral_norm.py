"""Layers whose kernels are divided by their largest singular value.

Source: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks" (ICLR),
algorithm 1 and the official code (pfnet-research/sngan_projection). A kernel is read as the matrix
[all axes but the last, features]. One iteration of the power method is made at each training
pass; its vector is kept as "u" in the collection "spectral" and has no gradient. The left vector is
that of the new u, half an iteration later than in the paper, so that training and evaluation
divide by the same value; it is still at most the singular value.

Layers compute in the dtype of what they are given; kernels, and what is known of their singular
values, are float32.
"""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Channels, Images, Resized, Rows
from jaxgen.nn.conv import conv
from jaxgen.ops.precision import plus

Vector = Float[Array, " n"]
Kernel = Float[Array, "*axes features"]
LEAST = 1e-12  # of a norm that one divides by
GLOROT = nn.initializers.glorot_uniform()


def unit(x: Vector) -> Vector:
    """A vector of norm one."""
    return x / (jnp.sqrt(jnp.sum(jnp.square(x))) + LEAST)


def normalised(module: nn.Module, kernel: Kernel, name: str = "u") -> Kernel:
    """The kernel over its largest singular value, as the module's vector tells it.

    Args:
        module: that keeps the vector, and in whose compact method this is called.
        kernel: [..., features].
        name: of the vector.
    """
    matrix = kernel.reshape(-1, kernel.shape[-1])
    still = jax.lax.stop_gradient(matrix)

    def start() -> Vector:
        return unit(jax.random.normal(module.make_rng("params"), matrix.shape[1:]))

    kept = module.variable("spectral", name, start)
    u = kept.value
    if module.is_mutable_collection("spectral") and not module.is_initializing():
        u = kept.value = unit(unit(still @ u) @ still)
    v = unit(still @ u)
    sigma = v @ matrix @ u
    return kernel / jnp.maximum(sigma, LEAST)


class Dense(nn.Module):
    """`flax.linen.Dense` with a spectrally normalised kernel, unless `spectral` is False.

    Attributes:
        features: out.
        use_bias: whether to add a bias, of 0 at first.
        kernel_init: initialiser of the kernel, [in, features].
        spectral: whether to normalise.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable[..., Array] = GLOROT
    spectral: bool = True

    @nn.compact
    def __call__(self, x: Rows) -> Channels:
        """[B, in] -> [B, features]."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features))
        y = x @ (normalised(self, kernel) if self.spectral else kernel).astype(x.dtype)
        if not self.use_bias:
            return y
        return plus(y, self.param("bias", nn.initializers.zeros, (self.features,))[None])


class Conv(nn.Module):
    """A convolution with a spectrally normalised kernel, unless `spectral` is False.

    Attributes:
        features: channels out.
        kernel: its side.
        use_bias: whether to add a bias, of 0 at first.
        kernel_init: initialiser of the kernel, [kernel, kernel, in, features].
        spectral: whether to normalise.
        stride: of both axes.
        padding: "SAME", or pixels on every side.
    """

    features: int
    kernel: int = 3
    use_bias: bool = True
    kernel_init: Callable[..., Array] = GLOROT
    spectral: bool = True
    stride: int = 1
    padding: str | int = "SAME"

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', features]."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        kernel = normalised(self, kernel) if self.spectral else kernel
        y = conv(x, kernel, self.stride, self.padding)
        if not self.use_bias:
            return y
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return plus(y, bias.reshape(1, 1, 1, -1))
