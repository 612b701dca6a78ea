"""From pictures of a camera to those of a renderer, by two autoencoders, and where things are.

The first autoencoder learns synthetic pictures, of which there are as many as one likes, and a
regressor to say from what it gives where the block is. The second, which starts from the first,
learns to make of a real picture what the first gives of the synthetic one of the same place. So a
real picture becomes one that the regressor knows.

Source: Inoue et al. 2017, "Transfer learning from synthetic to real images using variational
autoencoders for precise position detection" (arXiv:1709.06762). A patent stands on this scheme:
US 10,783,660 (IBM). Whoever uses it for more than study should read its claims.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods.elbo import ELBO
from jaxgen.methods.player import Player
from jaxgen.ops.blocks import HIGHEST, LOWEST, synthetic
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

POSITION, SYNTHETIC = "position", "synthetic"  # fields
TRAINED = ("all", "encoder")


def check_position(spec: DataSpec) -> None:
    """Refuses data that do not say where things are.

    Raises:
        ConfigError: naming the field.
    """
    if POSITION not in spec.fields or spec.levels is None or spec.x.kind != "image":
        raise ConfigError(
            f"{spec.name}: expected grey pictures and a field {POSITION}, as of sim_block"
        )


def middle(spec: DataSpec) -> float:
    """Of a picture in pixels: what the regressor's numbers are counted from, in units of it."""
    return spec.shape[0] / 2


def options(network: Any) -> dict[str, Any]:
    """Fields of a network, alike whether they were written or read."""
    names = [f.name for f in dataclasses.fields(network) if f.name not in ("parent", "name")]
    own = {name: vars(network)[name] for name in names}
    return {k: list(v) if isinstance(v, tuple | list) else v for k, v in own.items()}


def misses(told: Array, position: Array) -> Array:
    """Distances [B] in pixels."""
    return jnp.sqrt(jnp.sum(jnp.square(told - position), axis=1))


def placed(out: Array, spec: DataSpec) -> Array:
    """A network's numbers [B, 2] to positions in pixels."""
    return middle(spec) * (1 + out)


def squared(out: Array, position: Array, spec: DataSpec) -> Array:
    """What a regressor pays: mean square in units of half the picture."""
    return jnp.mean(jnp.sum(jnp.square(placed(out, spec) - position), axis=1)) / middle(spec) ** 2


@dataclasses.dataclass(frozen=True)
class Positions:
    """A regressor of pictures as they are: what the scheme is compared with.

    Attributes:
        model: network of pictures [B, H, W, C] in [0, 1] -> [B, 2].
        spec: of the data.
        jitter: changes of gain and brightness that each training picture sees, at most, as a share.
    """

    model: Any
    spec: DataSpec
    jitter: float = 0.0

    def __post_init__(self) -> None:
        """Checks the data."""
        check_position(self.spec)
        if not 0 <= self.jitter < 1:
            raise ConfigError(f"jitter={self.jitter}, expected 0 or more, below 1")

    @property
    def turns(self) -> Sequence[Turn]:
        """One."""
        return (Turn("model", self.loss),)

    @property
    def player(self) -> Player:
        """The regressor."""
        return Player("model", self.model)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises the regressor."""
        params, variables = self.player.init({"params": rng}, self._scaled(batch["x"]))
        return {"model": params}, {"model": variables}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean squared distance, in units of half the picture."""
        x = self._scaled(batch["x"])
        of_gain, of_level = jax.random.split(rng)
        shape = (x.shape[0], 1, 1, 1)
        gain = 1 + self.jitter * jax.random.uniform(of_gain, shape, minval=-1.0)
        level = self.jitter * jax.random.uniform(of_level, shape, minval=-1.0)
        out = self.player.apply(state, jnp.clip(gain * x + level, 0, 1))
        told = placed(out, self.spec)
        pixels = jnp.mean(misses(jax.lax.stop_gradient(told), batch[POSITION]))
        return squared(out, batch[POSITION], self.spec), (state.vars, {"pixels": pixels})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`pixels` [B]: how far from the truth."""
        told = placed(self.player.apply(state, self._scaled(batch["x"])), self.spec)
        return {"pixels": misses(told, batch[POSITION])}

    def sample(self, state: State, rng: Array, num: int, given: Given = None) -> Array:
        """Raises ConfigError: a regressor draws nothing."""
        raise ConfigError("this is a regressor of positions, which draws nothing: jaxgen eval RUN")

    def _scaled(self, x: Array) -> Array:
        assert self.spec.levels is not None
        return x.astype(jnp.float32) / (self.spec.levels - 1)


@dataclasses.dataclass(frozen=True)
class Synthetic(ELBO):
    """The first autoencoder, as `ELBO`, and the regressor of what it gives.

    Attributes:
        regressor: network of pictures [B, H, W, C] in [0, 1] -> [B, 2].
    """

    regressor: Any = dataclasses.field(kw_only=True)

    def __post_init__(self) -> None:
        """Checks the data."""
        super().__post_init__()
        check_position(self.spec)

    @property
    def turns(self) -> Sequence[Turn]:
        """Two: the regressor does not move the autoencoder."""
        return (*super().turns, Turn("regressor", self.regression))

    @property
    def reader(self) -> Player:
        """The regressor."""
        return Player("regressor", self.regressor)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both."""
        own, other = jax.random.split(rng)
        params, variables = super().init(own, batch)
        more, moving = self.reader.init({"params": other}, self.scaled(batch["x"]))
        return params | {"regressor": more}, variables | {"regressor": moving}

    def through(self, state: State, x: Array) -> Array:
        """What the autoencoder gives of x, real grey levels: the mean of the code's mean."""
        return self.decode(state, self.encode(state, x, jax.random.key(0)))

    def located(self, state: State, made: Array) -> Array:
        """Positions [B, 2] in pixels, of what an autoencoder gave."""
        return placed(self.reader.apply(state, self.scaled(made)), self.spec)

    def regression(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean squared distance, in units of half the picture."""
        made = jax.lax.stop_gradient(self.through(state, batch["x"]))
        out = self.reader.apply(state, self.scaled(made))
        return squared(out, batch[POSITION], self.spec), (state.vars, {})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """As `ELBO.evaluate`, and `pixels` [B]: how far from the truth the regressor is."""
        told = self.located(state, self.through(state, batch["x"]))
        return {"pixels": misses(told, batch[POSITION])} | super().evaluate(state, batch, rng)


@dataclasses.dataclass(frozen=True)
class RealToSynthetic(ELBO):
    """The second autoencoder: of a real picture what the first gives of its synthetic one.

    Attributes:
        first: the frozen stage, of `Synthetic`, from whose autoencoder this one starts.
        trained: "all" of it, or the "encoder" alone.
        mixed: train on as many synthetic pictures, drawn at every step, as on real ones.
    """

    first: Any = dataclasses.field(kw_only=True)
    trained: str = "all"
    mixed: bool = True

    log_prob: Any = None  # the ability `Density` is taken away

    def __post_init__(self) -> None:
        """Checks the data, and that the stages fit."""
        super().__post_init__()
        check_position(self.spec)
        if SYNTHETIC not in self.spec.fields:
            raise ConfigError(f"{self.spec.name} has no field {SYNTHETIC}, as real_block has")
        if self.trained not in TRAINED:
            raise ConfigError(f"trained={self.trained!r}, expected one of {TRAINED}")
        below = self.first.method
        if not isinstance(below, Synthetic) or options(below.model) != options(self.model):
            raise ConfigError(
                "config.frozen.first: expected a run of sim_to_real.Synthetic with the network of "
                "this config.model, for this one starts from it"
            )

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """The parameters of the first."""
        stage = self.first.state()
        return (
            {"model": jax.tree.map(jnp.copy, stage.params["model"])},
            {"model": jax.tree.map(jnp.copy, stage.vars["model"])},
        )

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean square of the picture, as `ELBO` has it, and the divergence."""
        of_places, latent, dropout = jax.random.split(rng, 3)
        x, wanted = batch["x"], batch[SYNTHETIC]
        if self.mixed:
            shape = (x.shape[0], 2)
            at = jax.random.uniform(of_places, shape, minval=LOWEST, maxval=HIGHEST)
            flat = jnp.round(255 * synthetic(at)).astype(x.dtype)
            x, wanted = (jnp.concatenate([real, flat]) for real in (x, wanted))
        stage = self.first.state(state)
        target = jax.lax.stop_gradient(self.first.method.through(stage, wanted))
        params = state.params["model"]
        if self.trained == "encoder":
            params = params | {"decoder": jax.lax.stop_gradient(params["decoder"])}
        moving = state.replace(params=state.params | {"model": params})
        draw, moved = self.draw_training(moving, self.scaled(x), None, latent, dropout)
        nll = -jnp.mean(self.decoder.log_prob(target, draw.theta))
        divergence, metrics = self.divergence(draw, state.step)
        return nll + divergence, (self.player.moved(state, moved).vars, metrics | {"nll": nll})

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """`pixels` [B]: how far the first's regressor is from the truth, of what this gives."""
        stage = self.first.state(state)
        made = self.decode(state, self.encode(state, batch["x"], rng))
        told = self.first.method.located(stage, made)
        return {"pixels": misses(told, batch[POSITION])}

    def columns(self, nelbo: Array) -> Metrics:
        """None: there is no bound."""
        return {}
