"""Several stochastic layers between dense networks, one on top of the other.

Source: Burda et al. 2016, "Importance Weighted Autoencoders" (ICLR), section 5 and the official
code (yburda/iwae): the posterior goes up, each layer's latents drawn given the layer's below, the
prior comes down. The paper's networks with two layers are the defaults. Their objective is the
method `iwae.IWAE`, or `elbo.ELBO`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.vaes.vae import GLOROT, MLP, DenseDecoder, log_odds
from jaxgen.nn.latents import Draw, Normal, channels, standard_normal
from jaxgen.ops.densities import sum_event


class DenseNormal(nn.Module):
    """Dense layers, then mean and log-standard-deviation."""

    latent: int
    hidden: Sequence[int]
    activation: str

    @nn.compact
    def __call__(self, x: Any) -> Normal:
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

    def __call__(self, x: Any, size: tuple[int, ...], cond: Any = None) -> Draw:
        """x [B, ...] to a draw whose theta has shape `size`."""
        if self.centred and self.is_initializing():
            self.decoder(jnp.zeros((len(x), self.latents[0])), size, log_odds(x))
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Any, cond: Any = None) -> tuple[Normal]:
        """The posterior of the lowest layer; those above need its draw."""
        if cond is not None:
            raise ValueError("DeepVAE takes no condition: leave method.given empty")
        return (self.up[0](x.reshape(len(x), -1)),)

    def top_down(
        self,
        h: tuple[Normal] | None,
        size: tuple[int, ...],
        cond: Any = None,
        given: Any = None,
        temperature: Any = 1.0,
    ) -> Draw:
        """See `nn.latents`."""
        depth = len(self.latents)
        given = list(given or [None] * depth)[::-1]  # the lowest first
        posteriors: list[Normal | None] = [None] * depth
        z = given
        if h is not None:
            posteriors, z = self._climb(h[0], given)
        groups, prior = [], standard_normal((size[0], self.latents[-1]))
        for i in reversed(range(depth)):
            if z[i] is None:
                z[i] = prior.sample(self.make_rng("latent"), temperature)
            groups.append((z[i], prior, posteriors[i]))
            if i:
                prior = self.down[i - 1](z[i])
        log_p = sum(sum_event(prior.log_prob(z)) for z, prior, _ in groups)
        log_q, kl = jnp.zeros_like(log_p), []
        for k, (value, prior, posterior) in enumerate(groups):
            if posterior is not None:
                elements = posterior.log_prob(value)
                log_q = log_q + sum_event(elements)
                one = posterior.kl(prior) if k == 0 else elements - prior.log_prob(value)
                kl.append(channels(one))
        theta = self.decoder(z[0], size)
        return Draw(theta, tuple(z[::-1]), tuple(kl), log_q, log_p)

    def _climb(self, first: Normal, given: list[Any]) -> tuple[list[Any], list[Any]]:
        """Posteriors and latents, the lowest first."""
        posteriors, z = [first], []
        for i in range(len(self.latents)):
            known = given[i]
            z.append(known if known is not None else posteriors[i].sample(self.make_rng("latent")))
            if i + 1 < len(self.latents):
                posteriors.append(self.up[i + 1](z[i]))
        return posteriors, z
