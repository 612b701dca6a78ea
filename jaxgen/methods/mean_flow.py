"""MeanFlow: a network learns the mean velocity between two times, and samples in one step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.flow_matching import FlowMatching
from jaxgen.ops.densities import sum_event
from jaxgen.ops.prediction import Estimate, along, estimate
from jaxgen.types import Array, Batch, Metrics, State, Vars
from jaxgen.values import AnyReal

LEAST = 1e-2  # beside the squared error, by which the loss is divided


@dataclasses.dataclass(frozen=True)
class MeanFlow(FlowMatching):
    """u(z_t, r, t) is the mean of the velocity from r to t, with z_r = z_t - (t - r) u.

    Its target is v - (t - r) du/dt along the path, the derivative by one forward pass; where
    r = t it is flow matching, of which the ODE and the density are. The squared error of an
    example is divided by itself, so that the loss says nothing: `error` does.

    The network has two times (`times=2`): t, and t - r.

    Source: Geng et al. 2025, Mean flows for one-step generative modeling, equations 6, 10 and 22.

    How fast the network's sinusoids of time turn is in the target, by the derivative: of 1000 t, as
    elsewhere, samples of one step are poor (configs/mean_flow.py). The official code gives t.

    Attributes:
        equal: share of the examples with r = t.
    """

    equal: float = 0.75
    times: str = "logit_normal"
    time_scale: float = 30.0
    logit_mean: AnyReal = -0.4
    sampling_steps: int = 1

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if not 0 <= self.equal <= 1:
            raise ValueError(f"equal={self.equal}, expected a share")
        if self.noise != "linear":
            raise ConfigError(f"noise={self.noise!r}: mean flows are of noise='linear'")

    def first_times(self, num: int) -> Array:
        """See `Denoising`: two of each."""
        return jnp.zeros((num, 2))

    def mean_velocity(self, state: State, z: Array, r: Any, t: Any, cond: Array | None) -> Array:
        """u(z, r, t) at two times of all, or [B] each."""
        return self.asked(state, z, self.time_scale * jnp.stack([t, t - r], axis=-1), cond)

    def velocity(self, state: State, z: Array, t: Array, cond: Array | None) -> Array:
        """See `ProbabilityFlow`: u of equal times."""
        t = jnp.asarray(t, z.dtype)
        return self.mean_velocity(state, z, t, t, cond)

    def estimate_to(
        self, state: State, z: Array, t: Array, s: Array, cond: Array | None
    ) -> Estimate:
        """See `Denoising`: by the mean of the velocity."""
        path, t = self.trajectory, jnp.asarray(t, z.dtype)
        out = self.mean_velocity(state, z, jnp.asarray(s, z.dtype), t, cond)
        return estimate("velocity", out, z, path.alpha(t), path.sigma(t), path.rates(t))

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean of the squared errors of examples, each over itself plus 0.01, with dropout."""
        second, which, dropout, drop = jax.random.split(jax.random.fold_in(rng, 1), 4)
        x, eps, t, _ = self.pairs(batch["x"], rng)
        r = self.drawn_times(second, x.shape[0])
        r, t = jnp.minimum(r, t), jnp.maximum(r, t)
        r = jnp.where(jax.random.bernoulli(which, self.equal, r.shape), t, r)
        z = along(1 - t, x) * x + along(t, x) * eps
        cond, v = self.dropped(self.givens.of_batch(batch), drop), eps - x

        def said(z: Array, r: Array, t: Array) -> tuple[Array, State]:
            time = self.time_scale * jnp.stack([t, t - r], axis=1)
            return self.trained(state, z, time, cond, dropout)

        along_path = (v, jnp.zeros_like(r), jnp.ones_like(t))
        u, rate, state = jax.jvp(said, (z, r, t), along_path, has_aux=True)
        error = u - jax.lax.stop_gradient(v - along(t - r, x) * rate)
        square = sum_event(jnp.square(error))
        loss = jnp.mean(square / jax.lax.stop_gradient(square + LEAST))
        return loss, (state.vars, {"error": jnp.mean(square) / self.spec.dims})

    def checked_sampler(self, name: str) -> str:
        """See `Denoising`."""
        if name != "euler":
            raise ConfigError(f"sampler={name!r}: a mean velocity makes steps of 'euler' alone")
        return name
