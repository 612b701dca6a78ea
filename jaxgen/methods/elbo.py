"""The evidence lower bound for any model with latent variables; its importance-weighted bound."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.methods.givens import Givens, chosen
from jaxgen.methods.grouped import Grouped
from jaxgen.methods.player import Player
from jaxgen.nn.latents import Draw, Normal
from jaxgen.ops.densities import nats_to_bits_per_dim
from jaxgen.ops.observations import Enumerable, Observation, observation
from jaxgen.ops.ranges import nearest_levels
from jaxgen.schedules import Scheduled, extremes, ramp, value
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

SHOWN_GROUPS = 6  # of latents; more are too many for a line, and only their extremes are shown


@dataclasses.dataclass(frozen=True)
class ELBO(Grouped):
    """Maximises E_q log p(x | z) - beta KL(q(z | x) || p(z)), in nats per example.

    Source: Kingma & Welling 2014, Auto-encoding variational Bayes, equation 3; Higgins et al.
    2017, beta-VAE, equation 4; Burgess et al. 2018, Understanding disentangling in beta-VAE,
    equation 8 (`capacity`); Kingma et al. 2016, Improving variational inference with inverse
    autoregressive flow, appendix C.8 (`free_nats`).

    Attributes:
        model: of `nn.latents`.
        spec: of the data.
        observation: of the decoder, one of `ops.observations.NAMES`.
        mixtures: of "logistic_mixture".
        beta: weight of the divergence.
        warmup_steps: over which beta rises from 0, linearly.
        free_nats: least divergence of a channel of a group, averaged over the batch, that the
            loss counts.
        capacity: C of the annealed bound beta |KL - C|, in nats; None takes beta KL.
        capacity_steps: over which C rises from 0.
        per_dim: divide the loss by the dimensions of an example.
        given: fields of a batch that the model is given, as ("label",). The context always is,
            where the data have one.
        importance_samples: K of the bounds in `evaluate`.
        chunk: draws held in memory at a time, at most.
    """

    model: Any
    spec: DataSpec
    observation: str = "bernoulli"
    mixtures: int = 10
    beta: Scheduled = 1.0
    warmup_steps: int = 0
    free_nats: Scheduled = 0.0
    capacity: Scheduled | None = None
    capacity_steps: int = 0
    per_dim: bool = False
    given: tuple[str, ...] = ()
    importance_samples: int = 1
    chunk: int = 50

    def __post_init__(self) -> None:
        """Checks the options against the data."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        observation(self.observation, self.spec.x.values, self.mixtures)
        if min(self.importance_samples, self.chunk) < 1:
            raise ValueError("importance_samples and chunk: expected 1 or more")
        if min(extremes(self.beta, self.free_nats)) < 0:
            raise ValueError(f"beta={self.beta}, free_nats={self.free_nats}: expected 0 or more")

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the model moves up its own bound."""
        return (Turn("model", self.loss),)

    @property
    def levels(self) -> int | None:
        """Grey levels that are modelled; None for continuous data."""
        return self.spec.levels

    @property
    def givens(self) -> Givens:
        """What the model is given."""
        return Givens(self.spec, self.given)

    @property
    def density(self) -> DensityOf:
        """The bound of `importance_samples` draws."""
        return self._bound(self.importance_samples)

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """Of the columns of `evaluate`."""
        one, several = self._bound(1), self.density
        columns = {"bpd": one, "iw_bpd": several, "nelbo": one, "iw_nll": several}
        if self.importance_samples == 1:
            columns = {"bpd": one, "nelbo": one}
        return {k: of for k, of in columns.items() if self.decoder.is_mass or k[-3:] != "bpd"}

    def _bound(self, draws: int) -> DensityOf:
        """A Gaussian is a density of what it is given: grey levels brought to [0, 1]."""
        mass, levels = self.decoder.is_mass, self.levels
        return DensityOf(
            "elbo" if draws == 1 else f"iwae-{draws}",
            "mass" if mass else "density",
            self.spec.dims,
            given=self.givens.columns,
            levels=levels,
            per="" if mass else "unit of x" if levels is None else f"{levels - 1} levels",
        )

    @property
    def decoder(self) -> Observation:
        """What the decoder says about the data."""
        spec = self.spec
        return observation(self.observation, spec.x.values, self.mixtures, spec.x.log_volume)

    @property
    def player(self) -> Player:
        """The model."""
        return Player("model", self.model)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch."""
        own, latent = jax.random.split(rng)
        x, rngs = self.scaled(batch["x"]), {"params": own, "latent": latent}
        params, variables = self.player.init(
            rngs, x, self.theta_size(x.shape[0]), self.condition(batch)
        )
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean negative bound, in nats per example (per dimension with `per_dim`)."""
        latent, dropout = jax.random.split(rng)
        x = self.scaled(self.corrupt(batch["x"], jax.random.fold_in(rng, 2)))
        draw, moved = self.draw_training(state, x, self.condition(batch), latent, dropout)
        nll = -jnp.mean(self.decoder.log_prob(batch["x"], draw.theta))
        divergence, metrics = self.divergence(draw, state.step)
        key = jax.random.fold_in(rng, 3)
        penalty, more = self.penalty(state, batch, moved, draw, key)
        kl = sum(jnp.mean(jnp.sum(group, -1)) for group in draw.kl) + jnp.float32(0)
        metrics |= self.columns(nll + kl) | {"reconstruction": nll, "kl": kl} | more
        loss = nll + divergence + penalty
        variables = self.player.moved(state, moved).vars
        return loss / self.spec.dims if self.per_dim else loss, (variables, metrics)

    def corrupt(self, x: Array, rng: Array) -> Array:
        """What the encoder sees of x, both in the units of the data: x itself."""
        return x

    def divergence(self, draw: Draw, step: Array) -> tuple[Array, Metrics]:
        """What the loss adds for the divergence, in nats per example, and metrics of the groups.

        Args:
            draw: of the posterior.
            step: train steps done.
        """
        if not draw.kl:
            return jnp.float32(0), {}
        means = [jnp.mean(group, axis=0) for group in draw.kl]
        nats = jnp.stack([jnp.sum(mean) for mean in means])
        shown = {f"kl_{i + 1}": kl for i, kl in enumerate(nats)}
        if len(means) == 1:
            shown = {}
        elif len(means) > SHOWN_GROUPS:
            shown = {"kl_least": jnp.min(nats), "kl_most": jnp.max(nats)}
        if self.free_nats:
            least = value(self.free_nats, step)
            nats = jnp.stack([jnp.sum(jnp.maximum(m, least)) for m in means])
        weight = value(self.beta, step) * ramp(step, self.warmup_steps)
        total = jnp.sum(nats)
        if self.capacity is not None:
            total = jnp.abs(total - value(self.capacity, step) * ramp(step, self.capacity_steps))
        return weight * total, shown

    def penalty(
        self, state: State, batch: Batch, moved: Vars, draw: Draw, rng: Array
    ) -> tuple[Array, Metrics]:
        """What else the loss adds, in nats per example, and its metrics: nothing here.

        Args:
            state: before the step.
            batch: examples.
            moved: collections that the model moved; entries may be changed in place.
            draw: of the posterior.
            rng: a key.
        """
        return jnp.float32(0), {}

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each, in nats: `nelbo`, its parts `reconstruction` and `kl`.

        Of several groups also `kl_1` and so on, from the top. `bpd` of integer data under a mass
        is `nelbo` in bits/dim. With `importance_samples` K > 1 also `iw_nll`, the negative bound
        of K draws, which falls with K to -log p(x), and `iw_bpd`.

        Source: Burda et al. 2016, Importance weighted autoencoders, equation 8.
        """
        cond = self.condition(batch)
        draw = self.draw_posterior(state, batch["x"], cond, rng)
        nll = -self.decoder.log_prob(batch["x"], draw.theta)
        groups = [jnp.sum(group, axis=-1) for group in draw.kl]
        kl = sum(groups) + jnp.zeros_like(nll)
        values = self.columns(nll + kl) | {"reconstruction": nll, "kl": kl}
        if len(groups) > 1:
            values |= {f"kl_{i + 1}": group for i, group in enumerate(groups)}
        if self.importance_samples > 1:
            key = jax.random.fold_in(rng, 1)
            bound = self.importance_bound(state, batch["x"], cond, key, self.importance_samples)
            values["iw_nll"] = -bound
            if self.decoder.is_mass:
                values["iw_bpd"] = nats_to_bits_per_dim(-bound, self.spec.dims)
        return values

    def log_prob(self, state: State, x: Array, rng: Array, given: Given = None) -> Array:
        """[B], in nats: the bound of `importance_samples` draws, below log p(x) in expectation."""
        cond = self.givens.of_call(given, x.shape[0])
        return self.importance_bound(state, x, cond, rng, self.importance_samples)

    def importance_bound(
        self, state: State, x: Array, cond: Any, rng: Array, samples: int
    ) -> Array:
        """log 1/K sum_k p(x, z_k) / q(z_k | x), [B] in nats, at most `chunk` draws at a time."""
        size = next(c for c in range(min(samples, self.chunk), 0, -1) if samples % c == 0)
        h = self.player.apply(state, self.scaled(x), cond, method="bottom_up")

        def body(k: Array, total: Array) -> Array:
            weights = self.log_weights(state, x, h, cond, jax.random.fold_in(rng, k), size)
            return jnp.logaddexp(total, jax.nn.logsumexp(weights, axis=0))

        start = jnp.full(x.shape[0], -jnp.inf, jnp.result_type(float))
        return jax.lax.fori_loop(0, samples // size, body, start) - jnp.log(samples)

    def log_weights(
        self, state: State, x: Array, h: Any, cond: Any, rng: Array, samples: int
    ) -> Array:
        """log p(x, z) - log q(z | x) of so many draws, [samples, B]."""
        tile = functools.partial(jnp.repeat, repeats=samples, axis=0)
        h, x, cond = jax.tree.map(tile, (h, x, cond))
        draw = self.top_down(state, h, x.shape[0], cond, rng)
        weights = self.decoder.log_prob(x, draw.theta) + draw.log_p - draw.log_q
        return weights.reshape(-1, samples).T

    def encode(self, state: State, x: Array, rng: Array, given: Given = None) -> Any:
        """Data to latents, one entry a group: the posterior's mean where there is one group."""
        cond = self.givens.of_call(given, x.shape[0])
        h = self.player.apply(state, self.scaled(x), cond, method="bottom_up")
        if isinstance(h, Normal):
            return (h.mean,)
        return self.top_down(state, h, x.shape[0], cond, rng).z

    def decode(self, state: State, z: Any, given: Given = None, rounded: bool = False) -> Array:
        """Latents, one entry a group, to the expected data, in their units.

        Args:
            state: of the model.
            z: latents.
            given: field -> [B, ...], of what the model is given.
            rounded: to the nearest grey levels, between which the expected data are.
        """
        num = jax.tree.leaves(z)[0].shape[0]
        cond = self.givens.of_call(given, num)
        draw = self.top_down(state, None, num, cond, jax.random.key(0), given=tuple(z))
        mean = self.decoder.mean(draw.theta)
        return nearest_levels(mean, self.spec.levels) if rounded else mean

    def reconstruct(
        self, state: State, x: Array, rng: Array, given: Given = None, groups: int | None = None
    ) -> Array:
        """The expected data given latents drawn for x.

        Args:
            state: of the model.
            x: data.
            rng: a key.
            given: field -> [B, ...], of what the model is given.
            groups: keep so many groups of latents, from the first, and draw the rest from the
                prior: what is kept is the lossy code of Gregor et al. 2016, Towards conceptual
                compression, section 4. None keeps all.
        """
        cond = self.givens.of_call(given, x.shape[0])
        draw = self.draw_posterior(state, x, cond, rng)
        if groups is not None:
            if not 1 <= groups <= len(draw.z):
                raise ConfigError(f"groups={groups}, expected 1 to {len(draw.z)} of this model")
            draw = self.keeping(state, draw, groups, cond, jax.random.fold_in(rng, 1))
        return self.decoder.mean(draw.theta)

    def latent_laws(
        self, state: State, x: Array, z: Any, given: Given = None
    ) -> tuple[Sequence[Any], Array]:
        """See `abilities.BitsBack`."""
        cond = self.givens.of_call(given, len(x))
        h = self.player.apply(state, self.scaled(x), cond, method="bottom_up")
        draw = self.top_down(state, h, len(x), cond, jax.random.key(0), given=tuple(z))
        if len(draw.laws) != len(draw.z):
            name = type(self.model).__name__
            raise ConfigError(f"{name} has latents that are not normal, group by group")
        return draw.laws, draw.theta

    def value_log_probs(self, theta: Array, seen: Array, channel: int) -> Array:
        """See `abilities.BitsBack`."""
        decoder = self.decoder
        if not isinstance(decoder, Enumerable):
            raise ConfigError(f"{type(decoder).__name__} says no probability of a grey level")
        masses = decoder.log_masses(theta, seen, channel)
        return masses.reshape(len(theta), -1, masses.shape[-1])

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
        mean: bool = False,
    ) -> Array:
        """Draws latents from the prior, then data.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            temperature: multiplies the standard deviations of the latents.
            mean: show the expected data instead of a draw, as most papers' pictures do.
        """
        latent, noise, classes = jax.random.split(rng, 3)
        cond = self.givens.of_call(given, num, classes)
        draw = self.top_down(state, None, num, cond, latent, temperature=temperature)
        return self.decoder.mean(draw.theta) if mean else self.decoder.sample(noise, draw.theta)

    def draw_posterior(self, state: State, x: Array, cond: Any, rng: Array) -> Draw:
        """A draw of the posterior of x, in the units of the data."""
        h = self.player.apply(state, self.scaled(x), cond, method="bottom_up")
        return self.top_down(state, h, x.shape[0], cond, rng)

    def draw_training(
        self, state: State, x: Array, cond: Any, latent: Array, dropout: Array
    ) -> tuple[Draw, Vars]:
        """A draw of the posterior with dropout and statistics that move, and these."""
        moving = self.player.moving(state)
        rngs = {"latent": latent, "dropout": dropout}
        return self.player.apply(
            state, x, self.theta_size(x.shape[0]), cond, rngs=rngs, mutable=moving
        )

    def top_down(
        self, state: State, h: Any, num: int, cond: Any, rng: Array, **options: Any
    ) -> Draw:
        """Draws of `num` latents, and theta: by features h the posterior's, by None the prior's."""
        size, rngs = self.theta_size(num), {"latent": rng}
        return self.player.apply(state, h, size, cond, rngs=rngs, method="top_down", **options)

    def theta_size(self, num: int) -> tuple[int, ...]:
        """The shape of theta."""
        *positions, channels = self.spec.shape
        return (num, *positions, self.decoder.width(channels))

    def scaled(self, x: Array) -> Array:
        """Integer data to [0, 1]; continuous data as they are."""
        if self.spec.levels is None:
            return x
        return x.astype(jnp.result_type(float)) / (self.spec.levels - 1)

    def condition(self, batch: Batch) -> Array | None:
        """What the model is given with a batch, see `nn.condition`; None for nothing."""
        return self.givens.of_batch(batch)

    def columns(self, nelbo: Array) -> Metrics:
        """A negative bound in nats under its names, also in bits/dim where it is of a mass."""
        if not self.decoder.is_mass:
            return {"nelbo": nelbo}
        return {"nelbo": nelbo, "bpd": nats_to_bits_per_dim(nelbo, self.spec.dims)}
