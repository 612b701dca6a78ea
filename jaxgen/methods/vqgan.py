"""An autoencoder of codes that a discriminator and a perceptual distance judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.abilities import DensityOf
from jaxgen.config import ConfigError
from jaxgen.methods import perceptual
from jaxgen.methods.player import Player
from jaxgen.methods.quantized import Codes, QuantizedAutoencoder, code_metrics
from jaxgen.nn.codes import Coding
from jaxgen.ops.densities import sum_event
from jaxgen.ops.games import GAMES, accuracies, mean_loss
from jaxgen.ops.ranges import symmetric
from jaxgen.schedules import Scheduled, value
from jaxgen.types import Array, Batch, Metrics, Params, State, Turn, Vars

MOST_WEIGHT, LEAST_SLOPE = 1e4, 1e-4  # of the adaptive weight


def adaptive_weight(of_restored: Array, of_game: Array) -> Array:
    """How much a game weighs, so that it pulls the last layer as hard as what is restored.

    Source: Esser et al. 2021, Taming transformers, equation 7; the official code for the bounds:
    |a| / (|b| + 1e-4), at most 1e4. No gradient passes.

    Args:
        of_restored: gradient of the loss of reconstruction by the last layer's kernel.
        of_game: that of the generator's loss.
    """
    first, second = (jnp.sqrt(jnp.sum(jnp.square(g))) for g in (of_restored, of_game))
    weight = jnp.clip(first / (second + LEAST_SLOPE), 0.0, MOST_WEIGHT)
    return jax.lax.stop_gradient(weight)


@dataclasses.dataclass(frozen=True)
class VQGAN(QuantizedAutoencoder):
    """An autoencoder of codes that plays a game with a discriminator of patches.

    It minimises |x - x'| and a perceptual distance of images in [-1, 1], the losses of the
    quantiser, and what the discriminator makes of x', weighed by `adaptive_weight`. There is no
    likelihood here, and so no `log_prob`. The discriminator moves after the autoencoder, as in the
    official code, and sees the codes as evaluation has them.

    Source: Esser et al. 2021, Taming transformers for high-resolution image synthesis, section 3.1,
    equations 4 to 7.

    Attributes:
        discriminator: network, as `methods.critic.Critic` has it.
        perceptual: one of `methods.perceptual.NAMES`, see `distance` there.
        perceptual_weights: path of its weights.
        perceptual_weight: of the distance.
        game_weight: on top of the adaptive weight; the configs of the official code have 0.8.
        start_steps: train steps before the discriminator learns.
        warmup_steps: after these, over which its weight in the autoencoder's loss rises from 0.
    """

    observation: str = "gaussian"
    discriminator: Any = None
    perceptual: str = "none"
    perceptual_weights: str = ""
    perceptual_weight: Scheduled = 1.0
    game_weight: Scheduled = 1.0
    start_steps: int = 0
    warmup_steps: int = 0

    log_prob: Any = None  # the ability `Density` is taken away

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.discriminator is None:
            raise ConfigError("config.model.discriminator is missing, beside config.model.model")
        if self.observation != "gaussian":
            raise ConfigError(f"config.method.observation={self.observation!r}: omit it")
        if self.spec.levels is None:
            raise ConfigError(f"{self.spec.name} has continuous images, expected grey levels")
        perceptual.check(self.perceptual, self.perceptual_weights, self.spec)

    @property
    def turns(self) -> Sequence[Turn]:
        """The autoencoder, then the discriminator."""
        return (Turn("model", self.loss), Turn("discriminator", self.discriminator_loss))

    @property
    def likelihoods(self) -> Mapping[str, DensityOf]:
        """None."""
        return {}

    @property
    def judge(self) -> Player:
        """The discriminator."""
        return Player("discriminator", self.discriminator)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players on the first batch."""
        params, variables = super().init(rng, batch)
        real = symmetric(batch["x"], self.spec.levels)
        own, moved = self.judge.init(jax.random.fold_in(rng, 1), real)
        return params | {"discriminator": own}, variables | {"discriminator": moved}

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the autoencoder pays."""
        real = symmetric(batch["x"], self.spec.levels)
        kernel, path = state.params["model"], self.model.last
        for name in path:
            kernel = kernel[name]

        def shown(kernel: Array) -> tuple[Array, tuple[Coding, State]]:
            params = state.params | {"model": _replaced(state.params["model"], path, kernel)}
            coding, moved = self.coded(state.replace(params=params), batch["x"], rng)
            return 2 * coding.theta - 1, (coding, moved)

        def restored(fake: Array) -> tuple[Array, tuple[Array, Array]]:
            near = jnp.mean(jnp.abs(real - fake))
            seen = jnp.mean(self._seen(real, fake))
            weight = value(self.perceptual_weight, state.step)
            return near + weight * seen, (near, seen)

        def game(fake: Array) -> tuple[Array, State]:
            logits, moved = self.judge.train(state, fake)
            return mean_loss(GAMES["hinge"].generator, None, logits), moved

        fake, pull, (coding, moved) = jax.vjp(shown, kernel, has_aux=True)
        still = jax.lax.stop_gradient(fake)
        (nll, (near, seen)), of_restored = jax.value_and_grad(restored, has_aux=True)(still)
        (paid, judged), of_game = jax.value_and_grad(game, has_aux=True)(still)
        balance = adaptive_weight(pull(of_restored)[0], pull(of_game)[0])
        weight = balance * value(self.game_weight, state.step) * self._share(state.step)
        part = value(self.reconstruction_weight, state.step)
        # both slopes by the image are known by now: they stand for what they are slopes of, which
        # so is passed back through once
        slope = part * of_restored + weight * of_game
        total = part * nll + weight * paid + jnp.sum(slope * (fake - still))
        codes = sum((of.loss for of in coding.codes.values()), jnp.float32(0))
        total = total + value(self.codes_weight, state.step) * codes
        metrics = {"absolute": near, "codes": codes, "game": paid, "weight": weight}
        metrics |= code_metrics(coding)
        if self.perceptual != "none":
            metrics["perceptual"] = seen
        own = {"model": moved.vars["model"], "discriminator": judged.vars["discriminator"]}
        return total, (state.vars | own, metrics)

    def _seen(self, real: Array, fake: Array) -> Array:
        return perceptual.distance(self.perceptual, self.perceptual_weights)(real, fake)

    def _share(self, step: Array) -> Array:
        """From 0 to 1 in the warm-up after the start."""
        past = (step - self.start_steps).astype(jnp.float32) + 1
        return jnp.clip(past / (self.warmup_steps + 1), 0.0, 1.0)

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Half of both hinges; nothing before the start."""
        real = symmetric(batch["x"], self.spec.levels)
        x = self.scaled(batch["x"])
        fake = 2 * self.player.apply(state, x, self.size(len(x))).theta - 1
        real_logits, state = self.judge.train(state, real)
        fake_logits, state = self.judge.train(state, jax.lax.stop_gradient(fake))
        rules = GAMES["hinge"]
        paid = 0.5 * mean_loss(rules.discriminator, real_logits, fake_logits)
        started = (state.step >= self.start_steps).astype(jnp.float32)
        return started * paid, (state.vars, accuracies(rules, real_logits, fake_logits))

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each, with the range of grey levels as 1.

        `absolute` and `distortion` are the mean absolute and squared errors.
        """
        x = batch["x"]
        theta = self.theta(state, self.ids(state, x))
        off = jnp.abs(jnp.clip(theta, 0.0, 1.0) - self.scaled(x))
        absolute = sum_event(off) / self.spec.dims
        return {"absolute": absolute, "distortion": self.distortion(x, theta)}

    def sample(self, state: State, rng: Array, num: int) -> Array:
        """Data of codes drawn evenly, real grey levels: there is no prior here."""
        return super().sample(state, rng, num, mean=True)

    def code_log_prob(self, state: State, x: Array, z: Codes) -> Array:
        """None.

        Raises:
            ConfigError: always: what a discriminator judged is no likelihood.
        """
        raise ConfigError("a decoder that a discriminator judged has no likelihood of integers")


def _replaced(tree: Any, path: Sequence[str], leaf: Any) -> Any:
    """A tree of dictionaries with another leaf."""
    first, *rest = path
    return {**tree, first: _replaced(tree[first], rest, leaf) if rest else leaf}
