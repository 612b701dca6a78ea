"""Diffusion in discrete steps: DDPM, DDIM, and improved DDPM with learnt variances."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.methods.denoising import Denoising, clipped
from jaxgen.ops.chain import BETAS, SPACINGS, Chain, chain, spaced
from jaxgen.ops.densities import LN2, normal_log_prob, sum_event
from jaxgen.ops.discretized import normal_mass
from jaxgen.ops.prediction import Estimate, along, estimate, target
from jaxgen.ops.samplers import Settings
from jaxgen.ops.times import by_losses, no_losses, noted, shares
from jaxgen.types import Array, Batch, Given, Metrics, Params, State, Vars

OBJECTIVES = ("simple", "hybrid", "bound")
VARIANCES = ("small", "large", "learned")
PREDICTIONS = ("eps", "x", "v")
TIMES = ("uniform", "antithetic", "losses")


@dataclasses.dataclass(frozen=True)
class Diffusion(Denoising):
    """A chain that removes noise step by step; the network is given the step, 0 .. T - 1.

    Source: Ho et al. 2020, Denoising diffusion probabilistic models (DDPM); Song et al. 2021,
    Denoising diffusion implicit models; Nichol & Dhariwal 2021, Improved DDPM, for learnt
    variances, the hybrid objective, the cosine schedule and the law of times by losses.

    Attributes:
        betas: schedule, "linear" or "cosine".
        timesteps: T, of the chain.
        prediction: what the network says, "eps", "x" or "v".
        objective: "simple", the mean square of its error; "hybrid" adds the bound times T / 1000,
            which learns the variances alone; "bound" is the bound in bits/dim.
        variance: of a step: "large", beta; "small", that of the posterior; or "learned", between
            both, of a network with twice the channels (`outputs=2`).
        times: "uniform", "antithetic", or "losses", by the root of their mean square.
        clip: cut estimates of integer data to [-1, 1], in samples and bounds.
        spacing: of the steps of a sampler that takes fewer than T, see `ops.chain.spaced`.
        draws: of the step whose term stands for all in `evaluate`; 0 sums all T terms.
        exact: the error function in the masses of grey levels, in place of DDPM's approximation.
    """

    betas: str = "linear"
    timesteps: int = 1000
    prediction: str = "eps"
    objective: str = "simple"
    variance: str = "large"
    times: str = "uniform"
    clip: bool = True
    spacing: str = "ends"
    draws: int = 1
    exact: bool = False
    sampler: str = "ancestral"

    def __post_init__(self) -> None:
        """Checks the options."""
        for name, found, known in (
            ("betas", self.betas, BETAS),
            ("prediction", self.prediction, PREDICTIONS),
            ("objective", self.objective, OBJECTIVES),
            ("variance", self.variance, VARIANCES),
            ("times", self.times, TIMES),
            ("spacing", self.spacing, SPACINGS),
        ):
            if found not in known:
                raise ConfigError(f"{name}={found!r}, expected one of {', '.join(known)}")
        if self.timesteps < 2 or self.draws < 0:
            raise ConfigError("timesteps: expected 2 or more; draws: 0 or more")
        learned = self.variance == "learned"
        if learned if self.objective == "simple" else self.objective == "hybrid" and not learned:
            raise ConfigError(
                f"objective={self.objective!r} with variance={self.variance!r}: learnt variances "
                "need the objective 'hybrid' or 'bound', and 'hybrid' needs them"
            )
        super().__post_init__()

    @property
    def chain(self) -> Chain:
        """Its noise."""
        return chain(self.betas, self.timesteps)

    def path(self, state: State) -> Chain:
        """See `Denoising`."""
        return self.chain

    @property
    def most_steps(self) -> int:
        """T."""
        return self.timesteps

    @property
    def usual_steps(self) -> int:
        """All of the chain."""
        return self.sampling_steps or self.timesteps

    def settings(self, sampler: str, eta: Any, **more: Any) -> Settings:
        """See `Denoising`; the middle of two steps is a step."""
        more["middle"] = lambda t, s: jnp.maximum((t + s) // 2, 0)
        return super().settings(sampler, eta, variance=self.variance, **more)

    def node(self, i: Any, steps: Any) -> Any:
        """Steps of the chain, and -1."""
        i = jnp.asarray(i)
        at = spaced(jnp.maximum(steps - 1 - i, 0), steps, self.timesteps, self.spacing)
        return jnp.where(i == steps, -1, at)

    def rung(self, i: Any, steps: Any) -> Any:
        """From step 0 to T - 1; what is told twice, of as many steps as the chain has, is one."""
        return jnp.asarray(spaced(jnp.asarray(i), steps + 1, self.timesteps, "ends"))

    def shown_time(self, t: Array) -> Array:
        """Share of the chain."""
        return (t + 1) / self.timesteps

    def estimate(self, state: State, z: Array, t: Array, cond: Array | None) -> Estimate:
        """See `Denoising`."""
        return self._read(self.asked(state, z, t, cond), z, t)

    def _read(self, out: Array, z: Array, t: Array) -> Estimate:
        """What an output of the network says; the second half of its channels, of the variance."""
        between = None
        if self.variance == "learned":
            if out.shape[-1] != 2 * z.shape[-1]:
                raise ConfigError(
                    "variance='learned' needs a network with twice the channels of x: set "
                    "config.model.outputs=2"
                )
            out, between = jnp.split(out, 2, axis=-1)
            between = (between + 1) / 2
        found = estimate(self.prediction, out, z, self.chain.alpha(t), self.chain.sigma(t))
        return found._replace(between=between)

    def corrected(self, state: State, found: Estimate, z: Array, t: Array) -> Estimate:
        """Cut to the range of integer data."""
        if not self.clip or self.spec.levels is None:
            return found
        return clipped(found, z, self.chain.alpha(t), self.chain.sigma(t))

    # ---- training

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the network, and what the law of times knows."""
        params, variables = super().init(rng, batch)
        known = {"times": no_losses(self.timesteps)} if self.times == "losses" else {}
        return params, variables | known

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """The objective, with dropout."""
        at, noise, dropout, drop = jax.random.split(rng, 4)
        x = self.scaled(batch["x"])
        t, weight = self._times(state, at, x.shape[0])
        eps = jax.random.normal(noise, x.shape, x.dtype)
        z = along(self.chain.alpha(t), x) * x + along(self.chain.sigma(t), x) * eps
        cond = self.dropped(self.givens.of_batch(batch), drop)
        out, state = self.trained(state, z, t.astype(x.dtype), cond, dropout)
        wanted = target(self.prediction, x, eps, self.chain.alpha(t), self.chain.sigma(t))
        said = out[..., : x.shape[-1]]
        square = sum_event(jnp.square(said - wanted)) / self.spec.dims
        metrics, losses = {"square": jnp.mean(square)}, square
        if self.objective != "simple":
            if self.objective == "hybrid":
                rest = out[..., x.shape[-1] :]
                out = jnp.concatenate([jax.lax.stop_gradient(said), rest], axis=-1)
            term = self._term(batch["x"], x, z, t, self._read(out, z, t)) / (LN2 * self.spec.dims)
            metrics["term"] = jnp.mean(term)
            share = self.timesteps / 1000
            losses = square + share * term if self.objective == "hybrid" else term * self.timesteps
        if self.times == "losses":
            known = noted(state.vars["times"], t, jax.lax.stop_gradient(losses))
            state = state.replace(vars=state.vars | {"times": known})
        return jnp.mean(losses * weight), (state.vars, metrics)

    def _times(self, state: State, rng: Array, num: int) -> tuple[Array, Any]:
        """Steps [num], and weights of their losses."""
        if self.times == "losses":
            return by_losses(rng, num, state.vars["times"])
        t = jnp.floor(shares(rng, num, self.times) * self.timesteps).astype(jnp.int32)
        return jnp.clip(t, 0, self.timesteps - 1), jnp.float32(1)

    # ---- the bound

    @property
    def density(self) -> DensityOf:
        """The variational bound."""
        levels, given = self.spec.levels, self.givens.columns
        measure, per = ("density", "unit of x") if levels is None else ("mass", "")
        return DensityOf("vlb", measure, self.spec.dims, given=given, levels=levels, per=per)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        return {"nll" if self.spec.levels is None else "bpd": self.density}

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """The bound [B], and its parts: `prior`, `diffusion` and `reconstruction`.

        All are bits/dim of integers, with the sum `bpd`, or nats of points, with the sum `nll`.
        """
        u = jax.random.uniform(jax.random.fold_in(rng, 1))
        parts = self._bound(state, batch["x"], self.givens.of_batch(batch), rng, u, 1)
        return self._columns(parts)

    def evaluate_stratum(
        self, state: State, batch: Batch, rng: Array, stratum: Array, strata: int
    ) -> Metrics:
        """See `abilities.Stratified`."""
        u = jax.random.uniform(jax.random.fold_in(rng, 1))
        cond = self.givens.of_batch(batch)
        return self._columns(self._bound(state, batch["x"], cond, rng, u + stratum, strata))

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats, a lower bound in expectation."""
        cond = self.givens.of_call(given, x.shape[0])
        u = jax.random.uniform(jax.random.fold_in(rng, 1))
        parts = self._bound(state, x, cond, rng, u, 1)
        return -(parts["prior"] + parts["diffusion"] + parts["reconstruction"])

    def terms(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[T, B], in nats: the term of each step, the reconstruction's first."""
        cond = self.givens.of_call(given, x.shape[0])
        return self._terms(state, x, cond, rng, jnp.arange(self.timesteps))

    def prior(self, x: Array) -> Array:
        """KL(q(z_T | x) || N(0, 1)) [B], in nats."""
        last = self.timesteps - 1
        alpha, sigma = self.chain.alpha(last), self.chain.sigma(last)
        mean = alpha * self.scaled(x)
        return 0.5 * sum_event(mean**2 + sigma**2 - 1 - 2 * jnp.log(sigma))

    def _bound(
        self, state: State, x: Array, cond: Any, rng: Array, u: Array, strata: int
    ) -> dict[str, Array]:
        """The three parts [B], in nats; u, in [0, strata), draws the first example's step.

        The other examples' steps are evenly spaced from it, and draws divide the range again.
        """
        zero = jnp.zeros(1, jnp.int32)
        found = {"prior": self.prior(x)}
        found["reconstruction"] = self._terms(state, x, cond, jax.random.fold_in(rng, 2), zero)[0]
        rng = jax.random.fold_in(rng, 3)
        rest = self.timesteps - 1
        if not self.draws:
            steps = jnp.arange(1, self.timesteps)
            return found | {"diffusion": jnp.sum(self._terms(state, x, cond, rng, steps), 0)}
        spread = (u + jnp.arange(x.shape[0]) / x.shape[0] * strata) % strata
        number = jnp.arange(self.draws)[:, None]
        places = (number + (spread / strata)[None]) / self.draws
        steps = 1 + jnp.clip(jnp.floor(places * rest), 0, rest - 1).astype(jnp.int32)
        drawn = self._terms(state, x, cond, rng, steps)
        return found | {"diffusion": rest * jnp.mean(drawn, axis=0)}

    def _terms(self, state: State, x: Array, cond: Any, rng: Array, steps: Array) -> Array:
        """[N, B], in nats, of steps [N], or [N, B]."""
        data = self.scaled(x)

        def one(number: Array) -> Array:
            t = jnp.broadcast_to(steps[number], (x.shape[0],))
            eps = jax.random.normal(jax.random.fold_in(rng, number), data.shape, data.dtype)
            alpha, sigma = along(self.chain.alpha(t), data), along(self.chain.sigma(t), data)
            z = alpha * data + sigma * eps
            out = self.asked(state, z, t.astype(data.dtype), cond)
            return self._term(x, data, z, t, self._read(out, z, t))

        return jax.lax.map(one, jnp.arange(len(steps)))

    def _term(self, x: Array, data: Array, z: Array, t: Array, found: Estimate) -> Array:
        """[B], in nats: the divergence of step t [B], or at step 0 what decodes the data."""
        table = self.chain
        if self.clip and self.spec.levels is not None:
            found = clipped(found, z, table.alpha(t), table.sigma(t))

        def of(values: Any) -> Array:
            return along(jnp.asarray(values, z.dtype)[t], z)

        ours, theirs = of(table.posterior_of_data), of(table.posterior_of_noised)
        true, mean = ours * data + theirs * z, ours * found.x + theirs * z
        low, high = of(table.posterior_log_variance), of(table.large_log_variance)
        spread = {"small": low, "large": high}.get(self.variance)
        if spread is None:
            top = of(np.log(table.betas))
            spread = low + found.between * (top - low)
        spread = jnp.broadcast_to(spread, z.shape)
        ratio = jnp.exp(low - spread) + (true - mean) ** 2 * jnp.exp(-spread)
        divergence = 0.5 * sum_event(spread - low - 1 + ratio)
        if self.spec.levels is None:
            each = normal_log_prob((data - mean) * jnp.exp(-0.5 * spread)) - 0.5 * spread
            decoded = sum_event(each) - self.log_volume
        else:
            decoded = sum_event(normal_mass(x, mean, 0.5 * spread, self.spec.levels, self.exact))
        return jnp.where(t == 0, -decoded, divergence)

    def _in_units(self, nats: Array) -> Array:
        """Bits/dim of integers; nats of points."""
        return nats if self.spec.levels is None else nats / (LN2 * self.spec.dims)

    def _columns(self, parts: dict[str, Array]) -> Metrics:
        parts = {name: self._in_units(value) for name, value in parts.items()}
        total = parts["prior"] + parts["diffusion"] + parts["reconstruction"]
        return {"nll" if self.spec.levels is None else "bpd": total} | parts
