"""The objective of NVAE: balanced divergences, and penalties that keep a deep hierarchy stable."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen import schedules
from jaxgen.methods.elbo import ELBO
from jaxgen.nn import spectral
from jaxgen.nn.latents import Draw
from jaxgen.ops.observations import Observation, observation
from jaxgen.ops.ranges import nearest_levels
from jaxgen.types import Array, Batch, Given, Metrics, Params, State, Vars

LEAST_BETA = 1e-4  # of the warm-up
FIRST_ITERATIONS, ITERATIONS = 40, 4  # of the power iteration: before the first step, and in each
READJUST_BATCH = 16  # images of a pass that re-adjusts statistics, as the official script


@dataclasses.dataclass(frozen=True)
class Coarse:
    """An observation model of the leading bits of integer data.

    Attributes:
        inner: of the leading bits.
        step: grey levels of the data that fall into one.
    """

    inner: Observation
    step: int

    @property
    def is_mass(self) -> bool:
        """As the inner one."""
        return self.inner.is_mass

    def width(self, channels: int) -> int:
        """As the inner one."""
        return self.inner.width(channels)

    def log_prob(self, x: Array, theta: Array) -> Array:
        """[B], in nats, of the leading bits."""
        return self.inner.log_prob(x // self.step, theta)

    def sample(self, rng: Array, theta: Array, temperature: Any = 1.0) -> Array:
        """A draw, in the units of the data."""
        return self.inner.sample(rng, theta, temperature) * self.step

    def mean(self, theta: Array) -> Array:
        """The expected leading bits, in the units of the data."""
        return self.inner.mean(theta) * self.step


def group_weights(kl: Array, sizes: list[int]) -> Array:
    """What each group's divergence weighs while beta is below 1: [G], of mean 1, constants.

    A group weighs as its share of the divergence, so that none is starved, divided by 4^i / G_i
    in scale i of G_i groups, counted from the top: so fine scales may say more.

    Source: the paper, appendix A; official code, `utils.kl_balancer`, with its "square"
    coefficients, and 0.01 added to every divergence.

    Args:
        kl: [B, G], in nats, groups as they are drawn.
        sizes: of the scales: groups of each, from the top.
    """
    alphas = [4.0**i / size for i, size in enumerate(sizes) for _ in range(size)]
    share = (jnp.mean(jnp.abs(kl), axis=0) + 0.01) / jnp.asarray(alphas)
    return jax.lax.stop_gradient(share / jnp.mean(share))


@dataclasses.dataclass(frozen=True)
class NVAE(ELBO):
    """The bound, with divergences balanced while beta rises, and penalties of the layers.

    The penalties are the sum of the largest singular values of all kernels, and of the largest
    |scale| of each batch normalisation. The model notes both in the collection "intermediates",
    as "kernel" and "scale".

    Source: Vahdat & Kautz 2020, NVAE, section 3.2 and appendix A, with the official code.

    Attributes:
        constant_steps: for which beta stays at its least, 1e-4, before it rises for
            `warmup_steps`.
        penalty_weight: lambda of both penalties.
        penalty_start: from which lambda falls to `penalty_weight`, geometrically, as beta rises;
            None keeps it.
        n_bits: keep that many bits of 8-bit data; None keeps all grey levels. Numbers with
            different n_bits are not comparable.
    """

    constant_steps: int = 0
    penalty_weight: float = 1e-2
    penalty_start: float | None = None
    n_bits: int | None = None

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.free_nats or self.capacity is not None:
            raise ValueError("NVAE balances divergences: it takes no free_nats and no capacity")
        if self.penalty_weight < 0:
            raise ValueError(f"penalty_weight={self.penalty_weight}, expected 0 or more")
        if self.penalty_start is not None and min(self.penalty_start, self.penalty_weight) <= 0:
            raise ValueError("penalty_start: expected it and penalty_weight above 0")
        if self.n_bits is not None and self.spec.levels != 256:
            raise ValueError(
                f"n_bits={self.n_bits} needs 8-bit data, but {self.spec.name} has "
                f"{self.spec.levels} grey levels: leave method.n_bits at None"
            )
        if self.n_bits is not None and not 1 <= self.n_bits <= 8:
            raise ValueError(f"n_bits={self.n_bits}, expected 1 to 8")

    @property
    def levels(self) -> int | None:
        """Grey levels that are modelled; None for continuous data."""
        return 2**self.n_bits if self.n_bits else self.spec.levels

    @property
    def decoder(self) -> Observation:
        """What the decoder says about the data, or about their leading bits."""
        if self.n_bits is None:
            return super().decoder
        inner = observation(self.observation, self.levels, self.mixtures)
        return Coarse(inner, 256 >> self.n_bits)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the model on the first batch, and the power iteration on its kernels.

        The vectors of the iteration are `vars["model"]["spectral"]`.
        """
        params, variables = super().init(rng, batch)
        first = {name: x[:1] for name, x in batch.items()}
        state = State(jnp.int32(0), params, variables, {}, {})
        _, noted = self._noting(state, first, rng)
        weights = spectral.matrices(_noted(noted["intermediates"], "kernel"))
        vectors = spectral.start(jax.random.fold_in(rng, 3), weights)
        _, vectors = spectral.power_iteration(weights, vectors, FIRST_ITERATIONS)
        return params, {"model": {**variables["model"], "spectral": vectors}}

    def divergence(self, draw: Draw, step: Array) -> tuple[Array, Metrics]:
        """Balanced while beta is below 1: see `group_weights`."""
        _, shown = super().divergence(draw, step)
        kl = jnp.stack([jnp.sum(group, axis=-1) for group in draw.kl], axis=1)
        sides = [z.shape[1:-1] for z in draw.z]
        weights = group_weights(kl, [sides.count(side) for side in dict.fromkeys(sides)])
        ramp = self.ramp(step)
        weights = jnp.where(ramp < 1, weights, jnp.ones_like(weights))
        total = schedules.value(self.beta, step) * ramp * jnp.sum(weights * jnp.mean(kl, axis=0))
        return total, shown | {"ramp": ramp}

    def ramp(self, step: Array) -> Array:
        """Weight of the divergence, of `beta`: from 1e-4 to 1."""
        if not self.warmup_steps:
            return jnp.float32(1)
        done = (step.astype(jnp.float32) - self.constant_steps) / self.warmup_steps
        return jnp.clip(done, LEAST_BETA, 1.0)

    def penalty(
        self, state: State, batch: Batch, moved: Vars, draw: Draw, rng: Array
    ) -> tuple[Array, Metrics]:
        """Of kernels and scales; moves the vectors of the power iteration."""
        noted = moved.pop("intermediates")
        weights = spectral.matrices(_noted(noted, "kernel"))
        vectors = state.vars["model"]["spectral"]
        norms, moved["spectral"] = spectral.power_iteration(weights, vectors, ITERATIONS)
        layers = _noted(noted, "scale")
        scales = sum(jnp.sum(jnp.max(jnp.abs(scale), axis=-1)) for scale in layers)
        weight = self.penalty_at(state.step)
        shown = {"spectral": norms, "scales": scales, "penalty_weight": weight}
        return weight * (norms + scales), shown

    def penalty_at(self, step: Array) -> Array:
        """The weight of the penalties at a step."""
        if self.penalty_start is None:
            return jnp.float32(self.penalty_weight)
        begin, end = jnp.log(self.penalty_start), jnp.log(self.penalty_weight)
        return jnp.exp(begin + self.ramp(step) * (end - begin))

    def readjust(
        self,
        state: State,
        rng: Array,
        passes: int,
        temperature: Any = 1.0,
        num: int = READJUST_BATCH,
    ) -> State:
        """A state whose running statistics of the decoder are those of its own samples.

        The state that is given is not touched: keep it to undo this.

        Source: the paper, section 4.2; official code, `evaluate.set_bn`, with 500 passes.

        Args:
            state: of the model.
            rng: a key.
            passes: of `num` samples each, after each of which the statistics move.
            temperature: of the samples.
            num: samples of a pass.
        """

        def body(statistics: Any, k: Array) -> tuple[Any, None]:
            current = self.player.moved(state, {"batch_stats": statistics})
            drawn: Any = self.top_down(
                current,
                None,
                num,
                None,
                jax.random.fold_in(rng, k),
                temperature=temperature,
                mutable=["batch_stats"],
            )
            return drawn[1]["batch_stats"], None

        before = state.vars["model"]["batch_stats"]
        after, _ = jax.lax.scan(body, before, jnp.arange(passes))
        return self.player.moved(state, {"batch_stats": after})

    def decode(self, state: State, z: Any, given: Given = None, rounded: bool = False) -> Array:
        """As of every model; `rounded` to the levels that are modelled."""
        if self.n_bits is None:
            return super().decode(state, z, given, rounded)
        mean, step = super().decode(state, z, given), 256 >> self.n_bits
        return nearest_levels(mean / step, self.levels) * step if rounded else mean

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
        mean: bool = False,
        readjust: int = 0,
    ) -> Array:
        """Draws latents from the prior, then data.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: None: the model takes no condition.
            temperature: multiplies the standard deviations of the latents.
            mean: show the expected data instead of a draw.
            readjust: passes of `readjust` at this temperature before; the paper's pictures are
                of low temperatures and 500 passes.
        """
        if readjust:
            state = self.readjust(state, jax.random.fold_in(rng, 1), readjust, temperature)
        return super().sample(state, rng, num, given, temperature, mean)

    def draw_training(
        self, state: State, x: Array, cond: Any, latent: Array, dropout: Array
    ) -> tuple[Draw, Vars]:
        """As of every model, with what the penalties are of."""
        rngs, moving = {"latent": latent, "dropout": dropout}, ["batch_stats", "intermediates"]
        return self.player.apply(
            state, x, self.theta_size(x.shape[0]), cond, rngs=rngs, mutable=moving
        )

    def _noting(self, state: State, batch: Batch, rng: Array) -> tuple[Draw, Vars]:
        """A draw with running statistics, and what the penalties are of."""
        x, cond = self.scaled(batch["x"]), self.condition(batch)
        options = {"rngs": {"latent": rng}, "mutable": ["intermediates"]}
        return self.player.apply(state, x, self.theta_size(x.shape[0]), cond, **options)

    def scaled(self, x: Array) -> Array:
        """To [0, 1]; with `n_bits`, of the leading bits alone."""
        if self.n_bits is None:
            return super().scaled(x)
        return (x // (256 >> self.n_bits)).astype(jnp.result_type(float)) / (2**self.n_bits - 1)


def _noted(tree: Any, name: str) -> list[Array]:
    """All that the layers noted under a name."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return [leaf for path, leaf in leaves if path[-1].key == name]
