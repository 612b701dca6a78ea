"""Codebooks: the nearest of K vectors stands for a vector; several of them in parts or in turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from jaxgen.config import ConfigError, check_named
from jaxgen.nn.arrays import Features
from jaxgen.nn.codes import FSQ, VARS, Ids, Quantized, check_dim
from jaxgen.ops import quantize
from jaxgen.ops.quantize import Averages

LEARNED = ("averages", "gradient")
STARTS = ("uniform", "narrow", "kmeans")


class Codebook(nn.Module):
    """K vectors, the nearest of which stands for a vector.

    `loss` is the commitment, and with `learned="gradient"` the codebook's own distance. Codes are
    looked for before they move.

    Source: van den Oord et al. 2017, Neural discrete representation learning, section 3.2,
    equation 3 and appendix A.1; Sonnet v2, `nets/vqvae.py`, for means where the paper has sums.
    `cosine`: Yu et al. 2022, Vector-quantized image modeling with improved VQGAN, section 3.2.

    Attributes:
        codes: K.
        dim: D.
        commitment: weight beta of the mean squared distance that moves the vectors.
        learned: "averages": codes are exponential averages of their vectors; "gradient": they move
            down the gradient of their mean squared distance.
        decay: of the averages, and of the counts that say which codes are dead.
        start: "uniform" as Sonnet's, "narrow" as VQGAN's, in [-1 / K, 1 / K], or "kmeans",
            centres of the first batch.
        revive: a dead code becomes a vector of the batch; of averages alone.
        revive_steps: updates after which none is revived any more; 0 for no end.
        least: a code is dead below this share of the count that it had if all were alike.
        cosine: vectors and codes have length one.
    """

    codes: int = 512
    dim: int = 64
    commitment: float = 0.25
    learned: str = "averages"
    decay: float = 0.99
    start: str = "uniform"
    revive: bool = False
    revive_steps: int = 0
    least: float = 0.03
    cosine: bool = False

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        _check_choice("learned", self.learned, LEARNED)
        _check_choice("start", self.start, STARTS)
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay={self.decay}, expected 0 or more, and less than 1")
        if self.revive and self.learned == "gradient":
            raise ValueError("revive=True is of learned='averages': here a gradient moves codes")

    @property
    def groups(self) -> int:
        """G."""
        return 1

    @nn.compact
    def _parts(self, z: Array | None) -> tuple[Array, Any, Any]:
        """The codes [K, D], the variable that holds them, if one does, and their averages."""

        def begin(rng: Any) -> Array:
            if self.start == "kmeans" and z is not None:
                return quantize.kmeans(rng, z, self.codes)
            if self.start == "narrow":
                most = 1 / self.codes
                return jax.random.uniform(rng, (self.codes, self.dim), minval=-most, maxval=most)
            init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform", in_axis=1, out_axis=0)
            return init(rng, (self.codes, self.dim))

        averages = self.variable(
            VARS, "averages", lambda: quantize.starting_averages(self.codes, self.dim)
        )
        if self.learned == "gradient":
            return self._coded(self.param("table", begin)), None, averages
        table = self.variable(VARS, "table", lambda: begin(self.make_rng("params")))
        return self._coded(table.value), table, averages

    def _coded(self, x: Array) -> Array:
        """Vectors as they are compared."""
        return quantize.unit(x) if self.cosine else x

    def __call__(self, z: Features, train: bool = False) -> Quantized:
        """[B, ..., D] to codes."""
        check_dim(z, self.dim)
        flat = self._coded(quantize.wide(z).reshape(-1, self.dim))
        table, variable, averages = self._parts(flat)
        ids = quantize.nearest(flat, table)
        chosen = quantize.one_hot(ids, self.codes)
        q = table[ids]
        loss = self.commitment * quantize.commitment_loss(flat, q)
        if self.learned == "gradient":
            loss = loss + quantize.codebook_loss(flat, q)
        counts = averages.value.counts
        if train and not self.is_initializing():
            counts = self._move(lax.stop_gradient(flat), chosen, variable, averages)
        found = quantize.straight_through(flat, q).reshape(z.shape).astype(z.dtype)
        dead = jnp.sum(quantize.dead_codes(counts, self.least))
        usage = jnp.sum(chosen, 0)[None]
        return Quantized(found, ids.reshape(*z.shape[:-1], 1), loss, usage, dead[None])

    def _move(self, z: Array, chosen: Array, variable: Any, averages: Any) -> Array:
        """Moves the averages, and the codes that they are; gives the counts before any revival."""
        now: Averages = averages.value.update(z, chosen, self.decay)
        counts = now.counts
        if variable is not None:
            table = self._coded(now.table(variable.value, self.decay))
            if self.revive:
                dead = quantize.dead_codes(counts, self.least)
                if self.revive_steps:
                    dead &= now.updates <= self.revive_steps
                table = quantize.revive(self.make_rng(VARS), z, table, dead)
                # for so many updates that the count halves in, it is given time to be chosen
                now = now.revived(dead, table, 2 * self.least * jnp.mean(counts))
            variable.value = table
        averages.value = now
        return counts

    def lookup(self, ids: Ids) -> Features:
        """[B, ..., 1] -> [B, ..., D]; NaN for an id that there is not."""
        return jnp.take(self._parts(None)[0], ids[..., 0], axis=0)


def _each(book: Codebook, ids: Array) -> Array:
    """Codes of [B, ..., G], [G, B, ..., D], of a book whose variables have an axis of groups."""
    look = _mapped(lambda book, ids: book.lookup(ids))
    return look(book, jnp.moveaxis(ids[..., None], -2, 0))


def _mapped(function: Any) -> Any:
    """Over a leading axis of arguments and variables."""
    split: Any = {"params": True, VARS: True}
    return nn.vmap(function, variable_axes={"params": 0, VARS: 0}, split_rngs=split)


def _joined(q: Array, found: Quantized, loss: Array) -> Quantized:
    """Of groups, which are the leading axis."""
    ids = jnp.moveaxis(found.ids[..., 0], 0, -1)
    return Quantized(q, ids, loss, found.usage[:, 0], found.dead[:, 0])


class GroupedCodebook(nn.Module):
    """Vectors in G parts of equal size, each with a codebook of its own.

    `loss` is the mean of the parts'.

    Source: Baevski et al. 2020, vq-wav2vec, section 3.3, codebooks that are not shared.

    Attributes:
        book: the codebook of each part.
        groups: G.
    """

    book: Codebook
    groups: int = 2

    @property
    def dim(self) -> int:
        """Of the whole vectors."""
        return self.groups * self.book.dim

    @property
    def codes(self) -> int:
        """K of each."""
        return self.book.codes

    def __call__(self, z: Features, train: bool = False) -> Quantized:
        """[B, ..., D] to codes."""
        check_dim(z, self.dim)
        parts = jnp.moveaxis(z.reshape(*z.shape[:-1], self.groups, -1), -2, 0)
        found: Quantized = _mapped(lambda book, z: book(z, train))(self.book, parts)
        q = jnp.moveaxis(found.q, 0, -2).reshape(z.shape)
        return _joined(q, found, jnp.mean(found.loss))

    def lookup(self, ids: Ids) -> Features:
        """[B, ..., G] -> [B, ..., D]."""
        return jnp.moveaxis(_each(self.book, ids), 0, -2).reshape(*ids.shape[:-1], self.dim)


class ResidualCodebook(nn.Module):
    """Codes one after the other, each of what those before it leave; their sum stands for a vector.

    `loss` is the sum of all.

    Source: Zeghidour et al. 2021, SoundStream, section III-C, algorithm 1.

    Attributes:
        book: each codebook.
        groups: G, codes a vector.
    """

    book: Codebook
    groups: int = 2

    def __post_init__(self) -> None:
        """Checks the options."""
        super().__post_init__()
        if self.book.cosine:
            raise ValueError("cosine=True: what codes of length one leave has no such length")

    @property
    def dim(self) -> int:
        """D."""
        return self.book.dim

    @property
    def codes(self) -> int:
        """K of each."""
        return self.book.codes

    def __call__(self, z: Features, train: bool = False) -> Quantized:
        """[B, ..., D] to codes."""

        def step(book: Codebook, rest: Array) -> tuple[Array, Quantized]:
            found = book(rest, train)
            return rest - lax.stop_gradient(found.q), found

        over = nn.scan(
            step,
            variable_axes={"params": 0, VARS: 0},
            split_rngs={"params": True, VARS: True},
            length=self.groups,
        )
        rest, found = over(self.book, z)
        q = quantize.straight_through(z, z - rest)
        return _joined(q, found, jnp.sum(found.loss))

    def lookup(self, ids: Ids) -> Features:
        """[B, ..., G] -> [B, ..., D]."""
        return jnp.sum(_each(self.book, ids), 0)


Quantizer = Codebook | GroupedCodebook | ResidualCodebook | FSQ


def _check_choice(option: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f"{option}={value!r}, expected one of {tuple(known)}")


def _many(kind: Any) -> Any:
    def make(groups: int = 2, **book: Any) -> Any:
        return kind(Codebook(**book), groups)

    return make


MAKE = {
    "codebook": Codebook,
    "grouped": _many(GroupedCodebook),
    "residual": _many(ResidualCodebook),
    "fsq": FSQ,
}


def quantizer(section: Mapping[str, Any]) -> Quantizer:
    """The quantiser that a section of a config describes.

    Args:
        section: `name`, "codebook", "grouped", "residual" or "fsq", and the options of that class;
            of the second and third `groups`, and the options of each `Codebook`.

    Raises:
        ConfigError: for a name or an option that there is not, or a value that cannot be.
    """
    options = dict(section)
    name = options.pop("name", None)
    own = {"groups": int} if name in ("grouped", "residual") else {}
    known = {k: FSQ if k == "fsq" else Codebook for k in MAKE}
    check_named(known, str(name), options, "model.quantizer", own)
    try:
        return MAKE[str(name)](**options)
    except ValueError as error:
        raise ConfigError(f"config.model.quantizer: {error}") from None


def check_quantizer(section: Mapping[str, Any], where: str = "config.model.quantizer") -> None:
    """Refuses a section that describes none: see `quantizer`.

    Raises:
        ConfigError: naming the first option.
    """
    quantizer(section)
