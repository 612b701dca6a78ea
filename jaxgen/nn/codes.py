"""Discrete codes: what models of them owe to methods, and quantisers without neighbours.

What models of discrete codes owe to the methods that train them: Flax modules with

    __call__(x, size, train=False, temperature=1.0) -> Coding
        x: [B, *shape], integer data brought to [0, 1]; `size`, [B, *theta], is the shape of theta.
    encode(x) -> {name: ids [B, h, w, G]}
    decode(ids, size) -> theta
    maps(shape) -> {name: Map}
        Of data of that shape, known without parameters.

A quantiser trains with `train=True`; what it moves without a gradient is the collection
"codebook", so that it is part of the state, of checkpoints, and equal on any mesh. Random keys are
those of the streams "codebook" and "dropout". In evaluation nothing moves and nothing is random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from jaxgen.nn.arrays import Batched, Features
from jaxgen.ops import quantize

VARS = "codebook"  # the collection, and the stream of random keys

Ids = Int[Array, "b *positions groups"]


class Quantized(NamedTuple):
    """What a quantiser makes of vectors [B, ..., D].

    Attributes:
        q: [B, ..., D], codes in their place, with the gradient of the vectors.
        ids: [B, ..., G] int32; G is 1 but for grouped and residual codes.
        loss: scalar, what the quantiser adds to a loss: see there.
        usage: [G, K], how many vectors of the batch chose each code.
        dead: [G], how many codes were hardly chosen lately.
    """

    q: Batched
    ids: Array
    loss: Array
    usage: Array
    dead: Array


class Coding(NamedTuple):
    """What a model makes of examples.

    Attributes:
        theta: parameters of the observation model.
        codes: name of a map of codes -> what its quantiser made.
    """

    theta: Batched
    codes: dict[str, Quantized]


class Map(NamedTuple):
    """A map of ids: [height, width, groups], each from 0 to codes - 1."""

    height: int
    width: int
    groups: int
    codes: int

    @property
    def nats(self) -> float:
        """Of one map where all ids are equally likely."""
        return self.height * self.width * self.groups * math.log(self.codes)


@runtime_checkable
class Tempered(Protocol):
    """A network that draws its codes in training, at a temperature: `tempered = True` in it."""

    tempered: bool


def check_dim(z: Array, dim: int) -> None:
    """Refuses vectors [..., D] of another D.

    Raises:
        ValueError: naming both.
    """
    if z.shape[-1] != dim:
        raise ValueError(f"vectors of {z.shape[-1]} numbers, expected {dim}")


class Counted(nn.Module):
    """Counts how codes are used, where no codebook does.

    Attributes:
        codes: K.
        decay: of the averages of counts.
        least: as of `Codebook`.
    """

    codes: int
    decay: float
    least: float

    @nn.compact
    def __call__(self, ids: Array, train: bool) -> tuple[Array, Array]:
        """Ids [N] to the usage [1, K] of a `Quantized`, and its dead [1]."""
        counts = self.variable(VARS, "counts", jnp.zeros, self.codes)
        usage = quantize.count(ids, self.codes)
        if train and not self.is_initializing():
            counts.value += (1 - self.decay) * (usage - counts.value)
        dead = jnp.sum(quantize.dead_codes(counts.value, self.least))
        return usage[None], dead[None]


class FSQ(nn.Module):
    """Each number of a vector rounded to one of a few levels: codes without a codebook.

    There is no loss and nothing to collapse; codes may be idle all the same.

    Source: Mentzer et al. 2024, Finite scalar quantization; see `ops.quantize.finite_scalars`.

    Attributes:
        levels: of each number of the vectors; their product is K.
        decay: of the counts that say which codes are dead.
        least: as of `Codebook`.
    """

    levels: Sequence[int] = (8, 5, 5, 5)
    decay: float = 0.99
    least: float = 0.03

    groups = 1

    def __post_init__(self) -> None:
        """Checks the levels."""
        super().__post_init__()
        quantize.check_levels(self.levels)

    @property
    def dim(self) -> int:
        """D."""
        return len(self.levels)

    @property
    def codes(self) -> int:
        """K."""
        return math.prod(self.levels)

    @nn.compact
    def __call__(self, z: Features, train: bool = False) -> Quantized:
        """[B, ..., D] to codes."""
        check_dim(z, self.dim)
        q = quantize.finite_scalars(z, self.levels)
        ids = quantize.scalar_ids(q, self.levels)
        usage, dead = Counted(self.codes, self.decay, self.least)(ids.reshape(-1), train)
        return Quantized(q.astype(z.dtype), ids[..., None], jnp.float32(0), usage, dead)

    def lookup(self, ids: Ids) -> Features:
        """[B, ..., 1] -> [B, ..., D]."""
        return quantize.scalars_of(ids[..., 0], self.levels)


class GumbelCodebook(nn.Module):
    """Vectors are logits of codes: in training a softened draw, in evaluation the likeliest.

    `loss` is KL(q || uniform) of an image, in nats, averaged over the batch.

    Source: Ramesh et al. 2021, Zero-shot text-to-image generation, section 2.1.

    Attributes:
        codes: K.
        width: of the vectors that stand for codes; 0 gives the weights of the codes themselves.
        hard: one-hot draws in training, too, with the gradient of the weights.
        decay: of the counts that say which codes are dead.
        least: as of `Codebook`.
    """

    codes: int = 512
    width: int = 64
    hard: bool = False
    decay: float = 0.99
    least: float = 0.03

    groups = 1

    @property
    def dim(self) -> int:
        """Of the logits."""
        return self.codes

    def setup(self) -> None:
        """The vectors and the counts."""
        self.counted = Counted(self.codes, self.decay, self.least)
        if self.width:
            init = nn.initializers.variance_scaling(1.0, "fan_in", "normal")
            self.table = self.param("table", init, (self.codes, self.width))

    def __call__(self, z: Features, train: bool = False, temperature: Any = 1.0) -> Quantized:
        """[B, ..., K] logits to codes; training draws at the temperature."""
        check_dim(z, self.codes)
        ids = jnp.argmax(z, -1).astype(jnp.int32)
        if train:
            weights = quantize.gumbel_softmax(self.make_rng(VARS), z, temperature, self.hard)
        else:
            weights = jax.nn.one_hot(ids, self.codes)
        usage, dead = self.counted(ids.reshape(-1), train)
        loss = jnp.mean(quantize.kl_to_uniform(z))
        return Quantized(self._coded(weights).astype(z.dtype), ids[..., None], loss, usage, dead)

    def _coded(self, weights: Array) -> Array:
        """[..., K] -> [..., width]."""
        return weights @ self.table if self.width else weights

    def lookup(self, ids: Ids) -> Features:
        """[B, ..., 1] -> [B, ..., width]; of vectors NaN for an id that there is not."""
        if self.width:
            return jnp.take(self.table, ids[..., 0], axis=0)
        return jax.nn.one_hot(ids[..., 0], self.codes)
