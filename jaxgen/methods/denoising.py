"""What methods share whose network sees noised data and their time: diffusion, flow matching."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.givens import Givens, chosen, without
from jaxgen.methods.player import Player
from jaxgen.ops import guidance as guiding
from jaxgen.ops.prediction import Estimate, along
from jaxgen.ops.ranges import real_levels, symmetric, to_levels
from jaxgen.ops.samplers import SAMPLERS, Field, Settings, integrate
from jaxgen.types import Array, Batch, DataSpec, Given, Params, State, Steps, Turn, Vars

Steer = Callable[[Estimate, Any, Any], Estimate]  # of z [B, ...] at its time
MOST_STEPS = 10_000  # of a path in continuous time
CODE_STEPS = 50  # there and back between data and latents


@dataclasses.dataclass(frozen=True)
class Denoising:
    """Data where noise is added, their path to noise, a network on it, and the ways back.

    A network is a Flax module of (z [B, ...], time [B], cond, train) -> [B, ...]; which time it is
    given each method says.

    Attributes:
        model: network.
        spec: of the data.
        given: fields of a batch that the model is given, as ("label",). The context always is,
            where the data have one.
        null: share of the training examples whose condition is left out, for `guidance`.
        scale: of continuous data, which are divided by it; near their standard deviation, for
            noise of unit variance.
        sampler: usual one, of `ops.samplers.SAMPLERS`.
        sampling_steps: usual number; 0 is the method's own.
    """

    model: Any
    spec: DataSpec
    given: tuple[str, ...] = ()
    null: float = 0.0
    scale: float = 1.0
    sampler: str = "ddim"
    sampling_steps: int = 0

    def __post_init__(self) -> None:
        """Checks the options against the data."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        if self.spec.levels is None and self.spec.x.values is not None:
            raise ConfigError(f"{self.spec.name} are {self.spec.x.kind}: noise is added to numbers")
        if not 0 <= self.null < 1 or (self.null and not self.given):
            raise ValueError(f"null={self.null}, expected a share below 1, and config.method.given")
        if self.scale <= 0 or (self.scale != 1 and self.spec.levels is not None):
            raise ConfigError(f"scale={self.scale}: expected a number above 0, of integers 1")
        self.checked_sampler(self.sampler)
        self._check_steps(self.sampling_steps or 1)

    # ---- what a method says of itself

    def path(self, state: State) -> Any:
        """How data become noise: an `ops.noise.Path` or an `ops.chain.Chain`."""
        raise NotImplementedError

    def estimate(self, state: State, z: Array, t: Array, cond: Array | None) -> Estimate:
        """Data and noise, as the network says of z [B, ...] at the time t, a scalar or [B]."""
        raise NotImplementedError

    def estimate_to(
        self, state: State, z: Array, t: Array, s: Array, cond: Array | None
    ) -> Estimate:
        """The same for a step of Euler's to the time s, of networks that know means over it."""
        return self.estimate(state, z, t, cond)

    def node(self, i: Any, steps: Any) -> Any:
        """The time that sampling has reached after i of the steps, from noise to data."""
        raise NotImplementedError

    def rung(self, i: Any, steps: Any) -> Any:
        """The same of the way from data, at the least noise, to noise, for latents."""
        raise NotImplementedError

    @property
    def most_steps(self) -> int:
        """See `abilities.Stepped`."""
        return MOST_STEPS

    def settings(self, sampler: str, eta: Any, **more: Any) -> Settings:
        """How a sampler moves here."""
        return Settings(sampler, 0.0 if eta is None else eta, **more)

    # ---- what follows

    @property
    def turns(self) -> Sequence[Turn]:
        """One: the network moves down its own loss."""
        return (Turn("model", self.loss),)

    def loss(self, state: State, batch: Batch, rng: Array) -> Any:
        """See `types.Turn`."""
        raise NotImplementedError

    @property
    def levels(self) -> int | None:
        """Grey levels that are modelled; None for continuous data."""
        return self.spec.levels

    @property
    def givens(self) -> Givens:
        """What the model is given."""
        return Givens(self.spec, self.given)

    @property
    def player(self) -> Player:
        """The network."""
        return Player("model", self.model)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the network on the first batch."""
        x = self.scaled(batch["x"])
        cond = self.givens.of_batch(batch)
        time = self.first_times(x.shape[0])
        params, variables = self.player.init({"params": rng}, x, time, cond)
        return {"model": params}, {"model": variables}

    def first_times(self, num: int) -> Array:
        """Times of examples, as a network is given them, to initialise it."""
        return jnp.zeros(num)

    def scaled(self, x: Array) -> Array:
        """Data to where noise is added: grey levels in [-1, 1], points over `scale`."""
        if self.spec.levels is None:
            return x / self.scale
        return symmetric(x, self.spec.levels)

    def restored(self, x: Array, rounded: bool) -> Array:
        """The inverse, to whole grey levels or to real ones."""
        if self.spec.levels is None:
            return x * self.scale
        return to_levels(x, self.spec.levels) if rounded else real_levels(x, self.spec.levels)

    @property
    def log_volume(self) -> float:
        """What a log-density where noise is added is above one of continuous data, in nats."""
        return self.spec.dims * math.log(self.scale) + self.spec.x.log_volume

    def dequantized(self, x: Array, rng: Array) -> Array:
        """As `scaled`, with noise that fills the room between grey levels evenly."""
        if self.spec.levels is None:
            return self.scaled(x)
        noise = jax.random.uniform(rng, x.shape, minval=-0.5, maxval=0.5)
        return self.scaled(x) + noise * (2 / (self.spec.levels - 1))

    def dropped(self, cond: Array | None, rng: Array) -> Array | None:
        """What examples are given, zeros for the share `null` of them, each by itself."""
        return without(cond, self.null, rng)

    def trained(
        self, state: State, z: Array, time: Array, cond: Array | None, rng: Array, **told: Array
    ) -> tuple[Array, State]:
        """What the network says in training, with dropout, and the state with what it moved.

        `told` are further arguments of the network.
        """
        options = {"train": True, "rngs": {"dropout": rng}, **told}
        out, state = self.player.train(state, z, time, cond, **options)
        return out.astype(jnp.promote_types(out.dtype, jnp.float32)), state

    def asked(self, state: State, z: Array, time: Array, cond: Array | None) -> Array:
        """What the network says, in float32 or wider; the time is [B, ...], or one of all."""
        shape = self.first_times(1).shape[1:]
        time = jnp.broadcast_to(jnp.asarray(time, z.dtype), (z.shape[0], *shape))
        out = self.player.apply(state, z, time, cond)
        return out.astype(jnp.promote_types(out.dtype, jnp.float32))

    def field(
        self, state: State, cond: Array | None, guidance: Any = None, interval: Any = None
    ) -> Field:
        """What the model says of z at a time of all: guided where a scale is given.

        Args:
            state: of the model.
            cond: what it is given.
            guidance: scale of classifier-free guidance; None asks the network once.
            interval: [2] times, between which it counts.

        Raises:
            ConfigError: for guidance of a model that does not know its data without a condition.
        """
        if guidance is not None and (not self.null or cond is None):
            raise ConfigError(
                "guidance: this model was not trained without its condition "
                "(config.method.null, with config.method.given): omit it"
            )
        if interval is not None and (guidance is None or jnp.shape(interval) != (2,)):
            raise ConfigError("interval: expected two times, and guidance")

        def plain(z: Array, t: Array, s: Array) -> Estimate:
            return self.corrected(state, self.estimate_to(state, z, t, s, cond), z, t)

        def both(z: Array, t: Array, s: Array) -> Estimate:
            assert cond is not None
            twice = jnp.concatenate([z, z])
            given = jnp.concatenate([cond, jnp.zeros_like(cond)])
            found = self.estimate_to(state, twice, t, s, given)
            own, null = (jax.tree.map(lambda v, i=i: jnp.split(v, 2)[i], found) for i in (0, 1))
            scale = guiding.within(self.shown_time(t), interval, guidance)
            return self.corrected(state, guiding.guided_estimate(own, null, scale), z, t)

        return plain if guidance is None else both

    def corrected(self, state: State, found: Estimate, z: Array, t: Array) -> Estimate:
        """An estimate after guidance, as samplers take it: itself."""
        return found

    def shown_time(self, t: Array) -> Array:
        """The time in which an interval is told, from 0 of data to 1 of noise."""
        return t

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        steps: Steps | None = None,
        sampler: str | None = None,
        eta: float | None = None,
        guidance: float | None = None,
        interval: Any = None,
        temperature: float = 1.0,
        until: float | None = None,
    ) -> Array:
        """Draws noise, and brings it to data in steps.

        Args:
            state: of the model.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            steps: how many, at most `most_steps`; one program serves them all.
            sampler: one of `ops.samplers.SAMPLERS`.
            eta: noise of "ddim": 0 for none, 1 for as much as "ancestral" with small variances.
            guidance: of the condition, see `ops.guidance`: 1 is none. Needs `null`.
            interval: two times between which guidance counts, 0 of data and 1 of noise.
            temperature: multiplies the first noise.
            until: share of the steps after which to stop, with what noise there is then.

        Raises:
            ConfigError: for a sampler that there is not, more steps than the chain has, or a knob
                that the model or the sampler has no use for.
        """
        knobs = (steps, sampler, eta, guidance, interval, temperature, until)
        return self.drawn(state, rng, num, given, None, *knobs)

    def drawn(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given,
        steer: Steer | None,
        steps: Steps | None = None,
        sampler: str | None = None,
        eta: float | None = None,
        guidance: float | None = None,
        interval: Any = None,
        temperature: float = 1.0,
        until: float | None = None,
    ) -> Array:
        """As `sample`; `steer` changes what the model says of z at a time."""
        sampler = self.checked_sampler(self.sampler if sampler is None else sampler)
        if eta is not None and sampler != "ddim":
            raise ConfigError(f"eta: is of sampler='ddim', this is {sampler!r}: omit it")
        count = self._check_steps(self.usual_steps if steps is None else steps)
        noise, classes, moves = jax.random.split(rng, 3)
        cond = self.givens.of_call(given, num, classes)
        field = steered(self.field(state, cond, guidance, interval), steer)
        path, how = self.path(state), self.settings(sampler, eta)
        z = self.start(state, noise, num) * temperature
        taken = None if until is None else jnp.round(until * count).astype(jnp.int32)
        z = integrate(field, path, lambda i: self.node(i, count), z, moves, count, how, taken)
        if taken is not None:
            t = self.node(jnp.minimum(taken, count), count)
            z = z / jnp.sqrt(path.alpha(t) ** 2 + path.sigma(t) ** 2)  # of about unit variance
        return self.restored(self.ended(state, z), rounded=True)

    def start(self, state: State, rng: Array, num: int) -> Array:
        """Noise as it is at the end of the path."""
        sigma = self.path(state).sigma(self.rung(1, 1))
        return sigma * jax.random.normal(rng, (num, *self.spec.shape))

    def ended(self, state: State, z: Array) -> Array:
        """Data, where noise was added, of z at the last node of sampling."""
        return z

    @property
    def usual_steps(self) -> int:
        """Of sampling, where a call does not say."""
        return self.sampling_steps or min(CODE_STEPS, self.most_steps)

    def latents(self, rng: Array, num: int) -> Array:
        """Standard normal noise, as `decode` takes it."""
        return jax.random.normal(rng, (num, *self.spec.shape))

    def encode(
        self,
        state: State,
        x: Array,
        rng: Array,
        given: Given = None,
        steps: Steps | None = None,
    ) -> Array:
        """Data to noise of unit variance along the probability flow, by Heun's method.

        Args:
            state: of the model.
            x: data.
            rng: not used.
            given: field -> [B, ...], of what the model is given.
            steps: of the solver.

        Source: Song et al. 2021, Denoising diffusion implicit models, section 4.3, of order two.
        """
        path, count = self.path(state), self._code_steps(steps)
        field = self.field(state, self.givens.of_call(given, x.shape[0]))
        z = path.alpha(self.rung(0, count)) * self.scaled(x)
        how = self.settings("heun", None, whole=True)
        z = integrate(field, path, lambda i: self.rung(i, count), z, rng, count, how)
        return z / path.sigma(self.rung(count, count))

    def decode(
        self,
        state: State,
        z: Array,
        given: Given = None,
        rounded: bool = True,
        steps: Steps | None = None,
    ) -> Array:
        """The way back, of the same steps.

        Args:
            state: of the model.
            z: latents.
            given: field -> [B, ...], of what the model is given.
            rounded: to the nearest grey levels.
            steps: of the solver.
        """
        path, count = self.path(state), self._code_steps(steps)
        field = self.field(state, self.givens.of_call(given, z.shape[0]))
        z = z * path.sigma(self.rung(count, count))
        how, key = self.settings("heun", None, whole=True), jax.random.key(0)
        z = integrate(field, path, lambda i: self.rung(count - i, count), z, key, count, how)
        return self.restored(z / path.alpha(self.rung(0, count)), rounded)

    def _code_steps(self, steps: Any) -> Any:
        return self._check_steps(min(CODE_STEPS, self.most_steps) if steps is None else steps)

    def _check_steps(self, steps: Any) -> Any:
        """Refuses a number of steps that is known and cannot be."""
        if isinstance(steps, int) and not 1 <= steps <= self.most_steps:
            raise ConfigError(f"steps={steps}: expected an integer from 1 to {self.most_steps}")
        return steps

    def checked_sampler(self, name: str) -> str:
        """The name of a sampler that there is here; raises ConfigError for another."""
        if name not in SAMPLERS:
            raise ConfigError(f"sampler={name!r}: expected one of {', '.join(SAMPLERS)}")
        return name


def steered(field: Field, steer: Steer | None) -> Field:
    """What a model says, changed."""
    if steer is None:
        return field
    return lambda z, t, s: steer(field(z, t, s), z, t)


def clipped(found: Estimate, z: Array, alpha: Any, sigma: Any) -> Estimate:
    """Data of an estimate in [-1, 1], and the noise that goes with them."""
    x = jnp.clip(found.x, -1.0, 1.0)
    return Estimate(x, (z - along(alpha, z) * x) / along(sigma, z), found.between)
