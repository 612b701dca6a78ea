"""A VAE of molecules as texts: convolutions read, recurrent units write, latents say properties.

Texts are read and written by their characters; what fills a text up to its length is one, too.
Models are for `methods.text_elbo`: writing is of one character after another, in training each is
given the true ones before it, in use those that it has drawn itself.

Source: Gomez-Bombarelli et al. 2018, Automatic chemical design using a data-driven continuous
representation of molecules; sizes and order of layers: the official code, aspuru-guzik-group/
chemical_vae. Its terminal unit has a bias that nothing uses, which is not here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxgen.nn.arrays import Codes, Rows
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.heads import Head
from jaxgen.nn.latents import Draw, GivenLatents, Normal, Temperature, draw_group, standard_normal
from jaxgen.nn.recurrent import GRU
from jaxgen.nn.transformer import NORMAL, Blocks, Positions, causal_mask

Text = Integer[Array, "b t"]
Logits = Float[Array, "b t words"]
LEAST = 1e-7  # of a probability: where Keras cuts, too
GLOROT = nn.initializers.glorot_uniform()


class Reading(NamedTuple):
    """What was read: the posterior, and the text, which writing is given in training."""

    posterior: Normal
    x: Text


def _norm(name: str) -> BatchNorm:
    """With Keras' own constants."""
    return BatchNorm(momentum=0.99, eps=1e-3, name=name)


def _spell(x: Text, words: int) -> Logits:
    """One-hot, shifted by one place: what was written before each character; zeros first."""
    said = jax.nn.one_hot(x[:, :-1], words)
    return jnp.pad(said, ((0, 0), (1, 0), (0, 0)))


class Encoder(nn.Module):
    """Convolutions without padding, then one dense layer.

    Attributes:
        channels: of the convolutions.
        kernels: their sizes.
        hidden: width of the dense layer.
        dropout: behind it.
    """

    channels: Sequence[int]
    kernels: Sequence[int]
    hidden: int
    dropout: float

    @nn.compact
    def __call__(self, x: Text, words: int, train: bool) -> Rows:
        """[B, T] -> [B, hidden]."""
        h = jax.nn.one_hot(x, words)
        if x.shape[1] <= sum(self.kernels) - len(self.kernels):
            raise ValueError(f"kernels={self.kernels} are too long for texts of {x.shape[1]}")
        for i, (width, kernel) in enumerate(zip(self.channels, self.kernels, strict=True)):
            h = nn.Conv(width, (kernel,), padding="VALID", kernel_init=GLOROT, name=f"conv_{i}")(h)
            h = _norm(f"norm_{i}")(jnp.tanh(h))
        h = jnp.tanh(
            nn.Dense(self.hidden, kernel_init=GLOROT, name="dense")(h.reshape(h.shape[0], -1))
        )
        return _norm("norm")(nn.Dropout(self.dropout)(h, deterministic=not train))


class Predictor(nn.Module):
    """Properties of the mean of the posterior.

    Attributes:
        hidden: widths of its layers.
        dropout: behind each.
        properties: how many.
    """

    hidden: Sequence[int]
    dropout: float
    properties: int

    @nn.compact
    def __call__(self, z: Codes, train: bool) -> Rows:
        """[B, latent] -> [B, properties]."""
        for i, width in enumerate(self.hidden):
            z = jnp.tanh(nn.Dense(width, kernel_init=GLOROT, name=f"dense_{i}")(z))
            z = nn.Dropout(self.dropout)(z, deterministic=not train)
            z = _norm(f"norm_{i}")(z) if i else z
        return nn.Dense(self.properties, kernel_init=GLOROT, name="says")(z)


class Units(nn.Module):
    """One step of a stack of recurrent units, the last one terminal."""

    widths: Sequence[int]

    def setup(self) -> None:
        """Names the units."""
        self.units = [
            GRU(width, i == len(self.widths) - 1, name=f"unit_{i}")
            for i, width in enumerate(self.widths)
        ]
        self.sees = [
            nn.Dense(3 * width, kernel_init=GLOROT, name=f"input_{i}")
            for i, width in enumerate(self.widths)
        ]

    def begin(self, c: Rows, keep: Any = None) -> Any:
        """What steps hand on: the input of the first unit, the states, the last one's dropout."""
        return self.sees[0](c), [jnp.zeros((len(c), width)) for width in self.widths], keep

    def __call__(self, carry: Any, said: Rows) -> tuple[Any, Rows]:
        """Distributions [B, words] of the next character."""
        first, states, keep = carry
        now = []
        for i, (unit, h) in enumerate(zip(self.units, states, strict=True)):
            x = self.sees[i](now[-1]) if i else first
            last = i == len(self.units) - 1
            now.append(unit(h, x, said if last else None, keep if last else None))
        return (first, now, keep), now[-1]


class RecurrentWriter(nn.Module):
    """A dense layer, recurrent units that see it at every step, a terminal unit.

    Attributes:
        hidden: width of the dense layer.
        dropout: behind it.
        width: of the recurrent units.
        depth: how many there are before the terminal one.
        recurrent_dropout: of the terminal unit's state.
        words: characters.
    """

    hidden: int
    dropout: float
    width: int
    depth: int
    recurrent_dropout: float
    words: int

    def setup(self) -> None:
        """Names the parts."""
        self.dense, self.norm = nn.Dense(self.hidden, kernel_init=GLOROT), _norm("norm")
        self.dropping = nn.Dropout(self.dropout)
        self.masking = nn.Dropout(self.recurrent_dropout)
        self.units = Units((self.width,) * self.depth + (self.words,))

    def _begin(self, z: Codes, train: bool) -> Any:
        c = self.norm(self.dropping(jnp.tanh(self.dense(z)), deterministic=not train))
        keep = None
        if train and self.recurrent_dropout:
            keep = self.masking(jnp.ones((3, z.shape[0], self.words)), deterministic=False)
        return self.units.begin(c, keep)

    def __call__(self, z: Codes, x: Text, train: bool) -> Logits:
        """Logits of every character of x, given those before it."""
        scanned = nn.scan(
            lambda units, carry, said: units(carry, said),
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
        )
        _, found = scanned(self.units, self._begin(z, train), _spell(x, self.words))
        return jnp.log(found + LEAST)

    def start(self, z: Codes, length: int) -> None:
        """Keeps what the first step begins with."""
        self.put_variable("cache", "carry", self._begin(z, False))

    def step(self, z: Codes, x: Text, t: Any) -> Rows:
        """Logits of the character t, before which x is there."""
        before = jax.nn.one_hot(jnp.take(x, jnp.maximum(t - 1, 0), axis=1), self.words)
        kept = self.get_variable("cache", "carry")
        carry, found = self.units(kept, jnp.where(t > 0, before, 0.0))
        self.put_variable("cache", "carry", carry)
        return jnp.log(found + LEAST)


class TransformerWriter(nn.Module):
    """Causal blocks over the characters before, each with the latents added.

    Attributes:
        depth: number of blocks.
        width: of the tokens.
        heads: of each attention.
        dropout: of tokens and branches.
        words: characters.
    """

    depth: int
    width: int
    heads: int
    dropout: float
    words: int

    def setup(self) -> None:
        """Names the parts."""
        self.blocks = Blocks(self.depth, self.heads, dropout=self.dropout, causal=True)
        self.sees = nn.Dense(self.width, use_bias=False, kernel_init=NORMAL)
        self.of_latents = nn.Dense(self.width, kernel_init=GLOROT)
        self.places = Positions("learned", self.width)
        self.says = nn.Dense(self.words, kernel_init=NORMAL)
        self.dropping = nn.Dropout(self.dropout)

    def __call__(self, z: Codes, x: Text, train: bool) -> Logits:
        """As `RecurrentWriter`."""
        h = self.sees(_spell(x, self.words)) + self.places(x.shape[1:])
        h = self.dropping(h + self.of_latents(z)[:, None], deterministic=not train)
        return self.says(self.blocks(h, causal_mask(x.shape[1])[None], train=train))

    def start(self, z: Codes, length: int) -> None:
        """Nothing: the blocks keep what they need."""

    def step(self, z: Codes, x: Text, t: Any) -> Rows:
        """As `RecurrentWriter`."""
        length = x.shape[1]
        before = jax.nn.one_hot(jnp.take(x, jnp.maximum(t - 1, 0), axis=1), self.words)
        place = jax.lax.dynamic_slice_in_dim(self.places((length,)), t, 1, axis=1)
        h = self.sees(jnp.where(t > 0, before, 0.0))[:, None] + place
        h = h + self.of_latents(z)[:, None]
        return self.says(self.blocks(h, causal_mask(length)[None], at=t, length=length)[:, 0])


class MoleculeVAE(nn.Module):
    """Latents [B, latent] of texts [B, T] of characters.

    Attributes:
        vocabulary: characters; 0 takes the number from the data.
        latent: dimensions of the latents.
        channels: of the encoder's convolutions.
        kernels: their sizes.
        hidden: width of the dense layer behind them, and of the one before the units.
        dropout: behind both.
        width: of the recurrent units.
        depth: how many there are.
        recurrent_dropout: of the state of the terminal unit.
        predictor: widths of the layers that predict properties.
        predictor_dropout: of these.
        properties: that are predicted; 0 takes the number from the data, where it is asked for.
    """

    vocabulary: int = 0
    latent: int = 196
    channels: Sequence[int] = (9, 9, 10)
    kernels: Sequence[int] = (9, 9, 11)
    hidden: int = 196
    dropout: float = 0.083
    width: int = 488
    depth: int = 3
    recurrent_dropout: float = 0.196
    predictor: Sequence[int] = (67, 66, 65)
    predictor_dropout: float = 0.157
    properties: int = 0

    def setup(self) -> None:
        """Names the networks."""
        self.encoder = Encoder(self.channels, self.kernels, self.hidden, self.dropout)
        self.mean = nn.Dense(self.latent, kernel_init=GLOROT)
        self.log_var = nn.Dense(self.latent, kernel_init=GLOROT)
        self.writer = self._writer()
        self.predicts = Predictor(self.predictor, self.predictor_dropout, self.properties)

    def _writer(self) -> nn.Module:
        return RecurrentWriter(
            self.hidden,
            self.dropout,
            self.width,
            self.depth,
            self.recurrent_dropout,
            self.vocabulary,
        )

    def __call__(self, x: Text, size: tuple[int, ...], cond: Any = None) -> Draw:
        """See `nn.latents`."""
        draw = self.top_down(self.bottom_up(x), size)
        if self.is_initializing() and self.properties:
            self.predict(draw.z[0])
        return draw

    def bottom_up(self, x: Text, cond: Any = None) -> Reading:
        """The posterior, and the text itself."""
        h = self.encoder(x, self.vocabulary, self.has_rng("dropout"))
        return Reading(Normal(self.mean(h), 0.5 * self.log_var(h)), x)

    def top_down(
        self,
        h: Reading | None,
        size: tuple[int, ...],
        cond: Any = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """Theta of the text that was read, [B, T * words].

        Raises:
            ValueError: where none was: what is not written yet has `start` and `step`.
        """
        if h is None:
            raise ValueError("h=None: theta of a character needs those before it, see `step`")
        prior, known = standard_normal((size[0], self.latent)), given[0] if given else None
        rng = None if known is not None else self.make_rng("latent")
        group = draw_group(rng, prior, h.posterior, known, temperature)
        theta = self.writer(group.z, h.x, self.has_rng("dropout")).reshape(size)
        kl = () if group.kl is None else (group.kl,)
        return Draw(theta, (group.z,), kl, group.log_q, group.log_p, h.posterior)

    def predict(self, z: Codes) -> Rows:
        """Properties of means of posteriors, in the units of batches."""
        return self.predicts(z, self.has_rng("dropout"))

    def start(self, x: Text, head: Head, cond: Codes) -> None:
        """See `nn.heads.Causal`; what is given are the latents."""
        self.writer.start(cond, x.shape[1])

    def row(self, x: Text, i: Any, head: Head, cond: Codes) -> None:
        """A text has one row."""

    def step(self, x: Text, t: Any, head: Head, cond: Codes) -> Rows:
        """See `nn.heads.Causal`."""
        return self.writer.step(cond, x, t)


class TransformerMoleculeVAE(MoleculeVAE):
    """The same with causal attention in place of recurrent units: `width`, `depth`, and `heads`."""

    width: int = 128
    depth: int = 3
    heads: int = 4

    def _writer(self) -> nn.Module:
        return TransformerWriter(self.depth, self.width, self.heads, self.dropout, self.vocabulary)
