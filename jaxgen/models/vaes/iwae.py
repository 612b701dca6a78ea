"""Several stochastic layers between dense networks, one on top of the other.

Source: Burda et al. 2016, "Importance Weighted Autoencoders" (ICLR), section 5 and the official
code (yburda/iwae): the posterior goes up, each layer's latents drawn given the layer's below, the
prior comes down. The paper's networks with two layers are the defaults. Their objective is the
method `iwae.IWAE`, or `elbo.ELBO`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.models.vaes.vae import GLOROT, MLP, DenseDecoder, log_odds
from jaxgen.nn.arrays import Examples, Rows
from jaxgen.nn.condition import Condition
from jaxgen.nn.latents import (
    Draw,
    GivenLatents,
    Normal,
    Temperature,
    channels,
    standard_normal,
)
from jaxgen.ops.densities import sum_event


class DenseNormal(nn.Module):
    """Dense layers, then mean and log-standard-deviation."""

    latent: int
    hidden: Sequence[int]
    activation: str

    @nn.compact
    def __call__(self, x: Rows) -> Normal:
        """[B, D] -> [B, latent] each."""
        h = MLP(self.hidden, self.activation)(x)
        return Normal(*jnp.split(nn.Dense(2 * self.latent, kernel_init=GLOROT)(h), 2, axis=-1))


class DeepVAE(nn.Module):
    """Layers of latents [B, latents[i]], the lowest first in the attributes; see `nn.latents`.

    In `Draw` the highest layer comes first. The divergence is analytic there and that of the one
    draw below.

    Attributes:
        latents: dimensions of the layers.
        hidden: widths of the networks below each of them, in the encoder; the decoder's are the
            same, reversed.
        activation: of the hidden layers.
        centred: as of `vae.VAE`.
    """

    latents: Sequence[int] = (100, 50)
    hidden: Sequence[Sequence[int]] = ((200, 200), (100, 100))
    activation: str = "tanh"
    centred: bool = False

    def setup(self) -> None:
        """Names the networks."""
        if len(self.latents) != len(self.hidden):
            raise ValueError(
                f"{len(self.latents)} layers of latents, but {len(self.hidden)} networks in hidden"
            )
        pairs = list(zip(self.latents, self.hidden, strict=True))
        self.up = [DenseNormal(z, tuple(h), self.activation) for z, h in pairs]
        back = [tuple(reversed(h)) for h in self.hidden]
        self.down = [
            DenseNormal(z, h, self.activation)
            for z, h in zip(self.latents[:-1], back[1:], strict=True)
        ]
        self.decoder = DenseDecoder(back[0], self.activation)

    def __call__(self, x: Examples, size: tuple[int, ...], cond: Condition | None = None) -> Draw:
        """x [B, ...] to a draw whose theta has shape `size`."""
        if self.centred and self.is_initializing():
            self.decoder(jnp.zeros((len(x), self.latents[0])), size, log_odds(x))
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Examples, cond: Condition | None = None) -> tuple[Normal]:
        """The posterior of the lowest layer; those above need its draw."""
        if cond is not None:
            raise ValueError("DeepVAE takes no condition: leave method.given empty")
        return (self.up[0](x.reshape(x.shape[0], -1)),)

    def top_down(
        self,
        h: tuple[Normal] | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`."""
        depth = len(self.latents)
        known: GivenLatents = (given or [None] * depth)[::-1]  # the lowest first
        posteriors: Sequence[Normal | None] = [None] * depth
        if h is not None:
            posteriors, known = self._climb(h[0], known)
        drawn: list[tuple[Array, Normal, Normal | None]] = []
        prior = standard_normal((size[0], self.latents[-1]))
        for i in reversed(range(depth)):
            z = known[i]
            if z is None:
                z = prior.sample(self.make_rng("latent"), temperature)
            drawn.append((z, prior, posteriors[i]))
            if i:
                prior = self.down[i - 1](z)
        log_p = functools.reduce(jnp.add, [sum_event(prior.log_prob(z)) for z, prior, _ in drawn])
        log_q, kl = jnp.zeros_like(log_p), []
        for k, (z, prior, posterior) in enumerate(drawn):
            if posterior is not None:
                elements = posterior.log_prob(z)
                log_q = log_q + sum_event(elements)
                one = posterior.kl(prior) if k == 0 else elements - prior.log_prob(z)
                kl.append(channels(one))
        z = tuple(z for z, *_ in drawn)
        return Draw(self.decoder(z[-1], size), z, tuple(kl), log_q, log_p)

    def _climb(self, first: Normal, given: GivenLatents) -> tuple[list[Normal], list[Array]]:
        """Posteriors and latents, the lowest first."""
        posteriors, z = [first], []
        for i, known in enumerate(given):
            z.append(posteriors[i].sample(self.make_rng("latent")) if known is None else known)
            if i + 1 < len(self.latents):
                posteriors.append(self.up[i + 1](z[i]))
        return posteriors, z
