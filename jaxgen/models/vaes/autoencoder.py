"""Autoencoders without a prior: a code, and what can be told of the data from it.

Source: Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks"
(Science), for the deterministic code; Vincent et al. 2010, "Stacked Denoising Autoencoders"
(JMLR), whose corruption is the method's. Samples are drawn from a normal with the moments of the
codes, fitted beside the training (Ghosh et al. 2020, "From Variational to Deterministic
Autoencoders", section 4, there after it and with more components).
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.models.vaes.vae import GLOROT, Coder, ConvCoder
from jaxgen.nn.arrays import Codes, Examples
from jaxgen.nn.condition import Condition
from jaxgen.nn.latents import Draw, GivenLatents, Temperature

MOMENTUM = 0.99  # of the running moments of the codes


class Moments(nn.Module):
    """Running moments of the codes, in the collection "batch_stats"."""

    latent: int

    def setup(self) -> None:
        """Names the moments."""
        self.mean = self.variable("batch_stats", "mean", jnp.zeros, (self.latent,))
        self.var = self.variable("batch_stats", "var", jnp.ones, (self.latent,))

    def draw(self, num: int, rng: Array, temperature: Temperature) -> Codes:
        """[num, latent] of the normal with these moments."""
        noise = jax.random.normal(rng, (num, self.latent))
        return self.mean.value[None] + temperature * jnp.sqrt(self.var.value)[None] * noise

    def __call__(self, z: Codes) -> Codes:
        """z [B, latent] as it is, noted in training."""
        mean, var = self.mean, self.var
        if self.is_mutable_collection("batch_stats") and not self.is_initializing():
            seen = jax.lax.stop_gradient(z)
            moved = jnp.mean(seen, 0), jnp.mean(jnp.square(seen - mean.value[None]), 0)
            for statistic, now in zip((mean, var), moved, strict=True):
                statistic.value += (1 - MOMENTUM) * (now - statistic.value)
        return z


class Autoencoder(Coder):
    """Dense encoder and decoder with a deterministic code [B, latent]; see `nn.latents`.

    There is no divergence: `Draw.kl` is empty. Attributes as of `Coder`.
    """

    def setup(self) -> None:
        """Names the networks."""
        self.encoder = self._encoder()
        self.code = nn.Dense(self.latent, kernel_init=GLOROT)
        self.codes = Moments(self.latent)
        self.decoder = self._decoder()

    def bottom_up(self, x: Examples, cond: Condition | None = None) -> Codes:
        """The code, [B, latent]."""
        if cond is not None:
            raise ValueError("an autoencoder takes no condition: leave method.given empty")
        return self.code(self.encoder(x))

    def top_down(
        self,
        h: Codes | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`; with `h` nothing is drawn."""
        known = given[0] if given else h
        if known is None:
            z = self.codes.draw(size[0], self.make_rng("latent"), temperature)
        else:
            z = self.codes(known)
        nothing = jnp.zeros(size[0], z.dtype)
        return Draw(self.decoder(z, size), (z,), (), nothing, nothing)


class ConvAutoencoder(ConvCoder, Autoencoder):
    """The same between the convolutional networks of `ConvCoder`."""
