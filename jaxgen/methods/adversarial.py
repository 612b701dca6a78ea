"""Two players, a generator and a discriminator: any game, any penalties, on the one trainer."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, unknown
from jaxgen.ops.alarms import two_players
from jaxgen.ops.augmentations import AUGMENTATIONS, check_augmentation
from jaxgen.ops.classes import one_hot
from jaxgen.ops.games import GAMES, Game, smoothed
from jaxgen.ops.penalties import PENALTIES, check_penalties, history, lecam, orthogonality
from jaxgen.ops.ranges import real_levels, symmetric, to_levels
from jaxgen.ops.scores import deviation, sample_scores
from jaxgen.ops.standing import standing as standing_statistics
from jaxgen.types import Array, Batch, DataSpec, Metrics, Params, State, Turn, Vars

MOVING = ("batch_stats", "spectral", "moments")  # collections that a network moves in training


@dataclasses.dataclass(frozen=True)
class Adversarial:
    """Generator and discriminator play `game`; penalties steady the discriminator.

    A generator is a Flax module with an attribute `latent`, the width of z, and
    `(z [B, latent], size, cond=None) -> [B, ...]` of shape `size`; a discriminator maps
    `(x [B, ...], cond=None)` to logits [B]. Images are in [-1, 1], points as they are; `cond` is
    the one-hot class. They train where the collections that they move are mutable, and may draw
    from the streams "noise" and "dropout".

    Real and generated examples pass the discriminator one after the other, so that batch
    statistics do not mix. The discriminator moves first.

    Source: Goodfellow et al. 2014, Generative adversarial nets, algorithm 1.

    Attributes:
        generator: and
        discriminator: networks.
        spec: of the data.
        game: one of `ops.games.GAMES`.
        penalties: name in `ops.penalties.PENALTIES` -> its options, and `weight`, and `every`: a
            lazy penalty is a move of its own on every so many steps, and counts so many times
            (Karras et al. 2020, StyleGAN2, appendix B).
        critic_steps: moves of the discriminator a step, each on fresh examples.
        real_target: range of the labels of real examples, (1, 1) for none smoothed.
        instance_noise: deviation of noise on all that the discriminator sees; it falls to zero
        instance_noise_steps: in so many train steps, linearly; 0 keeps it.
        packing: examples seen at a time, side by side in channels (Lin et al. 2018, PacGAN).
        lecam: weight of the regulariser of Tseng et al. 2021, equation 4.
        history: weight of the squared distance of a player's parameters from their mean over all
            steps (Salimans et al. 2016, section 3.3).
        orthogonal: weight of `ops.penalties.orthogonality` of the generator's kernels.
        augment: `name` in `ops.augmentations.AUGMENTATIONS` and its options: what the discriminator
            sees is augmented, and the generator's gradient flows through it.
        prior: of z, "normal" or "uniform" in [-1, 1].
        conditional: give both players the class.
    """

    generator: Any
    discriminator: Any
    spec: DataSpec
    game: str = "non_saturating"
    penalties: Annotated[Mapping[str, Any], check_penalties] = dataclasses.field(
        default_factory=dict
    )
    critic_steps: int = 1
    real_target: tuple[float, float] = (1.0, 1.0)
    instance_noise: float = 0.0
    instance_noise_steps: int = 0
    packing: int = 1
    lecam: float = 0.0
    history: float = 0.0
    orthogonal: float = 0.0
    augment: Annotated[Mapping[str, Any], check_augmentation] = dataclasses.field(
        default_factory=dict
    )
    prior: str = "normal"
    conditional: bool = False

    def __post_init__(self) -> None:
        """Checks the options."""
        if self.game not in GAMES:
            raise ConfigError(unknown("game in config.method", self.game, GAMES))
        if self.prior not in ("normal", "uniform"):
            raise ConfigError(f"method.prior={self.prior!r}, expected 'normal' or 'uniform'")
        check_penalties(self.penalties)
        check_augmentation(self.augment)
        if min(self.critic_steps, self.packing) < 1:
            raise ConfigError("config.method: critic_steps and packing are 1 or more")
        if self.conditional and not self.spec.num_classes:
            raise ConfigError(f"method.conditional=True, but {self.spec.name} has no labels")
        if self.conditional and self.packing > 1:
            raise ConfigError("config.method: packed examples have no common class")
        low, high = self.real_target
        if not 0 < low <= high <= 1:
            raise ConfigError(f"method.real_target={self.real_target}, expected (low, high]")
        if low < 1 and not self.rules.targets:
            raise ConfigError(f"method.real_target: the game {self.game!r} has no labels")

    @property
    def rules(self) -> Game:
        """Of the game."""
        return GAMES[self.game]

    @property
    def given(self) -> tuple[str, ...]:
        """Fields of a batch that both players are given."""
        return ("label",) * self.conditional

    @property
    def turns(self) -> Sequence[Turn]:
        """The discriminator, its lazy penalties, the generator."""
        lazy = [
            Turn(
                "discriminator",
                functools.partial(self.penalty_loss, name=name),
                every=options["every"],
                name=name,
            )
            for name, options in self.penalties.items()
            if options.get("every", 1) > 1
        ]
        return (
            Turn("discriminator", self.discriminator_loss, times=self.critic_steps),
            *lazy,
            Turn("generator", self.generator_loss),
        )

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players on a batch, and the means that penalties keep."""
        keys = jax.random.split(rng, 4)
        num, cond = len(batch["x"]), self._cond(batch)
        streams = {"params": keys[0], "noise": keys[1]}
        z, size = self.latents(keys[2], num), self._size(num)
        generator = dict(self.generator.init(streams, z, size, cond))
        real = self._packed(self._real(batch))
        discriminator = dict(self.discriminator.init(keys[3], real, cond))
        params = {
            "generator": generator.pop("params", {}),
            "discriminator": discriminator.pop("params", {}),
        }
        kept: dict[str, Any] = {}
        if self.lecam:
            kept["lecam"] = {"real": jnp.float32(0), "fake": jnp.float32(0)}
        if self.history:
            kept["history"] = {k: {"mean": p, "moves": jnp.float32(0)} for k, p in params.items()}
        if self.augment:
            kept["augment"] = self._augmentation.start()
        variables = {"generator": generator, "discriminator": discriminator}
        return params, variables | ({"game": kept} if kept else {})

    def latents(self, rng: Array, num: int) -> Array:
        """Draws of z, [num, latent]."""
        shape = (num, self.generator.latent)
        if self.prior == "normal":
            return jax.random.normal(rng, shape)
        return jax.random.uniform(rng, shape, minval=-1.0, maxval=1.0)

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the discriminator pays, with the penalties of every step."""
        keys = jax.random.split(rng, 6)
        cond, real = self._cond(batch), self._real(batch)
        fake, variables = self.generate(state, state.vars, keys[0], len(real), cond)
        fake = jax.lax.stop_gradient(fake)
        critic = self._critic(state, cond, keys[1])
        real_logits, variables = critic(real, variables, 0)
        fake_logits, variables = critic(fake, variables, 1)
        if tuple(self.real_target) == (1.0, 1.0):
            losses = self.rules.discriminator(real_logits, fake_logits)
        else:
            low, high = self.real_target
            target = jax.random.uniform(keys[2], real_logits.shape, minval=low, maxval=high)
            losses = smoothed(real_logits, fake_logits, target)
        loss, metrics = jnp.mean(losses), self._health(real_logits, fake_logits)
        for i, (name, options) in enumerate(self.penalties.items()):
            if options.get("every", 1) == 1:
                key = jax.random.fold_in(keys[3], i)
                value = self._penalty(name, critic, variables, real, fake, key)
                loss, metrics[name] = loss + options["weight"] * value, value
        more, kept, shown = self._kept(state, "discriminator", real_logits, fake_logits)
        variables = variables | ({"game": kept} if kept else {})
        return loss + more, (variables, metrics | shown)

    def penalty_loss(
        self, state: State, batch: Batch, rng: Array, name: str
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """A lazy penalty, times the steps that it stands for."""
        keys = jax.random.split(rng, 3)
        cond, real, options = self._cond(batch), self._real(batch), self.penalties[name]
        fake, _ = self.generate(state, state.vars, keys[0], len(real), cond)
        critic = self._critic(state, cond, keys[1])
        value = self._penalty(name, critic, state.vars, real, jax.lax.stop_gradient(fake), keys[2])
        return options["every"] * options["weight"] * value, (state.vars, {"penalty": value})

    def generator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the generator pays; `spread` is the deviation of its samples, of the data's."""
        keys = jax.random.split(rng, 2)
        cond, real = self._cond(batch), self._real(batch)
        fake, variables = self.generate(state, state.vars, keys[0], len(real), cond)
        critic = self._critic(state, cond, keys[1])
        real_logits = None
        if self.rules.paired:
            real_logits, variables = critic(real, variables, 0)
        fake_logits, variables = critic(fake, variables, 1)
        loss = jnp.mean(self.rules.generator(real_logits, fake_logits))
        metrics = {"spread": deviation(fake) / deviation(real)}
        if self.orthogonal:
            loss += self.orthogonal * orthogonality(state.params["generator"])
        more, kept, shown = self._kept(state, "generator", None, None)
        variables = variables | ({"game": kept} if kept else {})
        return loss + more, (variables, metrics | shown)

    def generate(
        self, state: State, variables: Vars, rng: Array, num: int, cond: Any
    ) -> tuple[Array, Vars]:
        """A training batch of samples, [num, ...] in the network's range, and what it moved."""
        latent, noise, dropout = jax.random.split(rng, 3)
        rngs = {"noise": noise, "dropout": dropout}
        z = self.latents(latent, num)
        args = (z, self._size(num), cond)
        return self._moved("generator", state, variables, args, rngs)

    def alarms(self, values: Mapping[str, float]) -> dict[str, str]:
        """A collapse, and a discriminator that wins outright: see `ops.alarms`."""
        return two_players(values)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each, in the network's range: see `ops.scores.sample_scores`."""
        x = self._scaled(batch["x"])
        fake = self._image(state, rng, self.latents(rng, len(x)), self._cond(batch))
        return sample_scores(x.reshape(len(x), -1), fake.reshape(len(x), -1))

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        temperature: float = 1.0,
        truncation: float | None = None,
        label: Any = None,
        standing: int = 0,
    ) -> Array:
        """Draws z from the prior, then data, in their units.

        Args:
            state: of both players.
            rng: a key.
            num: number of samples.
            temperature: multiplies z.
            truncation: draws z anew where it is beyond this many standard deviations (Brock et
                al. 2019, section 3.1); None does not.
            label: class of all samples, or [num]; a conditional model without it draws classes
                at random.
            standing: passes for standing statistics (`ops.standing`) of such samples.
        """
        latent, classes = jax.random.split(rng)
        if label is not None and not self.conditional:
            raise ConfigError("method.conditional=False: expected no label=")
        cond = None
        if self.conditional:
            cond = one_hot(label, num, self.spec.num_classes, classes)
        if truncation is not None and self.prior != "normal":
            raise ConfigError("truncation: the prior is uniform")

        def drawn(rng: Array) -> Array:
            if truncation is None:
                return temperature * self.latents(rng, num)
            shape = (num, self.generator.latent)
            return temperature * jax.random.truncated_normal(rng, -truncation, truncation, shape)

        if standing:

            def run(own: Any, rng: Array) -> Any:
                moved = state.replace(vars={**state.vars, "generator": own})
                args, rngs = (drawn(rng), self._size(num), cond), {"noise": rng}
                return self._moved("generator", moved, moved.vars, args, rngs)[1]["generator"]

            own = standing_statistics(run, state.vars["generator"], classes, standing)
            state = state.replace(vars={**state.vars, "generator": own})
        return self._unscaled(self._image(state, latent, drawn(latent), cond))

    def decode(self, state: State, z: Any, label: Any = None, rounded: bool = True) -> Array:
        """Latents [B, latent] to data, in their units; grey levels are real unless `rounded`."""
        cond = one_hot(label, len(z), self.spec.num_classes) if self.conditional else None
        x = self._image(state, jax.random.key(0), z, cond)
        return self._unscaled(x) if rounded else real_levels(x, self.spec.levels)

    def _image(self, state: State, rng: Array, z: Array, cond: Any) -> Array:
        """The generator as it is in evaluation."""
        variables = {"params": state.params["generator"], **state.vars["generator"]}
        return self.generator.apply(variables, z, self._size(len(z)), cond, rngs={"noise": rng})

    def _critic(self, state: State, cond: Any, rng: Array) -> Callable[..., tuple[Array, Vars]]:
        """(x, variables, k) -> (logits, variables it moved): augmented, noisy, packed.

        The randomness of the k-th call is a function of k, so that a penalty's slope is that of
        what its logits saw.
        """

        def critic(x: Array, variables: Vars, k: int) -> tuple[Array, Vars]:
            augment, noise, dropout = jax.random.split(jax.random.fold_in(rng, k), 3)
            if self.augment:
                kept = state.vars["game"]["augment"]
                x = self._augmentation.apply(augment, x, kept)
            if self.instance_noise:
                x += self._noise_at(state.step) * jax.random.normal(noise, x.shape)
            args, rngs = (self._packed(x), cond), {"dropout": dropout}
            return self._moved("discriminator", state, variables, args, rngs)

        return critic

    def _penalty(
        self, name: str, critic: Any, variables: Vars, real: Array, fake: Array, rng: Array
    ) -> Array:
        options = self.penalties[name]
        extra = {k: v for k, v in options.items() if k not in ("weight", "every")}
        return PENALTIES[name](lambda x: critic(x, variables, 0)[0], real, fake, rng, **extra)

    def _moved(
        self, player: str, state: State, variables: Vars, args: Any, rngs: Any, **options: Any
    ) -> tuple[Array, Vars]:
        """A player's output in training, and all variables with what it moved."""
        own = variables[player]
        moving = [name for name in MOVING if name in own]
        x, moved = getattr(self, player).apply(
            {"params": state.params[player], **own}, *args, rngs=rngs, mutable=moving, **options
        )
        return x, variables | {player: {**own, **moved}}

    def _kept(
        self, state: State, player: str, real: Any, fake: Any
    ) -> tuple[Array, dict[str, Any], Metrics]:
        """Penalties with a memory: their sum, the memory after the move, and metrics."""
        if "game" not in state.vars:
            return jnp.float32(0), {}, {}
        kept, total, metrics = dict(state.vars["game"]), jnp.float32(0), {}
        if self.lecam and real is not None:
            value, kept["lecam"] = lecam(real, fake, kept["lecam"])
            total, metrics["lecam"] = total + self.lecam * value, value
        if self.history:
            value, mine = history(state.params[player], kept["history"][player])
            total += self.history * value
            kept["history"] = kept["history"] | {player: mine}
        if self.augment and real is not None:
            kept["augment"] = self._augmentation.move(
                kept["augment"], jax.lax.stop_gradient(real), state.step
            )
            metrics |= self._augmentation.shown(kept["augment"])
        return total, kept, metrics

    def _health(self, real: Array, fake: Array) -> Metrics:
        """Shares of examples that the discriminator takes for what they are."""
        middle = self.rules.middle
        middle = 0.5 * (jnp.mean(real) + jnp.mean(fake)) if middle is None else middle
        return {"accuracy_real": jnp.mean(real > middle), "accuracy_fake": jnp.mean(fake < middle)}

    @property
    def _augmentation(self) -> Any:
        options = {k: v for k, v in self.augment.items() if k != "name"}
        return AUGMENTATIONS[self.augment["name"]](**options)

    def _noise_at(self, step: Array) -> Array:
        if not self.instance_noise_steps:
            return jnp.float32(self.instance_noise)
        left = 1 - step.astype(jnp.float32) / self.instance_noise_steps
        return self.instance_noise * jnp.maximum(left, 0.0)

    def _packed(self, x: Array) -> Array:
        """[B, ..., C] -> [B / packing, ..., packing C]."""
        if len(x) % self.packing:
            raise ValueError(f"packing={self.packing} does not divide the batch of {len(x)}")
        groups = jnp.moveaxis(x.reshape(-1, self.packing, *x.shape[1:]), 1, -2)
        return groups.reshape(*groups.shape[:-2], -1)

    def _real(self, batch: Batch) -> Array:
        """What the discriminator takes for real, before it is augmented."""
        return self._scaled(batch["x"])

    def _size(self, num: int) -> tuple[int, ...]:
        return (num, *self.spec.shape)

    def _scaled(self, x: Array) -> Array:
        return symmetric(x, self.spec.levels)

    def _unscaled(self, x: Array) -> Array:
        return to_levels(x, self.spec.levels)

    def _cond(self, batch: Batch) -> Array | None:
        return jax.nn.one_hot(batch["label"], self.spec.num_classes) if self.conditional else None
