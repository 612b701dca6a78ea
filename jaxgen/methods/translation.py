"""Images of layouts, or of other images, learnt from pairs: a game, and what the pair says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, unknown
from jaxgen.methods import perceptual
from jaxgen.methods.givens import Givens, chosen
from jaxgen.methods.player import Player
from jaxgen.nn.condition import WITHOUT_CHANNELS
from jaxgen.ops.games import GAMES, Game, accuracies, mean_loss
from jaxgen.ops.ranges import symmetric, to_levels
from jaxgen.ops.scores import sample_scores
from jaxgen.schedules import Scheduled, value
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

STATISTICS = ("image", "running")


class Pair(NamedTuple):
    """What the players see of a batch.

    Attributes:
        x: images in [-1, 1], [B, H, W, C].
        cond: the planes that both players are given, [B, H, W, K].
        maps: the layouts and the instances among what is given, in numbers, [B, H, W] each.
    """

    x: Array
    cond: Any
    maps: Batch


@dataclasses.dataclass(frozen=True)
class Translation:
    """A generator is given fields of an example and makes x; a discriminator sees both.

    Beside the game the generator pays for what is off: the pixels (pix2pix), the features of the
    discriminator (pix2pixHD) or of a trained network. With a `latent` it is given a style too,
    drawn about what its encoder finds in x, as in a variational autoencoder (SPADE).

    Source: Isola et al. 2017 (pix2pix), equation 4; Wang et al. 2018 (pix2pixHD), equations 3 to 5;
    Park et al. 2019 (SPADE), section 3 and appendix A.

    Attributes:
        generator: network with an attribute `latent`, `(cond [B, H, W, K], channels, z=None) ->
            [B, H, W, channels]` in [-1, 1]; with `encode(x)`, mean and log variance, where `latent`
            is not 0. It may draw from the stream "dropout".
        discriminator: network, `(x, cond, features=False) -> logits`, and with features those of
            each scale too.
        spec: of the data, with images x.
        given: fields that the generator is given, as ("layout", "instances").
        game: one of `ops.games.GAMES`.
        game_weight: of the generator's loss; the sum over scales is their mean so many times.
        discriminator_weight: of the discriminator's loss.
        absolute_weight: of |x - x'|, mean over pixels.
        feature_weight: of |f(x) - f(x')|, mean over each layer's features, summed over layers, mean
            over scales. The factor of pix2pixHD, 4 / (layers + 1), is one for its three layers.
        perceptual: one of `methods.perceptual.NAMES`, see `distance` there.
        perceptual_weights: path of its weights.
        perceptual_weight: of that distance.
        kl_weight: of the style's divergence from the prior, summed over its numbers, mean over
            examples. The official code of SPADE sums over the images of a device.
        generator_first: whether the generator moves first, as in pix2pixHD and SPADE.
        joined: show the discriminator generated and real examples in one pass, in this order.
        statistics: of batch normalisation when one samples: "image", each image's own, as in a
            batch of one (pix2pix), or "running".
    """

    generator: Any
    discriminator: Any
    spec: DataSpec
    given: tuple[str, ...] = ("layout",)
    game: str = "non_saturating"
    game_weight: Scheduled = 1.0
    discriminator_weight: Scheduled = 1.0
    absolute_weight: Scheduled = 0.0
    feature_weight: Scheduled = 0.0
    perceptual: str = "none"
    perceptual_weights: str = ""
    perceptual_weight: Scheduled = 1.0
    kl_weight: Scheduled = 0.05
    generator_first: bool = False
    joined: bool = False
    statistics: str = "running"

    def __post_init__(self) -> None:
        """Checks the options."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        if self.spec.x.kind != "image" or not self.given:
            raise ConfigError(f"{self.spec.name}: expected images, and config.method.given of them")
        if self.game not in GAMES:
            raise ConfigError(unknown("game in config.method", self.game, GAMES))
        if self.rules.paired:
            raise ConfigError(f"config.method.game={self.game}: it has no loss of one example")
        if self.statistics not in STATISTICS:
            raise ConfigError(unknown("statistics in config.method", self.statistics, STATISTICS))
        perceptual.check(self.perceptual, self.perceptual_weights, self.spec)
        shape = self.givens.shape(1)
        if shape is None or shape.ndim != 4:
            raise ConfigError(
                f"config.method.given={', '.join(self.given)}: expected a field with a value for "
                "each pixel, a layout or an image"
            )

    @property
    def rules(self) -> Game:
        """Of the game."""
        return GAMES[self.game]

    @property
    def givens(self) -> Givens:
        """What both players are given."""
        return Givens(self.spec, self.given)

    @property
    def translations(self) -> Mapping[str, tuple[str, str]]:
        """To x, of the first field that is given; others of `given` stand beside it."""
        return {"x": (self.given[0], "x")}

    @property
    def turns(self) -> Sequence[Turn]:
        """Both players."""
        turns = (
            Turn("discriminator", self.discriminator_loss),
            Turn("generator", self.generator_loss),
        )
        return turns[::-1] if self.generator_first else turns

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players on a batch."""
        x, cond = self._scaled(batch["x"]), self.givens.of_batch(batch)
        keys = jax.random.split(rng, 4)
        rngs = {"params": keys[0], "dropout": keys[1]}
        z = self._prior(keys[2], x.shape[0])
        generator = self.generator_player.init(rngs, cond, x.shape[-1], z)
        discriminator = self._discriminator.init(keys[3], x, cond)
        made = zip(generator, discriminator, strict=True)
        params, variables = ({"generator": g, "discriminator": d} for g, d in made)
        return params, variables

    def generator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the generator, and with it the encoder, pays."""
        return self.generator_pays(state, self.pair(batch), rng)

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the discriminator pays."""
        return self.discriminator_pays(state, self.pair(batch), rng)

    def pair(self, batch: Batch) -> Pair:
        """What the players see of a batch."""
        return Pair(self._scaled(batch["x"]), self.givens.of_batch(batch), self._maps(batch))

    def generator_pays(
        self, state: State, pair: Pair, rng: Array, **how: Any
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """The generator's loss of a `pair`; `how` is for the network."""
        fake, kl, state = self._made(state, pair, rng, **how)
        x, cond, _ = pair
        of_real, of_fake, state = self._seen(state, x, fake, cond)
        game = mean_loss(self.rules.generator, None, of_fake[0])
        total = value(self.game_weight, state.step) * game
        metrics = {"game": game, "absolute": jnp.mean(jnp.abs(x - fake))}
        total += value(self.absolute_weight, state.step) * metrics["absolute"]
        if self.feature_weight:
            metrics["features"] = feature_distance(of_real[1], of_fake[1])
            total += value(self.feature_weight, state.step) * metrics["features"]
        if self.perceptual != "none":
            distance = perceptual.distance(self.perceptual, self.perceptual_weights)
            metrics["perceptual"] = jnp.mean(distance(x, fake))
            total += value(self.perceptual_weight, state.step) * metrics["perceptual"]
        if self.generator.latent:
            metrics["kl"] = kl
            total += value(self.kl_weight, state.step) * kl
        return total, (state.vars, metrics)

    def discriminator_pays(
        self, state: State, pair: Pair, rng: Array, **how: Any
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """The discriminator's loss of a `pair`; `how` is for the generator's network."""
        fake, _, state = self._made(state, pair, rng, **how)
        x, cond, _ = pair
        of_real, of_fake, state = self._seen(state, x, jax.lax.stop_gradient(fake), cond)
        paid = mean_loss(self.rules.discriminator, of_real[0], of_fake[0])
        weight = value(self.discriminator_weight, state.step)
        return weight * paid, (state.vars, accuracies(self.rules, of_real[0], of_fake[0]))

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each, in the network's range: see `ops.scores.sample_scores`.

        `absolute` is |x - x'|, which is lowest for the median of all that could be there.
        """
        x, cond, maps = self.pair(batch)
        fake = self._shown(state, cond, rng, self.drawn_styles(state, maps, rng, x.shape[0]))
        scores = sample_scores(x.reshape(x.shape[0], -1), fake.reshape(x.shape[0], -1))
        return scores | {"absolute": jnp.mean(jnp.abs(x - fake), axis=(1, 2, 3))}

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
    ) -> Array:
        """Images of what is given, in the units of the data.

        Args:
            state: of both players.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...]; classes that are not given are
                drawn evenly.
            temperature: multiplies the style, where there is one.
        """
        drawn, classes = jax.random.split(rng)
        fields = self.givens.fields_of_call(given, num, classes)
        cond = self.givens.of_batch(fields)
        z = self.drawn_styles(state, self._maps(fields), drawn, num, temperature)
        return self._unscaled(self._shown(state, cond, drawn, z))

    def translate(
        self, state: State, batch: Batch, rng: Array, to: str, temperature: float = 1.0
    ) -> Array:
        """Images of the fields that the method is given.

        Args:
            state: of both players.
            batch: with these fields, of any size that the network takes; and x, the image whose
                style they are to have, where the network knows styles: else one is drawn.
            rng: a key.
            to: "x".
            temperature: multiplies a style that is drawn, or how far it is from the usual one.
        """
        if to not in self.translations:
            raise ConfigError(unknown("translation", to, self.translations))
        cond = self.givens.of_batch(batch)
        assert cond is not None, "given something"
        maps = self._maps(batch)
        if "x" in batch:
            z = self.lent_styles(state, self._scaled(batch["x"]), maps)
        else:
            z = self.drawn_styles(state, maps, rng, len(cond), temperature)
        return self._unscaled(self._shown(state, cond, rng, z))

    @property
    def generator_player(self) -> Player:
        """The generator, with its params and vars."""
        return Player("generator", self.generator)

    @property
    def _discriminator(self) -> Player:
        return Player("discriminator", self.discriminator)

    def _prior(self, rng: Array, num: int) -> Array | None:
        """Styles, None where there are none."""
        latent = self.generator.latent
        return jax.random.normal(rng, (num, latent)) if latent else None

    def drawn_styles(
        self, state: State, maps: Batch, rng: Array, num: int, temperature: Any = 1.0
    ) -> Array | None:
        """Styles that are drawn, of `maps`; None where there are none."""
        z = self._prior(rng, num)
        return None if z is None else temperature * z

    def lent_styles(self, state: State, x: Array, maps: Batch) -> Array:
        """Styles of images x, which are scaled to the size of the data: encoders have one size."""
        if not self.generator.latent:
            raise ConfigError("this model knows no styles (config.model.generator.latent)")
        x = jax.image.resize(x, (x.shape[0], *self.spec.shape[:2], x.shape[-1]), "linear")
        return self.generator_player.apply(state, x, method="encode")[0]

    def trained_styles(
        self, state: State, pair: Pair, rng: Array
    ) -> tuple[Array | None, Array, State]:
        """As in training: styles of x, their divergence in nats, and what moved."""
        if not self.generator.latent:
            return None, jnp.float32(0), state
        (mean, log_var), state = self.generator_player.train(state, pair.x, method="encode")
        z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(rng, mean.shape)
        each = 0.5 * (jnp.square(mean) + jnp.exp(log_var) - 1 - log_var)
        return z, jnp.mean(jnp.sum(each, axis=1)), state

    def _made(self, state: State, pair: Pair, rng: Array, **how: Any) -> tuple[Array, Array, State]:
        """As in training: images, the divergence of their styles in nats, and what moved."""
        noise, dropout = jax.random.split(rng)
        z, kl, state = self.trained_styles(state, pair, noise)
        rngs, channels = {"dropout": dropout}, pair.x.shape[-1]
        fake, state = self.generator_player.train(state, pair.cond, channels, z, rngs=rngs, **how)
        return fake, kl, state

    def _shown(self, state: State, cond: Any, rng: Array, z: Any) -> Array:
        """As one samples, with a dropout of its own for each image."""
        channels = self.spec.shape[-1]
        if self.statistics == "running":
            return self.generator_player.apply(state, cond, channels, z, rngs={"dropout": rng})

        def one(cond: Array, z: Any, rng: Array) -> Array:
            z = None if z is None else z[None]
            rngs = {"dropout": rng}
            return self.generator_player.train(state, cond[None], channels, z, rngs=rngs)[0][0]

        keys = jax.random.split(rng, len(cond))
        return jax.vmap(one)(cond, z, keys)

    def _seen(
        self, state: State, real: Array, fake: Array, cond: Any
    ) -> tuple[tuple[Any, Any], tuple[Any, Any], State]:
        """(logits, features) of real and of generated examples."""
        if not self.joined:
            of_fake, state = self._discriminator.train(state, fake, cond, features=True)
            of_real, state = self._discriminator.train(state, real, cond, features=True)
            return of_real, of_fake, state
        both, twice = jnp.concatenate([fake, real]), jnp.concatenate([cond, cond])
        seen, state = self._discriminator.train(state, both, twice, features=True)
        of_fake, of_real = (jax.tree.map(lambda v, i=i: jnp.split(v, 2)[i], seen) for i in (0, 1))
        return of_real, of_fake, state

    def _maps(self, fields: Batch) -> dict[str, Array]:
        kinds = {name: self.spec.fields[name].kind for name in self.given}
        return {k: jnp.asarray(fields[k]) for k, v in kinds.items() if v in WITHOUT_CHANNELS}

    def _scaled(self, x: Array) -> Array:
        return symmetric(x, self.spec.levels)

    def _unscaled(self, x: Array) -> Array:
        return to_levels(x, self.spec.levels)


def feature_distance(real: Any, fake: Any) -> Array:
    """|f(x) - f(x')|, mean over features, summed over layers, mean over scales.

    No gradient passes through `real`.

    Source: Wang et al. 2018 (pix2pixHD), equation 4.

    Args:
        real: features of each layer, a tuple, or such tuples of each scale.
        fake: the same.
    """
    scales = real if isinstance(real[0], tuple) else (real,)
    apart = jax.tree.map(lambda a, b: jnp.mean(jnp.abs(jax.lax.stop_gradient(a) - b)), real, fake)
    return jnp.sum(jnp.stack(jax.tree.leaves(apart))) / len(scales)
