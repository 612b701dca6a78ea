"""Pictures of a text at several sizes, against discriminators that know right from wrong pairs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.config import ConfigError, unknown
from jaxgen.methods.givens import Givens, chosen, sized
from jaxgen.methods.phases import during
from jaxgen.methods.player import Player
from jaxgen.nn.gan_layers import doubled, pooled
from jaxgen.ops.alarms import two_players
from jaxgen.ops.pairs import contradicted, matching_nats, partners, weighted_mean
from jaxgen.ops.ranges import symmetric, to_levels
from jaxgen.ops.scores import deviation, sample_scores
from jaxgen.types import Array, Batch, DataSpec, Given, Metrics, Params, State, Turn, Vars

softplus = jax.nn.softplus
COVARIANCES = 5.0  # of the colour term: their weight in that of the means
Pictures = tuple[Array, ...]
Logits = Sequence[tuple[Array, Array | None]]


@dataclasses.dataclass(frozen=True)
class StackGAN:
    """Generator and discriminators of all sizes; a third player reads texts.

    At every size a discriminator tells real pictures with their text from real pictures with
    another text, and from generated ones; with a second logit, which does not see the text, real
    pictures of either kind from generated ones. The third player, if there is one, learns first
    which texts and pictures go together, and is fixed from then on; without it, the two are given
    fields as they are.

    Source: Zhang et al. 2018, StackGAN++, sections 4.1 and 4.2, and equation 12 for colours; Zhang
    et al. 2017, StackGAN, equations 3 to 6: without the second logit, wrong and generated pairs
    count half. As in the official code, the divergence is a mean over dimensions, not their sum,
    and discriminators see the mean of a text's code.

    Attributes:
        generator: network, as `models.gans.stackgan.Generator`.
        discriminator: network, as `models.gans.stackgan.Discriminators`.
        spec: of the data, images.
        matcher: network, as `models.gans.stackgan.Matcher`, or None.
        given: fields that pictures are made of; with a matcher one, of text.
        apart: field of what is there -> field of what a text says of it, whose values beyond those
            of the former are nothing said: in a wrong pair, one of them is not so. Empty: any other
            example of the batch is wrong.
        kl: weight of the divergence of texts' codes from a standard normal.
        unconditional: weight of the second logit's losses.
        colour: weight of the squared distance between the mean colours of a picture and of the
            smaller one, five times as much of their covariances; 50 in the paper.
        matching: weight of the nats by which the matcher knows the text of a generated picture, as
            of a real one; 0 in the paper. Source: Xu et al. 2018, AttnGAN, equation 10, here of
            whole pictures and texts alone.
        matching_steps: train steps of the matcher; those of the others begin after it.
        sharpness: by which the products of its vectors are multiplied.
    """

    generator: Any
    discriminator: Any
    spec: DataSpec
    matcher: Any = None
    given: tuple[str, ...] = ("text",)
    apart: Mapping[str, str] = dataclasses.field(default_factory=dict)
    kl: float = 2.0
    unconditional: float = 1.0
    colour: float = 0.0
    matching: float = 0.0
    matching_steps: int = 0
    sharpness: float = 14.0

    def __post_init__(self) -> None:
        """Checks the options."""
        object.__setattr__(self, "given", chosen(self.given, self.spec))
        if self.spec.x.kind != "image" or not self.given:
            raise ConfigError(
                f"config.method: {self.spec.name} has no images, or config.method.given is empty"
            )
        kinds = [self.spec.fields[name].kind for name in self.given]
        if self.matcher is not None and kinds != ["tokens"]:
            raise ConfigError(
                "config.model.matcher: it reads the one field of text, expected "
                f"config.method.given=text, got {', '.join(self.given)}"
            )
        if self.matcher is not None:
            length = self.spec.fields[self.given[0]].dims
            matcher = sized(self.matcher, "words", length, "matcher", self.spec.name)
            object.__setattr__(self, "matcher", matcher)
        if (self.matcher is None) != (self.matching_steps == 0):
            raise ConfigError(
                f"config.method.matching_steps={self.matching_steps}: expected 1 or more with "
                "config.model.matcher, and 0 without"
            )
        for name in (*self.apart, *self.apart.values()):
            if name not in self.spec.fields:
                raise ConfigError(unknown("field in config.method.apart", name, self.spec.fields))
        if min(self.kl, self.unconditional, self.colour, self.matching) < 0:
            raise ConfigError("config.method: kl, unconditional, colour and matching are 0 or more")
        if self.matching and self.matcher is None:
            raise ConfigError("config.method.matching: expected config.model.matcher with it")

    @property
    def painter(self) -> Player:
        """The generator."""
        return Player("generator", self.generator)

    @property
    def judge(self) -> Player:
        """The discriminators."""
        return Player("discriminator", self.discriminator)

    @property
    def reader(self) -> Player:
        """The matcher."""
        return Player("matcher", self.matcher)

    @property
    def givens(self) -> Givens:
        """What pictures are made of."""
        return Givens(self.spec, self.given)

    @property
    def stages(self) -> int:
        """Pictures that are made of a text, each larger than the one before."""
        return self.generator.stages

    @property
    def turns(self) -> Sequence[Turn]:
        """The matcher, then discriminators and generator."""
        start = self.matching_steps
        players = (
            Turn("discriminator", during(self.discriminator_loss, start)),
            Turn("generator", during(self.generator_loss, start)),
        )
        if self.matcher is None:
            return players
        return (Turn("matcher", during(self.matching_loss, 0, start)), *players)

    def init(self, rng: Array, batch: Batch) -> tuple[Params, Vars]:
        """Initialises all players on a batch."""
        keys = jax.random.split(rng, 5)
        rows = self._rows(self.givens.of_batch(batch))
        made: dict[str, tuple[Any, Any]] = {}
        text = rows
        if self.matcher is not None:
            x = self.scaled(batch["x"])
            (_, text), *own = self.reader.init_with_output(keys[0], x, rows)
            made["matcher"] = own[0], own[1]
        streams = {"params": keys[1], "noise": keys[2]}
        z = self.latents(keys[3], len(rows))
        size = self.size(len(rows))
        out, *own = self.painter.init_with_output(streams, z, size, text, method="painted")
        made["generator"] = own[0], own[1]
        made["discriminator"] = self.judge.init(keys[4], out.images, out.mean)
        return {k: v[0] for k, v in made.items()}, {k: v[1] for k, v in made.items()}

    def scaled(self, x: Array) -> Array:
        """Images to [-1, 1]."""
        return symmetric(x, self.spec.levels)

    def latents(self, rng: Array, num: int) -> Array:
        """Draws of z, [num, latent]."""
        return jax.random.normal(rng, (num, self.generator.latent))

    def real(self, x: Array, sizes: Sequence[int]) -> Pictures:
        """Images [B, H, W, C] in [-1, 1], and their means over blocks: of these sides."""
        found = [x]
        while found[-1].shape[1] > sizes[0]:
            found.append(pooled(found[-1]))
        return tuple(found[::-1])

    def code(self, state: State, cond: Array | None) -> Array:
        """What the two players are given of rows: the matcher's vectors, or the rows."""
        rows = self._rows(cond)
        if self.matcher is None:
            return rows
        found = self.reader.apply(state, rows, method="texts")
        return jax.lax.stop_gradient(math.sqrt(found.shape[-1]) * found)

    def told(self, out: Any, text: Array) -> Array:
        """What discriminators see of a text: the mean of its code."""
        return out.mean

    def wrong(self, batch: Batch) -> Array:
        """bool [B, B]: whether the text of an example (first) is wrong of another's picture."""
        said = [
            (batch[text], batch[there], self.spec.fields[there].values or 0)
            for there, text in self.apart.items()
        ]
        return contradicted(said, len(batch["x"]))

    def matching_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """Mean nats by which a text is known among the pictures of a batch, and a picture."""
        x, rows = self.scaled(batch["x"]), self._rows(self.givens.of_batch(batch))
        (pictures, texts), state = self.reader.train(state, x, rows)
        nats, right = matching_nats(self.sharpness * texts @ pictures.T, self.wrong(batch))
        return nats, (state.vars, {"nats": nats, "accuracy": right})

    def discriminator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the discriminators pay, added up over sizes."""
        keys = jax.random.split(rng, 2)
        text = self.code(state, self.givens.of_batch(batch))
        out, state = self.trained(state, keys[0], text)
        out = jax.lax.stop_gradient(out)
        real = self.real(self.scaled(batch["x"]), [x.shape[1] for x in out.images])
        other, there = partners(keys[1], self.wrong(batch))
        swapped = tuple(x[other] for x in real)
        logits = []
        for pictures in (real, swapped, out.images):
            found, state = self.judge.train(state, pictures, self.told(out, text))
            logits.append(found)
        loss = jnp.zeros(()) + sum(
            discriminators_pay(r, w, f, there, self.unconditional)
            for r, w, f in zip(*logits, strict=True)
        )
        last = [found[-1][0] for found in logits]
        shares = {
            "accuracy_real": jnp.mean(last[0] > 0),
            "accuracy_wrong": weighted_mean((last[1] < 0).astype(jnp.float32), there),
            "accuracy_fake": jnp.mean(last[2] < 0),
        }
        return loss, (state.vars, shares)

    def generator_loss(
        self, state: State, batch: Batch, rng: Array
    ) -> tuple[Array, tuple[Vars, Metrics]]:
        """What the generator pays; `spread` is the deviation of its samples, of the data's."""
        text = self.code(state, self.givens.of_batch(batch))
        out, state = self.trained(state, rng, text)
        logits, state = self.judge.train(state, out.images, self.told(out, text))
        game = sum(generator_pays(found, self.unconditional) for found in logits)
        divergence = code_divergence(out.mean, out.log_var)
        loss = game + self.kl * divergence
        shown = {"kl": divergence}
        if self.colour:
            shown["colour"] = colour_distance(out.images)
            loss += self.colour * shown["colour"]
        if self.matching:
            rows = self._rows(self.givens.of_batch(batch))
            pictures, texts = self.reader.apply(state, out.images[-1], rows)
            products = self.sharpness * texts @ pictures.T
            shown["nats"], _ = matching_nats(products, self.wrong(batch))
            loss += self.matching * shown["nats"]
        shown["spread"] = deviation(out.images[-1]) / deviation(self.scaled(batch["x"]))
        return loss, (state.vars, shown)

    def alarms(self, values: Mapping[str, float]) -> dict[str, str]:
        """A collapse, and a discriminator that wins outright: see `ops.alarms`.

        None while the matcher learns, and the players rest.
        """
        return two_players(values) if values.get("generator/loss") else {}

    def evaluate(self, state: State, batch: Batch, rng: Array) -> Metrics:
        """Per example, [B] each: see `ops.scores.sample_scores`, in the network's range.

        With a matcher also `match`, the product of the vectors of a text and of what was made of
        it, and `real_match`, that of its own picture.
        """
        x, cond = self.scaled(batch["x"]), self.givens.of_batch(batch)
        images = self.painted(state, rng, self.code(state, cond), 1.0).images[-1]
        found = sample_scores(x.reshape(x.shape[0], -1), images.reshape(x.shape[0], -1))
        if self.matcher is None:
            return found
        rows = self._rows(cond)
        for name, pictures in (("match", images), ("real_match", x)):
            vectors, texts = self.reader.apply(state, pictures, rows)
            found[name] = jnp.sum(vectors * texts, axis=-1)
        return found

    def sample(
        self,
        state: State,
        rng: Array,
        num: int,
        given: Given = None,
        temperature: float = 1.0,
        stage: int = 0,
    ) -> Array:
        """Pictures of texts, in the units of the data.

        Args:
            state: of all players.
            rng: a key.
            num: number of samples.
            given: field -> values of all samples, or [num, ...].
            temperature: multiplies z.
            stage: 1 for the smallest picture, and on, each enlarged to full size; 0 for the last.

        Raises:
            ConfigError: for a stage that there is not.
        """
        if not 0 <= stage <= self.stages:
            raise ConfigError(f"stage={stage}, expected 1 to {self.stages}, or 0")
        latent, classes = jax.random.split(rng)
        cond = self.givens.of_call(given, num, classes)
        x = self.painted(state, latent, self.code(state, cond), temperature).images[stage - 1]
        while x.shape[1] < self.spec.shape[0]:
            x = doubled(x)
        return to_levels(x, self.spec.levels)

    def matches(self, state: State, x: Array, text: Array) -> Array:
        """Products [B] of the matcher's vectors of data [B, ...] and tokens [B, T]."""
        rows = self._rows(self.givens.of_batch({self.given[0]: text}))
        pictures, texts = self.reader.apply(state, self.scaled(x), rows)
        return jnp.sum(pictures * texts, axis=-1)

    def painted(self, state: State, rng: Array, text: Array, temperature: Any) -> Any:
        """What the generator makes of `code`s, as in evaluation."""
        latent, noise = jax.random.split(rng)
        z = temperature * self.latents(latent, len(text))
        rngs, size = {"noise": noise}, self.size(len(text))
        return self.painter.apply(state, z, size, text, rngs=rngs, method="painted")

    def trained(self, state: State, rng: Array, text: Array) -> tuple[Any, State]:
        """The same in training, and the state with what moved."""
        latent, noise = jax.random.split(rng)
        z, size = self.latents(latent, len(text)), self.size(len(text))
        rngs = {"noise": noise}
        return self.painter.train(state, z, size, text, rngs=rngs, method="painted")

    def size(self, num: int) -> tuple[int, ...]:
        """The shape of so many pictures of full size."""
        return (num, *self.spec.shape)

    def _rows(self, cond: Array | None) -> Array:
        """[B, K]."""
        assert cond is not None  # something is given
        return cond.reshape(cond.shape[0], -1)


def discriminators_pay(
    real: tuple[Array, Array | None],
    wrong: tuple[Array, Array | None],
    fake: tuple[Array, Array | None],
    there: Array,
    unconditional: float,
) -> Array:
    """The loss of one size, in nats.

    Args:
        real: logits [B] with and without the text, of real pictures and their text.
        wrong: of real pictures and another text: the second logit should take them for real.
        fake: of generated ones.
        there: 1 where there is a wrong pair, else 0.
        unconditional: weight of the second logit; without one, wrong and fake count half.
    """
    right = jnp.mean(softplus(-real[0]))
    mistaken = weighted_mean(softplus(wrong[0]), there)
    made = jnp.mean(softplus(fake[0]))
    if real[1] is None or wrong[1] is None or fake[1] is None:
        return right + 0.5 * (mistaken + made)
    plain = jnp.mean(softplus(-real[1])) + jnp.mean(softplus(fake[1]))
    plain += weighted_mean(softplus(-wrong[1]), there)
    return right + mistaken + made + unconditional * plain


def generator_pays(fake: tuple[Array, Array | None], unconditional: float) -> Array:
    """The loss of one size: that both logits say real, in nats."""
    paid = jnp.mean(softplus(-fake[0]))
    return paid if fake[1] is None else paid + unconditional * jnp.mean(softplus(-fake[1]))


def code_divergence(mean: Array, log_var: Array) -> Array:
    """KL of normal codes [B, K] from the standard normal: nats a dimension, mean over the batch."""
    return -0.5 * jnp.mean(1 + log_var - jnp.square(mean) - jnp.exp(log_var))


def colour_distance(images: Pictures) -> Array:
    """Squared distances between mean colours of a picture and of the smaller one, over sizes.

    Those of covariances count five times; the smaller ones have no gradient.
    """
    total = jnp.zeros(())
    for small, large in zip(images[:-1], images[1:], strict=True):
        ours, theirs = _colours(large), _colours(jax.lax.stop_gradient(small))
        means, covariances = (
            jnp.mean(jnp.square(a - b)) for a, b in zip(ours, theirs, strict=True)
        )
        total += means + COVARIANCES * covariances
    return total


def _colours(x: Array) -> tuple[Array, Array]:
    """Means [B, C] and covariances [B, C, C] of the pixels of [B, H, W, C]."""
    pixels = x.reshape(x.shape[0], -1, x.shape[-1])
    mean = jnp.mean(pixels, axis=1)
    rest = pixels - mean[:, None]
    return mean, jnp.einsum("bpc,bpd->bcd", rest, rest) / pixels.shape[1]
