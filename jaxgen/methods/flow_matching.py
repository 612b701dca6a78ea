"""Flow matching: a network learns the velocity of paths from data to noise."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, unknown
from jaxgen.methods.probability_flow import ProbabilityFlow
from jaxgen.ops.assignment import assignment
from jaxgen.ops.densities import sum_event
from jaxgen.ops.noise import PATHS, Path
from jaxgen.ops.prediction import Estimate, along, estimate, target
from jaxgen.ops.times import LAWS, shares
from jaxgen.types import Array, Batch, Metrics, State, Vars
from jaxgen.values import AnyReal

COUPLINGS = ("independent", "optimal")


@dataclasses.dataclass(frozen=True)
class FlowMatching(ProbabilityFlow):
    """Minimises the mean square of v(z_t, t) - (alpha' x + sigma' eps).

    Time runs from data at 0 to noise at 1. Of integers, noise fills the room between grey levels,
    so that the flow has a density to learn.

    Source: Lipman et al. 2023, Flow matching for generative modeling, equation 9; Liu et al. 2023,
    Flow straight and fast (rectified flow); Tong et al. 2024, Improving and generalizing
    flow-based generative models with minibatch optimal transport, section 3.4 ("optimal"); Ma et
    al. 2024, SiT, for the paths and the stochastic sampler.

    Attributes:
        noise: path, "linear", "trigonometric" or "preserving".
        times: law of t in training, of `ops.times.LAWS`.
        time_scale: the network is given t times this: 0 .. 1000 is the range of its sinusoids.
        logit_mean: of the logit of t in "logit_normal" and "mixed".
        logit_std: its standard deviation.
        coupling: "independent", or "optimal": within a batch noise is dealt to data so that the
            squares of their distances are least. Labels stay with their data.
    """

    noise: str = "linear"
    times: str = "uniform"
    time_scale: float = 1000.0
    logit_mean: AnyReal = 0.0
    logit_std: float = 1.0
    coupling: str = "independent"
    sampler: str = "euler"

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.noise not in PATHS:
            raise ConfigError(unknown("path in config.method.noise", self.noise, PATHS))
        if self.times not in LAWS:
            raise ConfigError(unknown("law in config.method.times", self.times, LAWS))
        if self.logit_std <= 0:
            raise ConfigError(f"logit_std={self.logit_std}, expected a number above 0")
        if self.coupling not in COUPLINGS:
            raise ConfigError(unknown("config.method.coupling", self.coupling, COUPLINGS))

    def path(self, state: State) -> Path:
        """See `Denoising`."""
        return self.trajectory

    @property
    def trajectory(self) -> Path:
        """The path, of no state."""
        return PATHS[self.noise]()

    def node(self, i: Any, steps: Any) -> Any:
        """From 1 to 0, evenly."""
        return jnp.maximum(1 - i / jnp.asarray(steps), 0)  # compiled, i / i may be above 1

    def rung(self, i: Any, steps: Any) -> Any:
        """From what stands for data to 1, in steps that grow: near the data edges are sharp."""
        first = self.trajectory.first
        return first + (1 - first) * (i / jnp.asarray(steps)) ** 2

    def estimate(self, state: State, z: Array, t: Array, cond: Array | None) -> Estimate:
        """See `Denoising`."""
        path = self.trajectory
        t = jnp.maximum(t, path.first)
        out = self.velocity(state, z, t, cond)
        return estimate("velocity", out, z, path.alpha(t), path.sigma(t), path.rates(t))

    def velocity(self, state: State, z: Array, t: Array, cond: Array | None) -> Array:
        """See `ProbabilityFlow`: what the network says."""
        return self.asked(state, z, self.time_scale * t, cond)

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean square over examples and dimensions, with dropout."""
        dropout, drop = jax.random.split(jax.random.fold_in(rng, 1))
        x, eps, t, z = self.pairs(batch["x"], rng)
        cond = self.dropped(self.givens.of_batch(batch), drop)
        out, state = self.trained(state, z, self.time_scale * t, cond, dropout)
        loss = jnp.mean(jnp.square(out - self.wanted(x, eps, t)))
        return loss, (state.vars, {"square": loss})

    def pairs(self, x: Array, rng: Array) -> tuple[Array, Array, Array, Array]:
        """Data, noise, times [B] and what is between."""
        at, noise, fill = jax.random.split(rng, 3)
        x = self.dequantized(x, fill)
        eps = jax.random.normal(noise, x.shape, x.dtype)
        if self.coupling == "optimal":
            eps = eps[assignment(squared_distances(x, eps))]
        t = jnp.maximum(self.drawn_times(at, x.shape[0]), self.trajectory.first)
        path = self.trajectory
        return x, eps, t, along(path.alpha(t), x) * x + along(path.sigma(t), x) * eps

    def drawn_times(self, rng: Array, num: int) -> Array:
        """Times of examples in training."""
        return shares(rng, num, self.times, self.logit_mean, self.logit_std)

    def wanted(self, x: Array, eps: Array, t: Array) -> Array:
        """The velocity of the path of each example."""
        path = self.trajectory
        return target("velocity", x, eps, path.alpha(t), path.sigma(t), path.rates(t))

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """See `ProbabilityFlow.columns`; also `square` [B], the loss at a time of each."""
        first, rest = jax.random.split(rng)
        x, eps, t, z = self.pairs(batch["x"], first)
        out = self.velocity(state, z, t, self.givens.of_batch(batch))
        error = sum_event(jnp.square(out - self.wanted(x, eps, t)))
        return {"square": error / self.spec.dims} | self.columns(state, batch, rest)


def squared_distances(a: Array, b: Array) -> Array:
    """[N, N] between examples, flattened."""
    a, b = a.reshape(a.shape[0], -1), b.reshape(b.shape[0], -1)
    return jnp.sum(a * a, 1)[:, None] + jnp.sum(b * b, 1)[None] - 2 * a @ b.T
