"""EDM: a preconditioned network that denoises, over all standard deviations of the noise."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.probability_flow import ProbabilityFlow
from jaxgen.ops.augment.labelled import LABELS, changed, drawn, labels
from jaxgen.ops.densities import sum_event
from jaxgen.ops.noise import Exploding
from jaxgen.ops.prediction import Estimate, along
from jaxgen.types import Array, Batch, Metrics, State, Vars


@dataclasses.dataclass(frozen=True)
class EDM(ProbabilityFlow):
    """D(z; sigma) = c_skip z + c_out F(c_in z, ln(sigma) / 4), trained to be the data's mean.

    The time of this method is sigma, the standard deviation of the noise.

    Source: Karras et al. 2022, Elucidating the design space of diffusion-based generative models,
    table 1 and section 5; its loss is summed over the dimensions of an example.

    Attributes:
        data_std: of the data, in [-1, 1], or of points over `scale`.
        log_mean: of ln(sigma) in training.
        log_std: its standard deviation.
        low: smallest sigma of samples, latents and the density.
        high: largest.
        rho: of the steps between, see `ops.noise.Exploding.ladder`.
        dequantize: fill the room between grey levels evenly, in training; the paper does not.
        augment: probability of each change of a training image, of whose labels the network's
            `augment` takes nine; 0.12 in the paper. Left and right are then exchanged in half of
            them.
    """

    data_std: float = 0.5
    log_mean: float = -1.2
    log_std: float = 1.2
    low: float = 0.002
    high: float = 80.0
    rho: float = 7.0
    dequantize: bool = False
    augment: float = 0.0
    sampler: str = "heun"
    sampling_steps: int = 18

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if not 0 < self.low < self.high or min(self.data_std, self.log_std, self.rho) <= 0:
            raise ValueError("expected 0 < low < high, and data_std, log_std and rho above 0")
        if not 0 <= self.augment <= 1:
            raise ConfigError(f"config.method.augment={self.augment}, expected a probability")
        if self.augment and (self.spec.x.kind != "image" or self.model.augment != LABELS):
            raise ConfigError(
                f"config.method.augment={self.augment}: expected images, and a network that is "
                f"told how they were changed, config.model.augment={LABELS}"
            )

    def path(self, state: State) -> Exploding:
        """See `Denoising`."""
        return Exploding()

    def node(self, i: Any, steps: Any) -> Any:
        """From the largest sigma to the smallest, then 0."""
        share = 1 - i / jnp.maximum(steps - 1, 1)
        return jnp.where(i == steps, 0.0, self._ladder(jnp.maximum(share, 0.0)))

    def rung(self, i: Any, steps: Any) -> Any:
        """From the smallest to the largest."""
        return self._ladder(i / jnp.asarray(steps))

    def _ladder(self, share: Any) -> Any:
        return Exploding.ladder(share, self.low, self.high, self.rho)

    def shown_time(self, t: Array) -> Array:
        """Share of the ladder."""
        a, b = self.low ** (1 / self.rho), self.high ** (1 / self.rho)
        return (t ** (1 / self.rho) - a) / (b - a)

    def factors(self, sigma: Array) -> tuple[Array, Array, Array]:
        """c_skip, c_out and c_in."""
        total = sigma**2 + self.data_std**2
        return self.data_std**2 / total, sigma * self.data_std / jnp.sqrt(total), total**-0.5

    def estimate(self, state: State, z: Array, t: Array, cond: Array | None) -> Estimate:
        """See `Denoising`."""
        t = jnp.maximum(t, 1e-10)  # of a second slope at 0, which is not taken
        skip, out, into = (along(factor, z) for factor in self.factors(t))
        x = skip * z + out * self.asked(state, into * z, jnp.log(t) / 4, cond)
        return Estimate(x, (z - x) / along(t, z))

    def velocity(self, state: State, z: Array, t: Array, cond: Array | None) -> Array:
        """See `ProbabilityFlow`: (z - D) / sigma."""
        return self.estimate(state, z, t, cond).eps

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean over examples of the weighted square of D - x, with dropout."""
        at, noise, dropout, drop, fill = jax.random.split(rng, 5)
        x = self.dequantized(batch["x"], fill) if self.dequantize else self.scaled(batch["x"])
        told = {}
        if self.augment:
            change = drawn(jax.random.fold_in(rng, 1), self.augment, x.shape[0])
            x, told = changed(x, change), {"augmented": labels(change)}
        sigma = jnp.exp(self.log_mean + self.log_std * jax.random.normal(at, (x.shape[0],)))
        eps = jax.random.normal(noise, x.shape, x.dtype)
        z = x + along(sigma, x) * eps
        skip, out, into = (along(factor, x) for factor in self.factors(sigma))
        cond = self.dropped(self.givens.of_batch(batch), drop)
        said, state = self.trained(state, into * z, jnp.log(sigma) / 4, cond, dropout, **told)
        # the weight of the paper is 1 / c_out^2
        loss = jnp.mean(sum_event(jnp.square(said - (x - skip * z) / out)))
        return loss, (state.vars, {"square": loss / self.spec.dims})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """See `ProbabilityFlow.columns`; also `denoising` [B], the loss over the dimensions."""
        at, noise, rest = jax.random.split(rng, 3)
        x = self.scaled(batch["x"])
        sigma = jnp.exp(self.log_mean + self.log_std * jax.random.normal(at, (x.shape[0],)))
        z = x + along(sigma, x) * jax.random.normal(noise, x.shape, x.dtype)
        found = self.estimate(state, z, sigma, self.givens.of_batch(batch))
        error = sum_event(jnp.square(found.x - x)) / self.factors(sigma)[1] ** 2
        return {"denoising": error / self.spec.dims} | self.columns(state, batch, rest)
