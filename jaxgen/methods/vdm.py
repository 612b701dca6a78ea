"""Variational diffusion: the bound in continuous time, with learnt ends of the noise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.methods.denoising import Denoising
from jaxgen.methods.player import Player
from jaxgen.nn.noise_ends import NoiseEnds
from jaxgen.ops.densities import LN2, normal_log_prob, sum_event
from jaxgen.ops.noise import LogLinear
from jaxgen.ops.prediction import Estimate, along, estimate
from jaxgen.ops.times import LAWS, shares
from jaxgen.types import Array, Batch, Given, Metrics, State, Vars


@dataclasses.dataclass(frozen=True)
class VDM(Denoising):
    """Minimises -log p(x) <= KL(q(z_1 | x) || N(0, 1)) + diffusion - E log p(x | z_0).

    In continuous time the second term is the mean over t of gamma'(t) |eps - eps_hat|^2 / 2; of
    `timesteps` T that of T (exp(gamma_t - gamma_s) - 1) |eps - eps_hat|^2 / 2 over the last steps
    t = 1 / T .. 1, s = t - 1 / T. The network is given 1,000 times the place of gamma between its
    first ends, 0 to 1000 before they move, and says the noise.

    Source: Kingma et al. 2021, Variational diffusion models, equations 11, 13, 15 and 17.

    Attributes:
        low: gamma, the negative log-SNR, at t = 0, before training. For integers of L levels in
            [-1, 1], -13.3 at L = 256; 2 ln(1 / (3 (L - 1))) is as far below any spacing.
        high: at t = 1.
        timesteps: T; 0 is continuous time.
        times: law of t in training.
        draws: of t for an example in `evaluate`.
    """

    low: float = -13.3
    high: float = 5.0
    timesteps: int = 0
    times: str = "antithetic"
    draws: int = 1
    sampler: str = "ancestral"
    sampling_steps: int = 250

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.times not in LAWS or self.times not in ("uniform", "antithetic"):
            raise ValueError(f"times={self.times!r}, expected uniform or antithetic")
        if not self.low < self.high or self.draws < 1:
            raise ValueError("expected low below high, and draws of 1 or more")

    @property
    def player(self) -> Player:
        """The network, with the ends of gamma."""
        return Player("model", NoiseEnds(self.model, self.low, self.high))

    def path(self, state: State) -> LogLinear:
        """See `Denoising`: as learnt."""
        return LogLinear(*self.player.apply(state, method="ends"))

    def node(self, i: Any, steps: Any) -> Any:
        """From 1 to 0, evenly."""
        return jnp.maximum(1 - i / jnp.asarray(steps), 0)

    def rung(self, i: Any, steps: Any) -> Any:
        """From 0 to 1, evenly."""
        return i / jnp.asarray(steps)

    def estimate(self, state: State, z: Array, t: Array, cond: Array | None) -> Estimate:
        """See `Denoising`."""
        path = self.path(state)
        eps = self.asked(state, z, self._shown(path.gamma(t)), cond)
        return estimate("eps", eps, z, path.alpha(t), path.sigma(t))

    def ended(self, state: State, z: Array) -> Array:
        """What p(x | z_0) is highest at: the nearest of the levels."""
        return z / self.path(state).alpha(0.0)

    def _shown(self, gamma: Array) -> Array:
        """What the network is given of gamma."""
        return 1000 * (gamma - self.low) / (self.high - self.low)

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean of the bound in bits/dim (nats/dim of points), with dropout."""
        at, noise, dropout, drop = jax.random.split(rng, 4)
        t = shares(at, len(batch["x"]), self.times)
        cond = self.dropped(self.givens.of_batch(batch), drop)
        parts, state = self._parts(state, batch["x"], cond, noise, t, dropout)
        metrics = {k: jnp.mean(v) for k, v in self._columns(parts).items()}
        path = self.path(state)
        loss = metrics["bpd"] if "bpd" in metrics else metrics["nll"] / self.spec.dims
        return loss, (state.vars, metrics | {"gamma_low": path.low, "gamma_high": path.high})

    @property
    def density(self) -> DensityOf:
        """The bound, at `draws` times."""
        levels, given = self.spec.levels, self.givens.columns
        measure, per = ("density", "unit of x") if levels is None else ("mass", "")
        kind = f"vdm-{self.draws}"
        return DensityOf(kind, measure, self.spec.dims, given=given, levels=levels, per=per)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        return {"nll" if self.spec.levels is None else "bpd": self.density}

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """The bound [B], and its parts: `prior`, `diffusion` and `reconstruction`.

        All are bits/dim of integers, with the sum `bpd`, or nats of points, with the sum `nll`.
        """
        return self._columns(self._bound(state, batch["x"], self.givens.of_batch(batch), rng))

    def evaluate_stratum(
        self, state: State, batch: Batch, rng: Array, stratum: Array, strata: int
    ) -> Metrics:
        """See `abilities.Stratified`."""
        cond = self.givens.of_batch(batch)
        return self._columns(self._bound(state, batch["x"], cond, rng, stratum, strata))

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats, a lower bound in expectation."""
        parts = self._bound(state, x, self.givens.of_call(given, x.shape[0]), rng)
        return -(parts["prior"] + parts["diffusion"] + parts["reconstruction"])

    def _bound(
        self, state: State, x: Array, cond: Any, rng: Array, stratum: Any = 0, strata: int = 1
    ) -> dict[str, Array]:
        """The parts [B], in nats, of `draws` times in a share of all."""
        first, rest = jax.random.split(rng)
        u = (jax.random.uniform(first) + jnp.arange(x.shape[0]) / x.shape[0]) % 1.0

        def draw(number: Array) -> dict[str, Array]:
            t = (stratum + (number + u) / self.draws) / strata
            return self._parts(state, x, cond, jax.random.fold_in(rest, number), t)[0]

        found = jax.lax.map(draw, jnp.arange(self.draws))
        return {name: jnp.mean(value, axis=0) for name, value in found.items()}

    def _parts(
        self, state: State, x: Array, cond: Any, rng: Array, t: Array, dropout: Any = None
    ) -> tuple[dict[str, Array], State]:
        """The parts [B], in nats, at one time of each example; and what the network moved."""
        data, path = self.scaled(x), self.path(state)
        first, second = jax.random.split(rng)
        if self.timesteps:
            t = jnp.ceil(t * self.timesteps) / self.timesteps
        eps = jax.random.normal(first, data.shape, data.dtype)
        z = along(path.alpha(t), data) * data + along(path.sigma(t), data) * eps
        time = self._shown(path.gamma(t))
        if dropout is None:
            said = self.asked(state, z, time, cond)
        else:
            said, state = self.trained(state, z, time, cond, dropout)
        weight = path.high - path.low  # gamma'
        if self.timesteps:
            weight = self.timesteps * jnp.expm1(weight / self.timesteps)
        parts = {"diffusion": 0.5 * weight * sum_event(jnp.square(eps - said))}
        mean, variance = path.alpha(1.0) * data, path.sigma(1.0) ** 2
        parts["prior"] = 0.5 * sum_event(mean**2 + variance - 1 - jnp.log(variance))
        parts["reconstruction"] = self._decoded(x, data, path, second)
        return parts, state

    def _decoded(self, x: Array, data: Array, path: LogLinear, rng: Array) -> Array:
        """-log p(x | z_0) [B] of one draw of z_0, in nats.

        p is the normal density of z_0 given x, over all levels, or over the line.
        """
        eps = jax.random.normal(rng, data.shape, data.dtype)
        spread = jnp.exp(0.5 * path.gamma(0.0))  # sigma / alpha
        if self.spec.levels is None:
            each = -normal_log_prob(eps) + jnp.log(spread)
            return sum_event(each) + self.log_volume
        seen = data + spread * eps
        levels = self.scaled(jnp.arange(self.spec.levels)).astype(data.dtype)
        levels = levels.reshape(*(1,) * data.ndim, -1)
        logits = -0.5 * jnp.square((seen[..., None] - levels) / spread)
        log_p = jax.nn.log_softmax(logits)
        picked = jnp.take_along_axis(log_p, x[..., None].astype(jnp.int32), axis=-1)
        return -sum_event(picked)

    def _columns(self, parts: dict[str, Array]) -> Metrics:
        unit = 1.0 if self.spec.levels is None else LN2 * self.spec.dims
        parts = {name: value / unit for name, value in parts.items()}
        total = parts["prior"] + parts["diffusion"] + parts["reconstruction"]
        return {"nll" if self.spec.levels is None else "bpd": total} | parts
