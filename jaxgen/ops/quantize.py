"""Vectors to integers and back: nearest codes, their averages and starts, finite scalars, Gumbel.

Vectors are [N, D], a codebook is [K, D], the id of a code is an integer from 0 to K - 1. Distances,
sums and losses are float32 or wider, whatever the vectors are. Sums are over all that is given: of
a batch that is sharded under `jax.jit` they are of the global batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxgen.ops import gumbel

Vectors = Float[Array, "n d"]
Table = Float[Array, "k d"]
Ids = Int[Array, " n"]
Counts = Float[Array, " k"]
Scalar = Float[Array, ""]
Key = Any

BEYOND = 1e-3  # of finite scalars: what the bound leaves to the outermost roundings


def wide(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """In float32 or wider."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def squared_distances(z: Vectors, table: Table) -> Float[Array, "n k"]:
    """|z_n - e_k|^2, [N, K], never negative.

    Both are moved by the mean of the codes first: that changes no distance, and lengths that are
    far above all distances would leave none of these in float32.
    """
    z, table = wide(z), wide(table)
    middle = jnp.mean(table, axis=0, keepdims=True)
    z, table = z - middle, table - middle
    product = jnp.matmul(z, table.T, precision=lax.Precision.HIGHEST)
    lengths = jnp.sum(jnp.square(z), -1)[:, None] + jnp.sum(jnp.square(table), -1)[None]
    return jnp.maximum(lengths - 2 * product, 0.0)


def nearest(z: Vectors, table: Table) -> Ids:
    """Ids of the nearest codes, [N] int32; the lowest of those that are equally near."""
    return jnp.argmin(squared_distances(z, table), axis=-1).astype(jnp.int32)


def straight_through(
    z: Float[Array, "*shape"], q: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """q, with the gradient of z.

    Source: Bengio et al. 2013, Estimating or propagating gradients through stochastic neurons,
    section 4; van den Oord et al. 2017, Neural discrete representation learning, section 3.2.
    """
    return z + lax.stop_gradient(q - z)


def commitment_loss(z: Float[Array, "*shape"], q: Float[Array, "*shape"]) -> Scalar:
    """Mean squared distance of vectors to their codes, which moves the vectors alone."""
    return jnp.mean(jnp.square(wide(z) - lax.stop_gradient(wide(q))))


def codebook_loss(z: Float[Array, "*shape"], q: Float[Array, "*shape"]) -> Scalar:
    """The same, which moves the codes alone."""
    return jnp.mean(jnp.square(lax.stop_gradient(wide(z)) - wide(q)))


def unit(x: Float[Array, "*shape d"]) -> Float[Array, "*shape d"]:
    """Vectors of length one: between them the nearest code is that of the largest cosine."""
    length = jnp.sqrt(jnp.sum(jnp.square(wide(x)), -1, keepdims=True) + 1e-12)
    return (wide(x) / length).astype(x.dtype)


def one_hot(ids: Ids, codes: int) -> Float[Array, "n k"]:
    """[N, K] float32."""
    return jax.nn.one_hot(ids, codes, dtype=jnp.float32)


def count(ids: Ids, codes: int) -> Counts:
    """How often each id is there, [K]; without the [N, K] that one-hot codes take."""
    return jnp.zeros(codes).at[ids].add(1.0)


def perplexity(counts: Float[Array, "*groups k"]) -> Float[Array, "*groups"]:
    """exp of the entropy of how codes are used: K for all alike, 1 for one alone; 1 for none."""
    share = counts / jnp.maximum(jnp.sum(counts, -1, keepdims=True), 1e-30)
    return jnp.exp(-jnp.sum(jax.scipy.special.xlogy(share, share), -1))


def used_share(counts: Float[Array, "*groups k"]) -> Float[Array, "*groups"]:
    """Share of the codes that were chosen at all."""
    return jnp.mean((counts > 0).astype(jnp.float32), -1)


def dead_codes(counts: Counts, least: float) -> Bool[Array, " k"]:
    """Codes chosen by less than `least` times their even share, that of all codes alike."""
    return counts < least * jnp.mean(counts)


class Averages(NamedTuple):
    """Exponential averages that began at zero, not yet divided by 1 - decay^updates.

    Attributes:
        counts: [K], of vectors a code.
        sums: [K, D], of the vectors of a code.
        updates: int32 scalar, how many went in.
    """

    counts: Counts
    sums: Table
    updates: Int[Array, ""]

    def update(self, z: Vectors, chosen: Float[Array, "n k"], decay: float) -> Averages:
        """With a batch more.

        Args:
            z: vectors.
            chosen: one-hot codes of them.
            decay: share of the averages that is kept.
        """
        sums = jnp.matmul(chosen.T, wide(z), precision=lax.Precision.HIGHEST)
        return Averages(
            self.counts + (1 - decay) * (jnp.sum(chosen, 0) - self.counts),
            self.sums + (1 - decay) * (sums - self.sums),
            self.updates + 1,
        )

    def share(self, decay: float) -> Scalar:
        """1 - decay^updates: what the averages hold of a constant; after an update at least."""
        rate = math.log(decay) if decay else -math.inf
        return -jnp.expm1(rate * jnp.maximum(self.updates, 1).astype(jnp.float32))

    def table(self, before: Table, decay: float, eps: float = 1e-5) -> Table:
        """The codes: means of their vectors, with counts smoothed as by Laplace.

        A code that no vector has chosen yet stays as it was before; in Sonnet it falls to the
        origin at the first update.

        Source: van den Oord et al. 2017, appendix A.1; Sonnet v2, `nets/vqvae.py`, for debiasing
        and smoothing: (N_k + eps) / (n + K eps) n, with n the sum of all N_k.

        Args:
            before: the codes until now.
            decay: as of `update`.
            eps: of the smoothing.
        """
        share = self.share(decay)
        counts = self.counts / share
        total = jnp.sum(counts)
        smooth = (counts + eps) / (total + len(counts) * eps) * total
        means = self.sums / share / jnp.maximum(smooth, 1e-30)[:, None]
        return jnp.where((self.counts > 0)[:, None], means, before)

    def revived(self, dead: Bool[Array, " k"], table: Table, count: Scalar) -> Averages:
        """With the averages of dead codes as if so many vectors had chosen each, all like itself.

        Args:
            dead: which.
            table: codes, the new vectors of the dead ones among them.
            count: as it stands in the averages, not yet divided.
        """
        return Averages(
            jnp.where(dead, count, self.counts),
            jnp.where(dead[:, None], count * table, self.sums),
            self.updates,
        )


def starting_averages(codes: int, dim: int) -> Averages:
    """Of nothing yet."""
    return Averages(jnp.zeros(codes), jnp.zeros((codes, dim)), jnp.zeros((), jnp.int32))


def revive(rng: Key, z: Vectors, table: Table, dead: Bool[Array, " k"]) -> Table:
    """Codes of which the dead are vectors of the batch, no two of them the same one.

    Where there are fewer vectors than codes, some are.

    Source: Zeghidour et al. 2021, SoundStream, section III-C; Dhariwal et al. 2020, Jukebox,
    section 3.1, random restarts.
    """
    rows = jnp.resize(jax.random.permutation(rng, len(z)), (len(table),))
    return jnp.where(dead[:, None], wide(z)[rows], table)


def kmeans(rng: Key, z: Vectors, codes: int, iterations: int = 10) -> Table:
    """Centres of [N, D], [K, D]: drawn far apart, then moved to the means of their vectors.

    With fewer different vectors than codes some centres are equal. A centre without vectors stays.

    Source: Arthur & Vassilvitskii 2007, k-means++, section 2.2.

    Args:
        rng: a key.
        z: vectors.
        codes: K.
        iterations: of Lloyd's.
    """
    z = wide(z)

    def draw(k: Array, found: tuple[Array, Array]) -> tuple[Array, Array]:
        centres, distance = found
        row = jax.random.categorical(jax.random.fold_in(rng, k), jnp.log(distance))
        centre = z[row]
        far = jnp.sum(jnp.square(z - centre[None]), -1)
        return centres.at[k].set(centre), jnp.minimum(distance, far)

    def lloyd(_: Array, centres: Array) -> Array:
        chosen = one_hot(nearest(z, centres), codes)
        count = jnp.sum(chosen, 0)[:, None]
        sums = jnp.matmul(chosen.T, z, precision=lax.Precision.HIGHEST)
        return jnp.where(count > 0, sums / jnp.maximum(count, 1.0), centres)

    most = jnp.full(len(z), jnp.finfo(z.dtype).max)  # all alike, and more than any
    start = (jnp.zeros((codes, z.shape[1]), z.dtype), most)
    centres, _ = lax.fori_loop(0, codes, draw, start)
    return lax.fori_loop(0, iterations, lloyd, centres)


def check_levels(levels: Sequence[int]) -> None:
    """Refuses levels of finite scalars that are none.

    Raises:
        ValueError: for no levels, or fewer than two of a number.
    """
    if not levels or min(levels) < 2:
        raise ValueError(f"levels={tuple(levels)}, expected numbers of 2 or more, as 8,5,5,5")


def finite_scalars(z: Float[Array, "*shape d"], levels: Sequence[int]) -> Float[Array, "*shape d"]:
    """Each of D numbers to one of its L_i levels, evenly spaced from -1, straight-through.

    The number is bounded by tanh, of which even L_i see an interval that is not symmetric: L_i / 2
    levels are below zero, one is zero.

    Source: Mentzer et al. 2024, Finite scalar quantization, section 3.1; the shift is the tangent
    of the official notebook (google-research/fsq), which is finite for two levels, too.

    Args:
        z: [..., D].
        levels: L_i.
    """
    check_levels(levels)
    many = jnp.asarray(levels, jnp.float32)
    half = (many - 1) * (1 - BEYOND) / 2
    offset = jnp.where(many % 2 == 0, 0.5, 0.0)
    z = wide(z)
    bounded = jnp.tanh(z + _along(jnp.tan(offset / half), z)) * _along(half, z) - _along(offset, z)
    rounded = straight_through(bounded, jnp.round(bounded))
    return rounded / _along(many // 2, z)


def _along(v: Array, z: Array) -> Array:
    """[D] with the rank of z."""
    return v.reshape((1,) * (z.ndim - 1) + (-1,))


def _basis(levels: Sequence[int]) -> list[int]:
    """What a step of each number adds to the id: 1, L_1, L_1 L_2, ..."""
    return [math.prod(levels[:i]) for i in range(len(levels))]


def scalar_ids(q: Float[Array, "*shape d"], levels: Sequence[int]) -> Int[Array, "*shape"]:
    """Ids of the values of `finite_scalars`, from 0 to the product of the levels."""
    half = _along(jnp.asarray([n // 2 for n in levels], jnp.float32), q)
    steps = jnp.round(wide(q) * half + half).astype(jnp.int32)
    return jnp.sum(steps * _along(jnp.asarray(_basis(levels), jnp.int32), q), -1)


def scalars_of(ids: Int[Array, "*shape"], levels: Sequence[int]) -> Float[Array, "*shape d"]:
    """The inverse of `scalar_ids`."""
    parts = [ids // step % n for step, n in zip(_basis(levels), levels, strict=True)]
    values = [
        (part - n // 2).astype(jnp.float32) / (n // 2)
        for part, n in zip(parts, levels, strict=True)
    ]
    return jnp.stack(values, -1)


def gumbel_softmax(
    rng: Key, logits: Float[Array, "*shape k"], temperature: Any, hard: bool = False
) -> Float[Array, "*shape k"]:
    """A draw of softmax((logits + Gumbel noise) / temperature), the weights of codes.

    As the temperature falls to zero it becomes one-hot, code k with the probability softmax(logits)
    gives it.

    Source: Jang et al. 2017, Categorical reparameterization with Gumbel-softmax, equation 2;
    section 2.2 for `hard`.

    Args:
        rng: a key.
        logits: [..., K].
        temperature: above zero.
        hard: one-hot, with the gradient of the weights.
    """
    logits = wide(logits)
    noise = jax.random.gumbel(rng, logits.shape, logits.dtype)
    if hard:
        return gumbel.straight_through(logits, noise, temperature)
    return jax.nn.softmax((logits + noise) / temperature)


def kl_to_uniform(logits: Float[Array, "b *positions k"]) -> Float[Array, " b"]:
    """KL(softmax(logits) || uniform) of an example, [B], in nats: summed over its positions.

    Source: Ramesh et al. 2021, Zero-shot text-to-image generation, section 2.1.
    """
    log_p = jax.nn.log_softmax(wide(logits))
    each = jnp.sum(jnp.exp(log_p) * log_p, -1) + math.log(logits.shape[-1])
    return jnp.sum(each.reshape(len(logits), -1), -1)
