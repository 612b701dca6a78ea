"""Penalties that ask a posterior's dimensions to be independent: beta-TC, DIP, FactorVAE.

All add to the evidence lower bound of a model with one group of normal latents.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen import schedules
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.player import Player
from jaxgen.nn.latents import Draw, Normal
from jaxgen.schedules import Scheduled
from jaxgen.types import Array, Batch, Metrics, Params, State, Turn, Vars

PENALTIES = ("tc", "dip_i", "dip_ii")


@dataclasses.dataclass(frozen=True)
class Disentangle(ELBO):
    """The bound, and a penalty on the aggregate posterior; see `ELBO`.

    "tc" is the total correlation KL(q(z) || prod_d q(z_d)), estimated with each batch as if it
    were the data: with `weight` = beta - 1 the loss is beta-TCVAE's, whose estimate differs from
    this one by a constant. "dip_i" and "dip_ii" bring the covariance of the posterior means, or
    of the aggregate posterior, to the identity.

    Source: Chen et al. 2018, Isolating sources of disentanglement in VAEs, equation 4 and section
    4.1; Kumar et al. 2018, Variational inference of disentangled latent concepts, equations 6 and
    7.

    Attributes:
        penalty_name: "tc", "dip_i" or "dip_ii".
        weight: of the penalty; lambda_od of the DIP penalties.
        diagonal: lambda_d of the DIP penalties, as a multiple of `weight`.
    """

    penalty_name: str = "tc"
    weight: Scheduled = 5.0
    diagonal: float = 1.0

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.penalty_name not in PENALTIES:
            raise ValueError(f"penalty_name={self.penalty_name!r}, expected one of {PENALTIES}")

    def penalty(
        self, state: State, batch: Batch, moved: Vars, draw: Draw, rng: Array
    ) -> tuple[Array, Metrics]:
        """`weight` times the penalty, and the penalty."""
        posterior = _normal(draw)
        if self.penalty_name == "tc":
            value = jnp.mean(total_correlation(posterior, draw.z[0]))
        else:
            value = covariance_penalty(
                posterior, self.diagonal, sampled=self.penalty_name == "dip_ii"
            )
        return schedules.value(self.weight, state.step) * value, {self.penalty_name: value}


def total_correlation(posterior: Normal, z: Array) -> Array:
    """log q(z_i) - sum_d log q(z_id), [B] nats, with q the mixture of the batch's posteriors.

    Args:
        posterior: [B, D].
        z: [B, D], one draw of each.
    """
    pairs = Normal(posterior.mean[None], posterior.log_std[None])
    wide = jnp.broadcast_to(z[:, None], (len(z), len(z), z.shape[1]))
    log_q = _broadcast(pairs, wide.shape).log_prob(wide)  # [draw, posterior, D]
    count = math.log(len(z))
    joint = jax.nn.logsumexp(jnp.sum(log_q, axis=-1), axis=1) - count
    return joint - jnp.sum(jax.nn.logsumexp(log_q, axis=1) - count, axis=-1)


def covariance_penalty(posterior: Normal, diagonal: float, sampled: bool) -> Array:
    """sum_{i != j} C_ij^2 + diagonal sum_i (C_ii - 1)^2, C the covariance over the batch.

    Args:
        posterior: [B, D].
        diagonal: weight of the variances.
        sampled: C is that of the draws, not of the means.
    """
    centred = posterior.mean - jnp.mean(posterior.mean, axis=0, keepdims=True)
    covariance = centred.T @ centred / len(centred)
    if sampled:
        covariance += jnp.diag(jnp.mean(jnp.exp(2 * posterior.log_std), axis=0))
    variances = jnp.diagonal(covariance)
    off = jnp.sum(jnp.square(covariance)) - jnp.sum(jnp.square(variances))
    return off + diagonal * jnp.sum(jnp.square(variances - 1))


@dataclasses.dataclass(frozen=True)
class FactorVAE(ELBO):
    """The bound and `gamma` times the total correlation as a discriminator estimates it.

    The discriminator tells draws of the aggregate posterior from draws whose dimensions were
    exchanged between examples; its logit is the density ratio. It moves second, on the same
    batch, where the official description takes another.

    Source: Kim & Mnih 2018, Disentangling by factorising, section 3 and algorithm 1.

    Attributes:
        discriminator: z [B, D] -> logits [B]. A config names it beside the model:
            `c.model = dict(model=dict(name=...), discriminator=dict(name=...))`.
        gamma: weight of the total correlation.
    """

    discriminator: Any = None
    gamma: Scheduled = 10.0

    @property
    def critic(self) -> Player:
        """The discriminator."""
        return Player("discriminator", self.discriminator)

    @property
    def turns(self) -> Sequence[Turn]:
        """The model, then the discriminator."""
        return (
            Turn("model", self.loss),
            Turn("discriminator", self.discriminator_loss),
        )

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players."""
        params, variables = super().init(rng, batch)
        x = jax.eval_shape(self.scaled, batch["x"])
        state = State(jnp.int32(0), params, variables, {}, {})
        bottom_up = functools.partial(self.player.apply, state, method="bottom_up")
        posterior = jax.eval_shape(bottom_up, x)
        codes = jnp.zeros(posterior.mean.shape)
        own, moving = self.critic.init(jax.random.fold_in(rng, 1), codes)
        return params | {"discriminator": own}, variables | {"discriminator": moving}

    def penalty(
        self, state: State, batch: Batch, moved: Vars, draw: Draw, rng: Array
    ) -> tuple[Array, Metrics]:
        """`gamma` times the mean logit, which estimates the total correlation."""
        value = jnp.mean(self.critic.apply(jax.lax.stop_gradient(state), draw.z[0]))
        return schedules.value(self.gamma, state.step) * value, {"tc": value}

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Cross-entropy in nats of telling draws from draws with exchanged dimensions."""
        latent, order = jax.random.split(rng)
        draw = self.draw_posterior(state, batch["x"], self.condition(batch), latent)
        z = jax.lax.stop_gradient(draw.z[0])
        real = self.critic.apply(state, z)
        mixed = self.critic.apply(state, jax.random.permutation(order, z, axis=0, independent=True))
        loss = 0.5 * jnp.mean(jax.nn.softplus(-real) + jax.nn.softplus(mixed))
        right = jnp.mean(real > 0) + jnp.mean(mixed < 0)
        return loss, (state.vars, {"accuracy": 0.5 * right})


def _normal(draw: Draw) -> Normal:
    if not isinstance(draw.posterior, Normal):
        raise ValueError("this penalty needs a model with one group of normal latents")
    return draw.posterior


def _broadcast(normal: Normal, shape: tuple[int, ...]) -> Normal:
    return Normal(*(jnp.broadcast_to(leaf, shape) for leaf in normal))
