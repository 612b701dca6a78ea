"""PixelSNAIL: one stream of gated residual blocks, and between them attention over all before.

Source: Chen, Mishra, Rohaninejad & Abbeel 2018, "PixelSNAIL: An Improved Autoregressive Generative
Model" (ICML), section 2, and the official code (neocxi/pixelsnail-public, `h12_noup_smallkey`),
which we follow: a position attends to those before it and not to itself, so that the first one gets
zeros; keys and values see the position's own values, which those after it may. Unlike in the code,
weight normalisation starts without dropout. Its coordinates come once for each channel of the
image, and so do ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.causal_conv import Canvas, CausalConv, Place, cut, entries, given_at, repeated
from jaxgen.nn.condition import Condition
from jaxgen.nn.gated_resnet import GatedResnet
from jaxgen.nn.heads import Causal, Head
from jaxgen.nn.weight_norm import WeightNormDense

Queries = Float[Array, "b n k"]
Keys = Float[Array, "b m k"]
Values = Float[Array, "b m c"]
Found = Float[Array, "b n c"]


class Sides(NamedTuple):
    """What the blocks see beside the stream.

    Of the whole image; or `here` and `cond` at a position, and the others at the one before it.

    Attributes:
        image: [B, h, w, C].
        before: coordinates, as many channels twice.
        here: the same.
        cond: what the network is given, or None.
        cond_before: the same.
    """

    image: Any
    before: Any
    here: Any
    cond: Any
    cond_before: Any


def attend(query: Queries, key: Keys, value: Values, mask: Any) -> Found:
    """Values weighted by the softmax of query . key / sqrt(k); zeros where the mask has nothing.

    Args:
        query: queries.
        key: keys.
        value: values.
        mask: bool, broadcast to [b, n, m]: which key a query sees.
    """
    dot = jnp.einsum("bnk,bmk->bnm", query, key) * query.shape[-1] ** -0.5
    dot = jnp.where(mask, dot, -1e10)
    weights = jnp.where(mask, jnp.exp(dot - jnp.max(dot, axis=-1, keepdims=True)), 0.0)
    weights = weights / (jnp.sum(weights, axis=-1, keepdims=True) + 1e-6)
    return jnp.einsum("bnm,bmc->bnc", weights, value)


class Resnet(nn.Module):
    """A block of the stream, in a scan."""

    dropout: float
    nonlinearity: str

    @nn.compact
    def __call__(self, h: Images, cond: Any, place: Place | None) -> tuple[Images, None]:
        """[B, h, w, C] to the same."""
        block = GatedResnet("down_right", self.dropout, self.nonlinearity, name="block")
        return block(h, None, cond, place), None


class Block(nn.Module):
    """Residual blocks, attention, and what a pointwise block makes of both.

    Attributes:
        resnets: number of residual blocks.
        key_width: channels of a key.
        dropout: see `PixelSNAIL`.
        nonlinearity: see there.
        size: height and width of the image.
    """

    resnets: int
    key_width: int
    dropout: float
    nonlinearity: str
    size: tuple[int, int]

    @nn.compact
    def __call__(self, h: Images, sides: Sides, place: Place | None) -> tuple[Images, None]:
        """[B, h, w, C] to the same."""
        run = repeated(Resnet, self.resnets, "store")(
            self.dropout, self.nonlinearity, name="resnets"
        )
        h, _ = run(h, sides.cond, place)
        if place is None:
            n = self.size[0] * self.size[1]
            mixed = attend(
                self._query(h, sides), *self._content(h, sides), jnp.tri(n, n, -1, dtype=bool)
            )
        else:
            mixed = self._attended(h, sides, place)
        return self._point("merge")(h, mixed.reshape(*h.shape[:3], -1), sides.cond), None

    def _point(self, name: str) -> GatedResnet:
        return GatedResnet("point", self.dropout, self.nonlinearity, name=name)

    def _query(self, h: Images, sides: Sides) -> Batched:
        seen = jnp.concatenate(
            [h, jnp.broadcast_to(sides.here, (*h.shape[:3], sides.here.shape[-1]))], -1
        )
        q = WeightNormDense(self.key_width, name="query_out")(
            self._point("query")(seen, None, sides.cond)
        )
        return q.reshape(h.shape[0], -1, self.key_width)

    def _content(self, h: Images, sides: Sides) -> tuple[Batched, Batched]:
        """Keys and values."""
        where = jnp.broadcast_to(sides.before, (*h.shape[:3], sides.before.shape[-1]))
        seen = jnp.concatenate([sides.image, h, where], axis=-1)
        made = self._point("content")(seen, None, sides.cond_before)
        features = h.shape[-1] // 2 + self.key_width
        made = WeightNormDense(features, name="content_out")(made).reshape(h.shape[0], -1, features)
        return made[..., : self.key_width], made[..., self.key_width :]

    def _attended(self, h: Images, sides: Sides, place: Place) -> Batched:
        """At a position; first it makes key and value of the one before, whose value is now known.

        The stream is kept of two positions, so that this may be called again for the same one.
        """
        t, n = place.row * place.width + place.column, self.size[0] * self.size[1]
        stream = self.variable("cache", "stream", jnp.zeros, (h.shape[0], 2, 1, h.shape[-1]))
        before = jax.lax.dynamic_slice_in_dim(stream.value, (t - 1) % 2, 1, axis=1)
        stream.value = jax.lax.dynamic_update_slice_in_dim(stream.value, h, t % 2, axis=1)
        made = self._content(before, sides)
        kept = [
            self.variable("cache", name, jnp.zeros, (h.shape[0], n, v.shape[-1]))
            for name, v in zip(("keys", "values"), made, strict=True)
        ]
        for old, new in zip(kept, made, strict=True):
            at = jnp.maximum(t - 1, 0)
            old.value = jax.lax.dynamic_update_slice_in_dim(old.value, new, at, axis=1)
        return attend(self._query(h, sides), kept[0].value, kept[1].value, jnp.arange(n) < t)


class PixelSNAIL(Causal):
    """The network.

    Attributes:
        width: channels of the stream.
        blocks: with attention.
        resnets: residual blocks in each.
        key_width: channels of a key.
        dropout: share of the channels inside of the residual blocks that training leaves out.
        nonlinearity: "elu", or "concat_elu".
        memory: "store" keeps all activations for the backward pass, "remat" one per block.
        one_hot: x is given as zeros and a one for each value, as codes want it.
    """

    width: int = 256
    blocks: int = 12
    resnets: int = 4
    key_width: int = 16
    dropout: float = 0.5
    nonlinearity: str = "elu"
    memory: str = "store"
    one_hot: bool = False

    def __call__(
        self, x: Canvas, head: Head, cond: Condition | None = None, *, train: bool = False
    ) -> Resized:
        """theta [B, H, W, head.width], of each position given those before it.

        Args:
            x: [B, H, W, C] integers 0 .. head.values - 1.
            head: sizes.
            cond: what all positions are given, [B, K], or a map [B, H, W, K].
            train: with dropout, which draws from "dropout".
        """
        return self._theta(x, head, cond, None, self.dropout if train else 0.0)

    def step(self, x: Canvas, t: Any, head: Head, cond: Condition | None = None) -> Array:
        """theta [B, head.width] at position t in raster order; x is 0 where nothing is yet."""
        width = x.shape[2]
        place = Place(t // width, t % width, width)
        return self._theta(x, head, cond, place, 0.0)[:, 0, 0]

    @nn.compact
    def _theta(
        self, x: Canvas, head: Head, cond: Condition | None, place: Place | None, dropout: float
    ) -> Resized:
        image, size = entries(x, head.values, self.one_hot), x.shape[1:3]
        padded = jnp.concatenate([image, jnp.ones_like(image[..., :1])], axis=-1)
        row = CausalConv(self.width, (1, 3), 1, shift=(1, 0), std=1.0, name="row_above")
        left = CausalConv(self.width, (2, 1), 0, shift=(0, 1), std=1.0, name="left")
        h = row(padded, place, True) + left(padded, place, True)
        options = self.resnets, self.key_width, dropout, self.nonlinearity, size
        blocks = repeated(Block, self.blocks, self.memory)(*options, name="blocks")
        h, _ = blocks(h, sides_of(image, x.shape[-1], cond, place), place)
        return WeightNormDense(head.width, name="theta")(nn.elu(h)).astype(jnp.result_type(float))


def sides_of(image: Images, channels: int, cond: Condition | None, place: Place | None) -> Sides:
    """See `Sides`; where a position is, is said once for each channel of the data."""
    _, height, width, _ = image.shape
    rows = (jnp.arange(height) / height - 0.5)[:, None, None]
    columns = (jnp.arange(width) / width - 0.5)[None, :, None]
    both = jnp.broadcast_arrays(rows, columns)
    where = jnp.concatenate([jnp.repeat(v, channels, axis=-1) for v in both], axis=-1)[None]
    before = place
    if place is not None:
        t = jnp.maximum(place.row * width + place.column - 1, 0)
        before = Place(t // width, t % width, width)
    size = (height, width)
    return Sides(
        cut(image, before),
        cut(where, before),
        cut(where, place),
        given_at(cond, size, place),
        given_at(cond, size, before),
    )
