"""Captions of pictures, drawn against an evaluator of sets of captions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, unknown
from jaxgen.methods.givens import Givens, chosen, sized
from jaxgen.methods.phases import after
from jaxgen.methods.player import Player
from jaxgen.nn.words import counted
from jaxgen.ops import beam as beams
from jaxgen.ops.pairs import contradicted, partners, weighted_mean
from jaxgen.ops.ranges import symmetric
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

softplus = jax.nn.softplus


@dataclasses.dataclass(frozen=True)
class CaptionGAN:
    """A captioner learns by likelihood first, then from an evaluator of sets of its captions.

    The evaluator tells sets of people's captions of a picture from sets that were drawn for it, and
    from people's captions of another picture; at first from the latter alone. The captioner draws
    words by a straight-through Gumbel-softmax, and is paid for the evaluator's logit and for
    features, the vectors of sets and their products with those of pictures, whose means over a
    batch are as those of people's.

    Source: Shetty et al. 2017, Speaking the same language: matching machine to human captions by
    adversarial training, sections 3.1 to 3.3.

    Attributes:
        captioner: network, as `models.gans.caption_gan.Captioner`.
        evaluator: network, as `models.gans.caption_gan.Evaluator`.
        spec: of the data: x is a caption.
        given: the one field of pictures.
        captions: field of several captions of each picture, [K, T].
        apart: fields of pictures; one at least differs between those of a wrong pair. Empty: any
            other picture of the batch is wrong.
        pretrain_steps: train steps of likelihood, and of the evaluator without drawn captions.
        temperature: of the softmax that gives the gradient.
        game: weight of the captioner's loss by the logit.
        features: weight of its loss by features.
        likelihood: weight of the likelihood's loss that stays in the game; 0 in the paper.
    """

    captioner: Any
    evaluator: Any
    spec: DataSpec
    given: tuple[str, ...] = ("picture",)
    captions: str = "captions"
    apart: tuple[str, ...] = ()
    pretrain_steps: int = 0
    temperature: float = 0.5
    game: float = 1.0
    features: float = 1.0
    likelihood: float = 0.0

    def __post_init__(self) -> None:
        """Checks the options against the data."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        fields = self.spec.fields
        if self.spec.x.kind != "tokens" or [fields[n].kind for n in self.given] != ["image"]:
            raise ConfigError(
                f"config.method: {self.spec.name} has no captions as x, or config.method.given is "
                "not the one field of their pictures"
            )
        for name in (self.captions, *self.apart):
            if name not in fields:
                raise ConfigError(unknown("field in config.method", name, fields))
        if fields[self.captions].shape[1:] != self.spec.shape:
            raise ConfigError(
                f"config.method.captions={self.captions}: {list(fields[self.captions].shape)}, "
                f"expected [K, {self.spec.shape[0]}]: captions as x"
            )
        known = self.spec.x.vocabulary
        captioner = sized(self.captioner, "vocabulary", known, "captioner", self.spec.name)
        object.__setattr__(self, "captioner", captioner)
        if self.pretrain_steps < 0 or self.temperature <= 0:
            raise ConfigError("config.method: pretrain_steps is 0 or more, temperature above 0")

    @property
    def speaker(self) -> Player:
        """The captioner."""
        return Player("captioner", self.captioner)

    @property
    def judge(self) -> Player:
        """The evaluator."""
        return Player("evaluator", self.evaluator)

    @property
    def givens(self) -> Givens:
        """The picture."""
        return Givens(self.spec, self.given)

    @property
    def turns(self) -> Sequence[Turn]:
        """The evaluator, then the captioner."""
        start = self.pretrain_steps
        return (
            Turn("evaluator", after(self.contrast, self.evaluator_loss, start)),
            Turn("captioner", after(self.likelihood_loss, self.captioner_loss, start)),
        )

    @property
    def several(self) -> int:
        """Captions of a set."""
        return self.spec.fields[self.captions].shape[0]

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises both players on a batch."""
        first, second = jax.random.split(rng)
        x, sets = self.pictures(batch), self.one_hot(batch[self.captions])
        made = {
            "captioner": self.speaker.init(first, x, sets, self.noise(rng, *sets.shape[:2])),
            "evaluator": self.judge.init(second, x, sets),
        }
        return {k: v[0] for k, v in made.items()}, {k: v[1] for k, v in made.items()}

    def pictures(self, batch: Batch) -> Array:
        """Those of a batch, in [-1, 1]."""
        (name,) = self.given
        return symmetric(batch[name], self.spec.fields[name].levels)

    def one_hot(self, tokens: Array) -> Array:
        """Tokens [...] to [..., V]."""
        return jax.nn.one_hot(tokens, self.spec.x.vocabulary or 0)

    def noise(self, rng: Array, num: int, several: int) -> Array:
        """Draws [num, several, latent] of what captions depend on beside their picture."""
        return jax.random.normal(rng, (num, several, self.captioner.latent))

    def wrong(self, batch: Batch) -> Array:
        """bool [B, B]: whether another example's picture differs in a field of `apart`."""
        said = [(batch[k], batch[k], self.spec.fields[k].values or 0) for k in self.apart]
        return contradicted(said, len(batch["x"]))

    def drawn(self, state: State, x: Array, rng: Array, several: int) -> Array:
        """Sets of captions of pictures [B, H, W, C], one-hot [B, several, T, V]."""
        latent, words = jax.random.split(rng)
        shape = (len(x), several, *self.spec.shape, self.spec.x.vocabulary or 0)
        gumbel = jax.random.gumbel(words, shape)
        z = self.noise(latent, len(x), several)
        return self.speaker.apply(state, x, gumbel, z, self.temperature, method="drawn")

    def nats(self, state: State, x: Array, tokens: Array, rng: Array) -> Array:
        """-log p [B, K] of captions [B, K, T] of pictures, up to the word that ends them."""
        words = self.one_hot(tokens)
        z = self.noise(rng, *tokens.shape[:2])
        log_p = jax.nn.log_softmax(self.speaker.apply(state, x, words, z))
        return -jnp.sum(log_p * words * counted_sets(words)[..., None], axis=(2, 3))

    def likelihood_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean nats of a caption given its picture."""
        nats = jnp.mean(self.nats(state, self.pictures(batch), batch[self.captions], rng))
        return nats, (state.vars, {"nats": nats})

    def contrast(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the evaluator pays for people's captions of a picture, and of another one."""
        real, wrong, there, _ = self._judged(state, batch, rng)
        loss = jnp.mean(softplus(-real)) + weighted_mean(softplus(wrong), there)
        return loss, (state.vars, _accuracies(real, wrong, there))

    def evaluator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """The same, and for captions that were drawn."""
        pair, draw = jax.random.split(rng)
        real, wrong, there, seen = self._judged(state, batch, pair)
        words = self.drawn(state, self.pictures(batch), draw, self.several)
        sets = self.judge.apply(state, jax.lax.stop_gradient(words), method="captions")
        fake = self.judge.apply(state, seen, sets, method="score")
        loss = jnp.mean(softplus(-real)) + weighted_mean(softplus(wrong), there)
        shown = _accuracies(real, wrong, there) | {"accuracy_fake": jnp.mean(fake < 0)}
        return loss + jnp.mean(softplus(fake)), (state.vars, shown)

    def captioner_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the captioner pays for its draws."""
        draw, latent = jax.random.split(rng)
        x = self.pictures(batch)
        words = self.drawn(state, x, draw, self.several)
        seen = self.judge.apply(state, x, method="pictures")
        real, fake = (
            self.judge.apply(state, sets, method="captions")
            for sets in (self.one_hot(batch[self.captions]), words)
        )
        game = jnp.mean(softplus(-self.judge.apply(state, seen, fake, method="score")))
        distance = sum(
            jnp.sum(jnp.square(jnp.mean(a, axis=0) - jnp.mean(b, axis=0)))
            for a, b in ((real, fake), (real * seen, fake * seen))
        )
        loss = self.game * game + self.features * distance
        shown = {"game": game, "features": distance}
        if self.likelihood:
            shown["nats"] = jnp.mean(self.nats(state, x, batch[self.captions], latent))
            loss += self.likelihood * shown["nats"]
        return loss, (state.vars, shown)

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each: `nll`, nats of x given its picture, and the evaluator's logits.

        `score` is of the captions of the data, `drawn_score` of as many that are drawn. With noise
        beside that of words, `nll` is given a draw of it.
        """
        x, keys = self.pictures(batch), jax.random.split(rng)
        words = self.drawn(state, x, keys[1], self.several)
        return {
            "nll": self.nats(state, x, batch["x"][:, None], keys[0])[:, 0],
            "score": self.judge.apply(state, x, self.one_hot(batch[self.captions])),
            "drawn_score": self.judge.apply(state, x, words),
        }

    def _judged(self, state: State, batch: Batch, rng: Array) -> tuple[Array, Array, Array, Array]:
        """Logits of captions of a picture, of another if there is one, and pictures' vectors."""
        seen = self.judge.apply(state, self.pictures(batch), method="pictures")
        sets = self.judge.apply(state, self.one_hot(batch[self.captions]), method="captions")
        other, there = partners(rng, self.wrong(batch))
        real = self.judge.apply(state, seen, sets, method="score")
        return real, self.judge.apply(state, seen[other], sets, method="score"), there, seen

    def sample(
        self, state: State, rng: Array, num: int, given: Given = None, beam: int = 0
    ) -> Array:
        """Captions as tokens [num, T].

        Args:
            state: of both players.
            rng: a key.
            num: number of captions.
            given: the pictures, of all captions, or one each.
            beam: beginnings that a search for the likeliest caption keeps; 0 draws.

        Raises:
            ConfigError: without pictures, or for a beam below 0.
        """
        (name,) = self.given
        cond = self.givens.of_call(given, num)
        assert cond is not None  # a picture is given
        x = cond.reshape(num, *self.spec.fields[name].shape)
        return self._said(state, x, rng, 1, beam)[:, 0]

    def describe(
        self, state: State, pictures: Array, rng: Array, num: int = 5, beam: int = 0
    ) -> Array:
        """Tokens [B, num, T], see `abilities.Describes`: draws, or the likeliest of a beam.

        Raises:
            ConfigError: for a beam below `num`, but for 0.
        """
        (name,) = self.given
        x = symmetric(pictures, self.spec.fields[name].levels)
        return self._said(state, x, rng, num, beam)

    def _said(self, state: State, x: Array, rng: Array, num: int, beam: int) -> Array:
        if beam < 0 or 0 < beam < num:
            raise ConfigError(f"beam={beam}, expected {num} captions or more, or 0 to draw them")
        if not beam:
            words = self.drawn(state, x, rng, num)
            return jnp.argmax(words, axis=-1).astype(jnp.int32)
        z = self.noise(rng, len(x), 1)
        seen = self.speaker.apply(state, x, z, method="seen")
        memory = self.speaker.apply(state, seen, method="start")
        none = jnp.full(len(x), -1, jnp.int32)  # its one-hot is zero

        def step(carry: Any, last: Array) -> tuple[Any, Array]:
            memory, seen = carry
            word = self.one_hot(last)
            memory, logits = self.speaker.apply(state, memory, word, seen, method="step")
            return (memory, seen), logits

        length = self.spec.shape[0]
        return beams.search(step, (memory, seen), none, beam, length)[0][:, :num]


def counted_sets(words: Array) -> Array:
    """`nn.words.counted` of sets [B, K, T, V]: [B, K, T]."""
    return counted(words.reshape(-1, *words.shape[2:])).reshape(words.shape[:3])


def _accuracies(real: Array, wrong: Array, there: Array) -> Metrics:
    return {
        "accuracy_real": jnp.mean(real > 0),
        "accuracy_wrong": weighted_mean((wrong < 0).astype(jnp.float32), there),
    }
