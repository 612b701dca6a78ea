"""Dense generator and discriminator, of points and of small images.

Source: Goodfellow et al. 2014, "Generative Adversarial Nets" (NeurIPS). The paper's maxout and
sigmoid units gave way to rectifiers; `maxout` brings the former back to the discriminator, as in
PacGAN (Lin et al. 2018), whose toy experiments use it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Codes, Examples, Logits
from jaxgen.nn.condition import Condition, beside
from jaxgen.nn.gan_layers import MinibatchDiscrimination
from jaxgen.nn.spectral_norm import Dense

INIT = nn.initializers.he_normal()


def leaky(x: Array, slope: float) -> Array:
    """Leaky rectifier; slope 0 is the plain one."""
    return jnp.where(x > 0, x, slope * x) if slope else nn.relu(x)


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1] or to points.

    Attributes:
        latent: width of z.
        hidden: widths of the hidden layers.
    """

    latent: int = 2
    hidden: Sequence[int] = (128, 128)

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Examples:
        """[B, latent] -> `size`; the class, if there is one, stands beside z."""
        h = beside(z, cond)
        for width in self.hidden:
            h = nn.relu(nn.Dense(width, kernel_init=INIT)(h))
        x = nn.Dense(math.prod(size[1:]))(h).reshape(size)
        return jnp.tanh(x) if len(size) == 4 else x


class Discriminator(nn.Module):
    """Images or points to logits.

    Attributes:
        hidden: widths of the hidden layers.
        slope: of the leaky rectifiers below zero.
        maxout: pieces of maxout units instead of rectifiers; 0 for none.
        spectral: normalise the kernels (Miyato et al. 2018); not with maxout.
        kernels: of minibatch discrimination before the logit (Salimans et al. 2016); 0 for none.
    """

    hidden: Sequence[int] = (128, 128)
    slope: float = 0.0
    maxout: int = 0
    spectral: bool = False
    kernels: int = 0

    @nn.compact
    def __call__(self, x: Examples, cond: Condition | None = None) -> Logits:
        """[B, ...] -> [B]; the class, if there is one, stands beside x."""
        h = beside(x.reshape(x.shape[0], -1), cond)
        for width in self.hidden:
            if self.maxout:
                h = nn.Dense(width * self.maxout, kernel_init=INIT)(h)
                h = jnp.max(h.reshape(h.shape[0], width, self.maxout), axis=-1)
            elif self.spectral:
                h = leaky(Dense(width, kernel_init=INIT)(h), self.slope)
            else:
                h = leaky(nn.Dense(width, kernel_init=INIT)(h), self.slope)
        if self.kernels:
            h = MinibatchDiscrimination(self.kernels)(h)
        return Dense(1)(h)[:, 0] if self.spectral else nn.Dense(1)(h)[:, 0]
