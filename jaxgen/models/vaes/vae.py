"""The variational autoencoder with normal latents: dense and convolutional networks.

Source: Kingma & Welling 2014, "Auto-Encoding Variational Bayes" (ICLR), appendix C. The
convolutional networks are those of Locatello et al. 2019, "Challenging Common Assumptions in the
Unsupervised Learning of Disentangled Representations" (ICML), table 1, with the official code's
padding (google-research/disentanglement_lib). The encoder gives the logarithm of the standard
deviation, as in the official code of Burda et al. 2016, where the paper has its square.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Channels, Example, Examples, Images, Rows
from jaxgen.nn.condition import Condition, beside
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.latents import (
    Draw,
    GivenLatents,
    Normal,
    Temperature,
    draw_group,
    standard_normal,
)

Activation = Callable[[Array], Array]
ACTIVATIONS: dict[str, Activation] = {"tanh": nn.tanh, "relu": nn.relu, "gelu": nn.gelu}
GLOROT = nn.initializers.glorot_uniform()


class MLP(nn.Module):
    """Dense layers, with the activation after each.

    Attributes:
        widths: of the layers.
        activation: a name in `ACTIVATIONS`.
    """

    widths: Sequence[int]
    activation: str

    @nn.compact
    def __call__(self, x: Rows) -> Channels:
        """[B, D] -> [B, widths[-1]]."""
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation={self.activation!r}, expected one of {sorted(ACTIVATIONS)}"
            )
        for width in self.widths:
            x = ACTIVATIONS[self.activation](nn.Dense(width, kernel_init=GLOROT)(x))
        return x


class Coder(nn.Module):
    """A dense encoder and decoder, and between them what a subclass makes of one code [B, latent].

    Attributes:
        latent: dimensions of the latents.
        hidden: widths of the encoder's layers; the decoder's are the same, reversed.
        activation: of the hidden layers: "tanh", "relu" or "gelu".
        centred: the decoder of binary data begins at their mean, that of the batch that
            initialises it, as in the official code of Burda et al. 2016. Else latents fall idle
            while the decoder learns the mean.
    """

    latent: int = 50
    hidden: Sequence[int] = (200, 200)
    activation: str = "tanh"
    centred: bool = False

    def _encoder(self) -> nn.Module:
        return DenseEncoder(self.hidden, self.activation)

    def _decoder(self) -> nn.Module:
        return DenseDecoder(tuple(reversed(self.hidden)), self.activation)

    def __call__(self, x: Examples, size: tuple[int, ...], cond: Condition | None = None) -> Draw:
        """x [B, ...] to a draw whose theta has shape `size`."""
        if self.centred and self.is_initializing():
            z = jnp.zeros((x.shape[0], self.latent))
            self.decoder(beside(z, cond), size, log_odds(x))
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Examples, cond: Condition | None = None) -> Any:
        """See `nn.latents`."""
        raise NotImplementedError

    def top_down(
        self,
        h: Any,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`."""
        raise NotImplementedError


class VAE(Coder):
    """One group of normal latents, [B, latent], between dense networks; see `nn.latents`.

    Attributes as of `Coder`.
    """

    def setup(self) -> None:
        """Names the networks."""
        self.encoder = self._encoder()
        self.posterior = nn.Dense(2 * self.latent, kernel_init=GLOROT)
        self.decoder = self._decoder()

    def bottom_up(self, x: Examples, cond: Condition | None = None) -> Normal:
        """The posterior, [B, latent]."""
        h = self.posterior(beside(self.encoder(x), cond))
        return Normal(*jnp.split(h, 2, axis=-1))

    def top_down(
        self,
        h: Normal | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`."""
        prior = standard_normal((size[0], self.latent))
        known = given[0] if given else None
        key = None if known is not None else self.make_rng("latent")
        group = draw_group(key, prior, h, known, temperature)
        theta = self.decoder(beside(group.z, cond), size)
        kl = () if group.kl is None else (group.kl,)
        laws = () if group.law is None else (group.law,)
        return Draw(theta, (group.z,), kl, group.log_q, group.log_p, h, laws)


class DenseEncoder(nn.Module):
    """Data in [0, 1] through dense layers, not centred: a black background is silent."""

    hidden: Sequence[int]
    activation: str

    @nn.compact
    def __call__(self, x: Examples) -> Channels:
        """[B, ...] -> [B, hidden[-1]]."""
        return MLP(self.hidden, self.activation)(x.reshape(x.shape[0], -1))


class DenseDecoder(nn.Module):
    """Latents through dense layers to theta."""

    hidden: Sequence[int]
    activation: str

    @nn.compact
    def __call__(self, z: Rows, size: tuple[int, ...], start: Example | None = None) -> Examples:
        """[B, latent] -> `size`; the bias begins at `start`, of shape size[1:], or at 0."""
        h = MLP(self.hidden, self.activation)(z)
        bias = nn.initializers.zeros
        if start is not None:
            bias = lambda key, shape, dtype: start.reshape(shape).astype(dtype)  # noqa: E731
        return nn.Dense(math.prod(size[1:]), kernel_init=GLOROT, bias_init=bias)(h).reshape(size)


def log_odds(x: Examples) -> Example:
    """Of the mean of bits [B, ...], with half an example of each value more."""
    mean = (jnp.sum(x, axis=0) + 0.5) / (len(x) + 1)
    return jnp.log(mean) - jnp.log1p(-mean)


class ConvCoder(Coder):
    """A convolutional encoder and decoder of images.

    Attributes:
        hidden: width of the dense layer between convolutions and latents; one number.
        channels: of the encoder's convolutions, each of which halves the image; the decoder's
            are the same, reversed.
        kernels: their sizes; the decoder's are all 4.
    """

    latent: int = 10
    hidden: Sequence[int] = (256,)
    activation: str = "relu"
    channels: Sequence[int] = (32, 32, 64, 64)
    kernels: Sequence[int] = (4, 4, 2, 2)

    def _encoder(self) -> nn.Module:
        return ConvEncoder(self.channels, self.kernels, self.hidden, self.activation)

    def _decoder(self) -> nn.Module:
        return ConvDecoder(
            tuple(reversed(self.channels)), tuple(reversed(self.hidden)), self.activation
        )


class ConvVAE(ConvCoder, VAE):
    """One group of normal latents, [B, latent], between the networks of `ConvCoder`."""


class ConvEncoder(nn.Module):
    """Convolutions of stride 2, then dense layers."""

    channels: Sequence[int]
    kernels: Sequence[int]
    hidden: Sequence[int]
    activation: str

    @nn.compact
    def __call__(self, x: Images) -> Rows:
        """[B, H, W, C] in [0, 1] -> [B, hidden[-1]]."""
        h = 2 * x - 1
        for width, kernel in zip(self.channels, self.kernels, strict=True):
            h = ACTIVATIONS[self.activation](Conv(width, (kernel, kernel), strides=(2, 2))(h))
        return MLP(self.hidden, self.activation)(h.reshape(h.shape[0], -1))


class ConvDecoder(nn.Module):
    """Dense layers, then transposed convolutions of stride 2, cut to the size of the image."""

    channels: Sequence[int]
    hidden: Sequence[int]
    activation: str

    @nn.compact
    def __call__(self, z: Rows, size: tuple[int, ...]) -> Images:
        """[B, latent] -> `size`, [B, H, W, width]."""
        _, height, width, features = size
        shrink = 2 ** len(self.channels)
        first = (-(-height // shrink), -(-width // shrink), self.channels[0])
        h = MLP((*self.hidden, math.prod(first)), self.activation)(z).reshape(-1, *first)
        for channels in self.channels[1:]:
            h = ACTIVATIONS[self.activation](ConvTranspose(channels, (4, 4), 2)(h))
        return ConvTranspose(features, (4, 4), 2)(h)[:, :height, :width]
