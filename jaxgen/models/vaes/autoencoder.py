"""Autoencoders without a prior: a code, and what can be told of the data from it.

Source: Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks"
(Science), for the deterministic code; Vincent et al. 2010, "Stacked Denoising Autoencoders"
(JMLR), whose corruption is the method's. Samples are drawn from a normal with the moments of the
codes, fitted beside the training (Ghosh et al. 2020, "From Variational to Deterministic
Autoencoders", section 4, there after it and with more components).
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.models.vaes.vae import GLOROT, VAE, ConvVAE
from jaxgen.nn.latents import Draw

MOMENTUM = 0.99  # of the running moments of the codes


class Codes(nn.Module):
    """Running moments of the codes, in the collection "batch_stats"."""

    latent: int

    @nn.compact
    def __call__(self, z: Any, num: int, rng: Any, temperature: Any) -> Any:
        """z [B, latent], noted in training; None draws [num, latent]."""
        mean = self.variable("batch_stats", "mean", jnp.zeros, (self.latent,))
        var = self.variable("batch_stats", "var", jnp.ones, (self.latent,))
        if z is None:
            noise = jax.random.normal(rng, (num, self.latent))
            return mean.value[None] + temperature * jnp.sqrt(var.value)[None] * noise
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            seen = jax.lax.stop_gradient(z)
            moved = jnp.mean(seen, 0), jnp.mean(jnp.square(seen - mean.value[None]), 0)
            for statistic, now in zip((mean, var), moved, strict=True):
                statistic.value += (1 - MOMENTUM) * (now - statistic.value)
        return z


class Autoencoder(VAE):
    """Dense encoder and decoder with a deterministic code [B, latent]; see `nn.latents`.

    There is no divergence: `Draw.kl` is empty. Attributes as of `VAE`.
    """

    def setup(self) -> None:
        """Names the networks."""
        self.encoder = self._encoder()
        self.code = nn.Dense(self.latent, kernel_init=GLOROT)
        self.codes = Codes(self.latent)
        self.decoder = self._decoder()

    def bottom_up(self, x: Any, cond: Any = None) -> Any:
        """The code, [B, latent]."""
        if cond is not None:
            raise ValueError("an autoencoder takes no condition: leave method.given empty")
        return self.code(self.encoder(x))

    def top_down(
        self,
        h: Any,
        size: tuple[int, ...],
        cond: Any = None,
        given: Any = None,
        temperature: Any = 1.0,
    ) -> Draw:
        """See `nn.latents`; with `h` nothing is drawn."""
        known = given[0] if given else h
        rng = self.make_rng("latent") if known is None else None
        z = self.codes(known, size[0], rng, temperature)
        nothing = jnp.zeros(size[0], z.dtype)
        return Draw(self.decoder(z, size), (z,), (), nothing, nothing)


class ConvAutoencoder(Autoencoder, ConvVAE):
    """The same between the convolutional networks of `ConvVAE`."""
