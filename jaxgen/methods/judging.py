"""What autoencoders share whose pictures a discriminator and a perceptual distance judge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError
from jaxgen.methods import perceptual
from jaxgen.methods.player import Player
from jaxgen.ops.densities import sum_event
from jaxgen.ops.games import GAMES, accuracies, mean_loss
from jaxgen.ops.ranges import symmetric
from jaxgen.schedules import Scheduled, value
from jaxgen.types import Array, Batch, DataSpec, Metrics, Params, State, Turn, Vars

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


class Judgement(NamedTuple):
    """Of what an autoencoder shows of a batch.

    Attributes:
        loss: what it pays.
        aux: that came with the pictures.
        metrics: scalars.
        moved: variables of the discriminator.
    """

    loss: Array
    aux: Any
    metrics: Metrics
    moved: Vars


@dataclasses.dataclass(frozen=True)
class Judging:
    """An autoencoder plays a game with a discriminator of patches.

    It minimises |x - x'| and a perceptual distance of images in [-1, 1], and what the discriminator
    makes of x', weighed by `adaptive_weight`. The discriminator moves after it, as in the official
    code, and sees x' as evaluation has it.

    Source: Esser et al. 2021, Taming transformers for high-resolution image synthesis, section 3.1,
    equations 4 to 7.

    Attributes:
        model: network, whose `last` is the path of its last layer's kernel among its params.
        spec: of the data, images of integers.
        discriminator: network, as `methods.critic.Critic` has it.
        perceptual: one of `methods.perceptual.NAMES`, see `distance` there.
        perceptual_weights: path of its weights.
        perceptual_weight: of the distance.
        reconstruction_weight: of both distances.
        game_weight: on top of the adaptive weight.
        start_steps: train steps before the discriminator learns.
        warmup_steps: after these, over which its weight in the autoencoder's loss rises from 0.
    """

    model: Any
    spec: DataSpec
    discriminator: Any = None
    perceptual: str = "none"
    perceptual_weights: str = ""
    perceptual_weight: Scheduled = 1.0
    reconstruction_weight: Scheduled = 1.0
    game_weight: Scheduled = 1.0
    start_steps: int = 0
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        """Checks the options."""
        if self.discriminator is None:
            raise ConfigError("config.model.discriminator is missing, beside config.model.model")
        if self.spec.x.kind != "image" or self.spec.levels is None:
            raise ConfigError(f"{self.spec.name} has no images of grey levels, as a game wants")
        perceptual.check(self.perceptual, self.perceptual_weights, self.spec)

    def loss(self, state: State, batch: Batch, rng: Array) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the autoencoder pays; see `judged`."""
        raise NotImplementedError

    def shown(self, state: State, x: Array) -> Array:
        """Images [B, H, W, C] about [-1, 1] of x in its units, as evaluation has them."""
        raise NotImplementedError

    @property
    def turns(self) -> Sequence[Turn]:
        """The autoencoder, then the discriminator."""
        return (Turn("model", self.loss), Turn("discriminator", self.discriminator_loss))

    @property
    def judge(self) -> Player:
        """The discriminator."""
        return Player("discriminator", self.discriminator)

    def with_judge(
        self, params: Params, variables: Vars, batch: Batch, rng: Array
    ) -> tuple[Params, Vars]:
        """Those of the autoencoder, and the discriminator's, on the first batch."""
        real = symmetric(batch["x"], self.spec.levels)
        own, moved = self.judge.init(jax.random.fold_in(rng, 1), real)
        return params | {"discriminator": own}, variables | {"discriminator": moved}

    def judged(
        self, state: State, x: Array, show: Callable[[State], tuple[Array, Any]]
    ) -> Judgement:
        """What is paid for the pictures of a batch.

        Args:
            state: of all players.
            x: the batch, in the units of the data.
            show: state -> pictures about [-1, 1], in training, and what comes with them.
        """
        real = symmetric(x, self.spec.levels)
        kernel, path = state.params["model"], self.model.last
        for name in path:
            kernel = kernel[name]

        def shown(kernel: Array) -> tuple[Array, Any]:
            params = state.params | {"model": _replaced(state.params["model"], path, kernel)}
            return show(state.replace(params=params))

        def restored(fake: Array) -> tuple[Array, tuple[Array, Array]]:
            near = jnp.mean(jnp.abs(real - fake))
            seen = jnp.mean(self._seen(real, fake))
            weight = value(self.perceptual_weight, state.step)
            return near + weight * seen, (near, seen)

        def game(fake: Array) -> tuple[Array, State]:
            logits, moved = self.judge.train(state, fake)
            return mean_loss(GAMES["hinge"].generator, None, logits), moved

        fake, pull, aux = jax.vjp(shown, kernel, has_aux=True)
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
        metrics = {"absolute": near, "game": paid, "weight": weight}
        if self.perceptual != "none":
            metrics["perceptual"] = seen
        return Judgement(total, aux, metrics, judged.vars["discriminator"])

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
        fake = self.shown(state, batch["x"])
        real_logits, state = self.judge.train(state, real)
        fake_logits, state = self.judge.train(state, jax.lax.stop_gradient(fake))
        rules = GAMES["hinge"]
        paid = 0.5 * mean_loss(rules.discriminator, real_logits, fake_logits)
        started = (state.step >= self.start_steps).astype(jnp.float32)
        return started * paid, (state.vars, accuracies(rules, real_logits, fake_logits))

    def errors(self, x: Array, fake: Array) -> Metrics:
        """Per example, [B] each, with the range of grey levels as 1.

        `absolute` and `distortion` are the mean absolute and squared errors.
        """
        real = symmetric(x, self.spec.levels)
        off, dims = (jnp.clip(fake, -1.0, 1.0) - real) / 2, self.spec.dims
        absolute = sum_event(jnp.abs(off)) / dims
        return {"absolute": absolute, "distortion": sum_event(jnp.square(off)) / dims}


def _replaced(tree: Any, path: Sequence[str], leaf: Any) -> Any:
    """A tree of dictionaries with another leaf."""
    first, *rest = path
    return {**tree, first: _replaced(tree[first], rest, leaf) if rest else leaf}
