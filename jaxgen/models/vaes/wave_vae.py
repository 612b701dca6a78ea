"""The VQ-VAE of sounds: codes over time, and a WaveNet that is told them and who speaks.

Source: van den Oord et al. 2017, "Neural Discrete Representation Learning" (NeurIPS), section 4.3:
six convolutions of stride 2, a decoder after WaveNet, a one-hot speaker. Layers of the decoder: van
den Oord et al. 2016, "WaveNet: A Generative Model for Raw Audio", sections 2.1 to 2.5; what each
keeps of the past when it draws: Paine et al. 2016, "Fast Wavenet Generation Algorithm". The
features behind the last layer, which nothing uses there, are added to those of all layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from jaxgen.nn.arrays import Resized, Rows
from jaxgen.nn.codebook import check_quantizer, quantizer
from jaxgen.nn.codes import Coding, Map
from jaxgen.nn.conv import Conv
from jaxgen.nn.heads import Head

Steps = Float[Array, "b t c"]
Levels = Integer[Array, "b t one"]
Ids = Int[Array, "b rows columns groups"]


class Encoder(nn.Module):
    """Convolutions of four samples that halve a sound.

    Attributes:
        hidden: channels.
        halvings: convolutions.
        width: of the vectors.
    """

    hidden: int
    halvings: int
    width: int

    @nn.compact
    def __call__(self, x: Steps) -> Resized:
        """[B, T, 1] in [0, 1] -> [B, 1, T / 2^halvings, width]; lengths are rounded up."""
        h = 2 * x[:, None] - 1
        for i in range(self.halvings):
            h = nn.relu(Conv(self.hidden, (1, 4), strides=(1, 2), name=f"halve_{i}")(h))
        return Conv(self.width, (1, 1), name="last")(h)


class Layer(nn.Module):
    """A gated unit of this step and of one `dilation` steps ago.

    Attributes:
        dilation: steps.
        skip: channels that leave.
    """

    dilation: int
    skip: int

    @nn.compact
    def __call__(self, h: Steps, told: Array, t: Any = None) -> tuple[Steps, Array]:
        """Features of all steps, or of the step t alone, to these and what leaves.

        Args:
            h: [B, T, C], or [B, 1, C] with t.
            told: what is given, as many steps or one.
            t: int32 scalar; None for all steps.
        """
        width = h.shape[-1]
        both = nn.Dense(2 * width, name="now")(h)
        both += nn.Dense(2 * width, use_bias=False, name="before")(self._before(h, t))
        both += nn.Dense(2 * width, use_bias=False, name="told")(told)
        wave, gate = jnp.split(both, 2, axis=-1)
        unit = jnp.tanh(wave) * nn.sigmoid(gate)
        return h + nn.Dense(width, name="stays")(unit), nn.Dense(self.skip, name="leaves")(unit)

    def _before(self, h: Steps, t: Any) -> Steps:
        """Features of `dilation` steps ago; of one more are kept, so that a step may come again."""
        if t is None:
            return jnp.pad(h, ((0, 0), (self.dilation, 0), (0, 0)))[:, : h.shape[1]]
        size = self.dilation + 1
        queue = self.variable("cache", "queue", jnp.zeros, (h.shape[0], size, h.shape[2]), h.dtype)
        start = [jnp.asarray(i, jnp.int32) for i in (0, t % size, 0)]
        queue.value = jax.lax.dynamic_update_slice(queue.value, h, start)
        return jax.lax.dynamic_slice_in_dim(queue.value, (t + 1) % size, 1, axis=1)


class Stack(nn.Module):
    """A layer for each dilation.

    Attributes:
        dilations: of the layers.
        skip: see `Layer`.
    """

    dilations: Sequence[int]
    skip: int

    @nn.compact
    def __call__(
        self, carry: tuple[Array, Array], told: Array, t: Any
    ) -> tuple[tuple[Array, Array], None]:
        """Features, and the sum of what leaves."""
        h, left = carry
        for i, dilation in enumerate(self.dilations):
            h, more = Layer(dilation, self.skip, name=f"layer_{i}")(h, told, t)
            left += more
        return (h, left), None


class WaveNet(nn.Module):
    """Theta of each sample, given the samples before it, codes and the speaker.

    Attributes:
        stacks: how often the dilations come again.
        dilations: of the layers of a stack.
        width: channels.
        skip: channels that leave layers.
        levels: of samples.
        stride: samples of a code.
    """

    stacks: int
    dilations: Sequence[int]
    width: int
    skip: int
    levels: int
    stride: int

    @nn.compact
    def __call__(self, before: Levels, q: Array, cond: Any, width: int, t: Any = None) -> Array:
        """Theta [B, T, width] of all samples, or [B, 1, width] of number t.

        Args:
            before: the sample before each, [B, T, 1], or [B, 1, 1] with t; -1 before the first.
            q: vectors of codes, [B, T / stride, D].
            cond: rows of what is given, or None.
            width: of theta.
            t: int32 scalar; None for all samples.
        """
        known = before[..., 0] >= 0
        h = nn.Embed(self.levels, self.width, name="hears")(jnp.maximum(before[..., 0], 0))
        h = jnp.where(known[..., None], h, 0)
        if t is None:
            told = jnp.repeat(q, self.stride, axis=1)[:, : h.shape[1]]
        else:
            told = jax.lax.dynamic_slice_in_dim(q, t // self.stride, 1, axis=1)
        if cond is not None:
            rows = jnp.broadcast_to(cond[:, None], (*told.shape[:2], cond.shape[-1]))
            told = jnp.concatenate([told, rows], axis=-1)
        broadcast: Any = (nn.broadcast, nn.broadcast)
        stack = nn.scan(
            Stack,
            variable_axes={"params": 0, "cache": 0},
            split_rngs={"params": True},
            in_axes=broadcast,
            length=self.stacks,
        )(self.dilations, self.skip, name="stacks")
        (h, left), _ = stack((h, jnp.zeros((*h.shape[:2], self.skip), h.dtype)), told, t)
        h = nn.relu(left + nn.Dense(self.skip, use_bias=False, name="ends")(h))
        return nn.Dense(width, name="says")(nn.relu(nn.Dense(self.skip, name="thinks")(h)))


class WaveVQ(nn.Module):
    """One row of codes over time of a sound [T, 1]; see `nn.codes`.

    Theta of a sample depends on codes and on the samples before it. To draw, it has `start`, `row`
    and `step` of `nn.heads.Causal`, whose condition is the ids and what is given.

    Attributes:
        hidden: channels of the encoder.
        halvings: so many times codes are halved against samples.
        stacks: of the decoder, as the rest.
        dilations: see there.
        width: see there.
        skip: see there.
        levels: see there.
        quantizer: a section of `nn.codebook.quantizer`.
    """

    hidden: int = 128
    halvings: int = 6
    stacks: int = 4
    dilations: Sequence[int] = (1, 2, 4, 8, 16, 32)
    width: int = 32
    skip: int = 64
    levels: int = 256
    quantizer: Annotated[Mapping[str, Any], check_quantizer] = nn.FrozenDict(name="codebook")

    def setup(self) -> None:
        """Names the networks."""
        self.book = quantizer(self.quantizer)
        self.encoder = Encoder(self.hidden, self.halvings, self.book.dim)
        sizes = self.stacks, self.dilations, self.width, self.skip, self.levels
        self.decoder = WaveNet(*sizes, 2**self.halvings)

    @nn.nowrap
    def maps(self, shape: tuple[int, ...]) -> dict[str, Map]:
        """`codes`, of data [T, 1]."""
        book = quantizer(self.quantizer)
        return {"codes": Map(1, -(-shape[0] // 2**self.halvings), book.groups, book.codes)}

    def __call__(
        self, x: Steps, size: tuple[int, ...], cond: Rows | None = None, train: bool = False
    ) -> Coding:
        """[B, T, 1] in [0, 1] to theta of shape `size`, and the codes."""
        found = self.book(self.encoder(x), train)
        levels = jnp.rint(x * (self.levels - 1)).astype(jnp.int32)
        theta = self.decoder(_shifted(levels), found.q[:, 0], cond, size[-1])
        return Coding(theta, {"codes": found})

    def encode(self, x: Steps) -> dict[str, Ids]:
        """Ids, [B, 1, t, G]."""
        return {"codes": self.book(self.encoder(x)).ids}

    def decode(
        self, ids: dict[str, Ids], size: tuple[int, ...], cond: Rows | None, x: Levels
    ) -> Steps:
        """Theta of the levels x [B, T, 1], given ids."""
        q = self.book.lookup(ids["codes"])[:, 0]
        return self.decoder(_shifted(x.astype(jnp.int32)), q, cond, size[-1])

    def start(self, x: Levels, head: Head, cond: Any) -> None:
        """See `nn.heads.Causal`; keeps the vectors of the codes."""
        ids, _ = cond
        self.put_variable("cache", "q", self.book.lookup(ids["codes"])[:, 0])

    def row(self, x: Levels, i: Any, head: Head, cond: Any) -> None:
        """A sound has one row."""

    def step(self, x: Levels, t: Any, head: Head, cond: Any) -> Rows:
        """See `nn.heads.Causal`."""
        _, rows = cond
        before = jnp.take(x, jnp.maximum(t - 1, 0), axis=1).astype(jnp.int32)
        before = jnp.where(t > 0, before, -1)[:, None]
        return self.decoder(before, self.get_variable("cache", "q"), rows, head.width, t)[:, 0]


def _shifted(levels: Levels) -> Levels:
    """The level before each; -1 before the first."""
    return jnp.pad(levels[:, :-1], ((0, 0), (1, 0), (0, 0)), constant_values=-1)
