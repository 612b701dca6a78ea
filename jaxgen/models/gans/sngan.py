"""Residual generator and spectrally normalised discriminator, with projection of the class.

Source: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks" (ICLR),
tables 3 and 4; Miyato & Koyama 2018, "cGANs with Projection Discriminator" (ICLR), equation 3;
official code pfnet-research/sngan_projection. The critic without spectral normalisation and with
means instead of sums is that of WGAN-GP's CIFAR-10 (Gulrajani et al. 2017, appendix F).
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.gans.gan import leaky
from jaxgen.nn.arrays import Codes, Images, Logits, Resized
from jaxgen.nn.condition import Condition
from jaxgen.nn.gan_layers import ROOT_TWO_GLOROT, BatchNorm, doubled, pooled, pyramid
from jaxgen.nn.spectral_norm import GLOROT, Conv, Dense
from jaxgen.ops.precision import narrow, wide


class UpBlock(nn.Module):
    """Normalise, rectify, double, convolve, and once more without doubling; plus a shortcut."""

    width: int
    spectral: bool = False

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Resized:
        """[B, H, W, C] -> [B, 2 H, 2 W, width]."""
        h = doubled(nn.relu(BatchNorm()(x, cond)))
        h = Conv(self.width, kernel_init=ROOT_TWO_GLOROT, spectral=self.spectral)(h)
        h = nn.relu(BatchNorm()(h, cond))
        h = Conv(self.width, kernel_init=ROOT_TWO_GLOROT, spectral=self.spectral)(h)
        return h + Conv(self.width, 1, kernel_init=GLOROT, spectral=self.spectral)(doubled(x))


class DownBlock(nn.Module):
    """Rectify, convolve, rectify, convolve, halve; plus a shortcut.

    Attributes:
        width: channels out.
        down: whether to halve.
        first: the block of the image: it is not rectified.
        spectral: whether to normalise the kernels.
    """

    width: int
    down: bool = True
    first: bool = False
    spectral: bool = True

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', width]."""
        h = x if self.first else nn.relu(x)
        h = Conv(self.width, kernel_init=ROOT_TWO_GLOROT, spectral=self.spectral)(h)
        h = Conv(self.width, kernel_init=ROOT_TWO_GLOROT, spectral=self.spectral)(nn.relu(h))
        shortcut = x
        if self.first:
            shortcut = pooled(shortcut)
        if self.down or x.shape[-1] != self.width:
            shortcut = Conv(self.width, 1, kernel_init=GLOROT, spectral=self.spectral)(shortcut)
        if self.down:
            h, shortcut = pooled(h), shortcut if self.first else pooled(shortcut)
        return h + shortcut


class Generator(nn.Module):
    """z [B, latent] to images in [-1, 1], of any size that can be halved down to 4 or 7.

    Attributes:
        latent: width of z.
        width: channels of all layers.
        spectral: normalise the kernels, as SAGAN does.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    latent: int = 128
    width: int = 256
    spectral: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`; the class sets the scales and shifts of normalisations."""
        height, width, times = pyramid(size[1:3])
        h = Dense(height * width * self.width, spectral=self.spectral)(z)
        h = narrow(h.reshape(-1, height, width, self.width), self.dtype)
        for _ in range(times):
            h = UpBlock(self.width, self.spectral)(h, cond)
        h = nn.relu(BatchNorm()(h))
        h = Conv(size[3], kernel_init=GLOROT, spectral=self.spectral)(h)
        return jnp.tanh(wide(h))


class Discriminator(nn.Module):
    """Images to logits: psi(phi(x)) + <V y, phi(x)>, y the class.

    Attributes:
        width: channels of all layers.
        still: blocks at the end that do not halve.
        spectral: normalise the kernels.
        mean: phi is the mean over positions, as in WGAN-GP, and not the sum.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    width: int = 128
    still: int = 2
    spectral: bool = True
    mean: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        *_, times = pyramid(x.shape[1:3])
        halvings = max(times - 1, 1)  # 32x32 down to 8x8, 8x8 to 4x4
        x = narrow(x, self.dtype)
        h = DownBlock(self.width, first=True, spectral=self.spectral)(x)
        for _ in range(halvings - 1):
            h = DownBlock(self.width, spectral=self.spectral)(h)
        for _ in range(self.still):
            h = DownBlock(self.width, down=False, spectral=self.spectral)(h)
        h = wide(nn.relu(h))
        phi = jnp.mean(h, axis=(1, 2)) if self.mean else jnp.sum(h, axis=(1, 2))
        logits = Dense(1, spectral=self.spectral, name="psi")(phi)[:, 0]
        if cond is not None:
            rows = Dense(self.width, False, spectral=self.spectral, name="classes")(cond)
            logits += jnp.sum(rows * phi, axis=-1)
        return logits


class PlainDiscriminator(nn.Module):
    """The "standard CNN" of table 3: images to logits, psi(phi(x)) + <V y, phi(x)>, y the class.

    phi keeps its positions: nothing is summed, in either term.

    Attributes:
        width: channels of the first layer; they double with each halving.
    """

    width: int = 64

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        *_, times = pyramid(x.shape[1:3])
        h, channels = x, self.width
        for _ in range(times):
            h = leaky(Conv(channels)(h), 0.1)
            h = leaky(Conv(channels, 4, stride=2)(h), 0.1)
            channels *= 2
        phi = leaky(Conv(channels)(h), 0.1).reshape(x.shape[0], -1)
        logits = Dense(1, name="psi")(phi)[:, 0]
        if cond is not None:
            rows = Dense(phi.shape[-1], False, name="classes")(cond)
            logits += jnp.sum(rows * phi, axis=-1)
        return logits
