"""Training on the importance-weighted bound."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from jaxgen.methods.elbo import ELBO
from jaxgen.types import Array, Batch, Metrics, State, Vars


@dataclasses.dataclass(frozen=True)
class IWAE(ELBO):
    """Maximises E log 1/K sum_k p(x, z_k) / q(z_k | x), in nats per example; see `ELBO`.

    With K = 1 this is the ELBO with the divergence by one draw. For models without dropout and
    without moving statistics.

    Source: Burda et al. 2016, Importance weighted autoencoders, equations 8 and 14.

    Attributes:
        samples: K of the training, all in memory at once.
    """

    samples: int = 5

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.samples < 1:
            raise ValueError(f"samples={self.samples}, expected 1 or more")
        if self.beta != 1 or self.free_nats or self.capacity is not None or self.warmup_steps:
            raise ValueError("the importance-weighted bound has no beta, free nats or capacity")

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean negative bound of `samples` draws, in nats per example."""
        x, cond = batch["x"], self.condition(batch)
        h = self.player.apply(state, self.scaled(x), cond, method="bottom_up")
        log_w = self.log_weights(state, x, h, cond, rng, self.samples)
        bound = jnp.mean(jax.nn.logsumexp(log_w, axis=0)) - jnp.log(self.samples)
        metrics = self.columns(-bound) | {"draw_nelbo": -jnp.mean(log_w)}
        return -bound / (self.spec.dims if self.per_dim else 1), (state.vars, metrics)
