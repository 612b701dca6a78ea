"""PixelCNN++: two streams at several resolutions, and mixtures of logistics.

Source: Salimans, Karpathy, Chen & Kingma 2017, "PixelCNN++: Improving the PixelCNN with
Discretized Logistic Mixture Likelihood and Other Modifications" (ICLR), section 2, and the official
code (openai/pixel-cnn, `pixel_cnn_pp/model.py`), which we follow. The observation model is the
method's: "logistic_mixture" is the paper's. Where ours differs from the code:

- The batch that starts the weight normalisation passes without dropout, and transposed convolutions
  take its moments after their edges are cut, not before.
- What is drawn is rounded to the grey levels before the next position sees it; in the code it is
  not, so that its samples are of a slightly different model.
- The logarithm of a small mass is exact; the code takes a density where it is below 1e-5.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Resized
from jaxgen.nn.causal_conv import (
    Canvas,
    CausalConv,
    CausalConvTranspose,
    Place,
    given_at,
    of_row,
    repeated,
)
from jaxgen.nn.condition import Condition
from jaxgen.nn.gated_resnet import GatedResnet
from jaxgen.nn.heads import Causal, Head
from jaxgen.nn.weight_norm import WeightNormDense
from jaxgen.ops.ranges import symmetric

Streams = tuple[Any, Any]  # features or None


class Up(nn.Module):
    """A block of the first pass: the stream of the rows above, and the one of all before.

    The first stream is None at a position, and the second at a row; see `of_row`.
    """

    dropout: float

    @nn.compact
    def __call__(self, streams: Streams, cond: Any, place: Place | None) -> tuple[Streams, Streams]:
        """The two streams, [B, h, w, C] each, to the next ones, twice."""
        u, ul = streams
        shape = streams_shape(streams)
        if u is not None:
            u = GatedResnet("down", self.dropout, name="u")(u, None, cond, place)
        above = of_row(self, u, shape, place)
        if ul is not None:
            ul = GatedResnet("down_right", self.dropout, name="ul")(ul, above, cond, place)
        return (u, ul), (u, ul)


class Down(nn.Module):
    """A block of the second pass, which also sees what the first made at its resolution."""

    dropout: float

    @nn.compact
    def __call__(
        self, streams: Streams, seen: Streams, cond: Any, place: Place | None
    ) -> tuple[Streams, None]:
        """The two streams to the next ones; see `Up`."""
        u, ul = streams
        shape = streams_shape(streams)
        if u is not None:
            u = GatedResnet("down", self.dropout, name="u")(u, seen[0], cond, place)
        above = of_row(self, u, shape, place)
        if ul is not None:
            beside = jnp.concatenate([above, seen[1]], axis=-1)
            ul = GatedResnet("down_right", self.dropout, name="ul")(ul, beside, cond, place)
        return (u, ul), None


def streams_shape(streams: Streams) -> tuple[int, int]:
    """Batch and channels of either."""
    leaf = jax.tree.leaves(streams)[0]
    return leaf.shape[0], leaf.shape[-1]


class PixelCNNPP(Causal):
    """The network.

    Attributes:
        width: channels of each stream.
        blocks: of each resolution, on the way down in size; on the way up one more where the
            image was halved.
        levels: number of resolutions, each half of the one before.
        dropout: share of the channels inside of the blocks that training leaves out.
        memory: "store" keeps all activations for the backward pass, "remat" one per block.
    """

    width: int = 160
    blocks: int = 5
    levels: int = 3
    dropout: float = 0.5
    memory: str = "store"

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

    def row(self, x: Canvas, i: Any, head: Head, cond: Condition | None = None) -> None:
        """Computes the stream of the rows above for row i, before its positions are drawn."""
        self._theta(x, head, cond, Place(i, None, x.shape[2]), 0.0)

    def step(self, x: Canvas, t: Any, head: Head, cond: Condition | None = None) -> Array:
        """theta [B, head.width] at position t in raster order; x is 0 where nothing is yet.

        Lower resolutions are computed again at every position that they are seen from.
        """
        width = x.shape[2]
        place = Place(t // width, t % width, width)
        return self._theta(x, head, cond, place, 0.0)[:, 0, 0]

    @nn.compact
    def _theta(
        self, x: Canvas, head: Head, cond: Condition | None, place: Place | None, dropout: float
    ) -> Any:
        self._check(x)
        size, n = x.shape[1:3], self.blocks
        streams, at, seen = self._enter(x, head, place), [], []
        for level in range(self.levels):
            if level:
                streams = self._halved(streams, place, f"halve_{level}")
                size = (size[0] // 2, size[1] // 2)
                place = None if place is None else place.halved()
            at.append((given_at(cond, size, place), place))
            first = jax.tree.map(lambda v: v[None], streams)
            up = repeated(Up, n, self.memory)(dropout, name=f"up_{level}")
            streams, made = up(streams, *at[level])
            seen.append(jax.tree.map(lambda a, b: jnp.concatenate([a, b])[::-1], first, made))
        seen[-1] = jax.tree.map(lambda v: v[1:], seen[-1])  # the last of all is `streams`
        for level in reversed(range(self.levels)):
            lowest = level == self.levels - 1
            if not lowest:
                streams = self._doubled(streams, at[level][1], f"double_{level}")
            down = repeated(Down, n + (not lowest), self.memory, 0)(dropout, name=f"down_{level}")
            streams, _ = down(streams, seen[level], *at[level])
        ul = streams[1]
        if ul is None:
            return None
        return WeightNormDense(head.width, name="theta")(nn.elu(ul)).astype(jnp.result_type(float))

    def _enter(self, x: Canvas, head: Head, place: Place | None) -> Streams:
        """The streams of the image, with ones beside it, which the padding has not."""
        image = symmetric(x, head.values)
        image = jnp.concatenate([image, jnp.ones_like(image[..., :1])], axis=-1)
        u = ul = None
        if place is None or place.column is None:
            above = CausalConv(self.width, (2, 3), 1, shift=(1, 0), std=1.0, name="above")
            u = above(image, place, True)
        if place is None or place.column is not None:
            row = CausalConv(self.width, (1, 3), 1, shift=(1, 0), std=1.0, name="row_above")
            left = CausalConv(self.width, (2, 1), 0, shift=(0, 1), std=1.0, name="left")
            ul = row(image, place, True) + left(image, place, True)
        return u, ul

    def _halved(self, streams: Streams, place: Place | None, name: str) -> Streams:
        u, ul = streams
        if u is not None:
            u = CausalConv(self.width, (2, 3), 1, 2, std=1.0, name=f"{name}_u")(u, place)
        if ul is not None:
            ul = CausalConv(self.width, (2, 2), 1, 2, std=1.0, name=f"{name}_ul")(ul, place)
        return u, ul

    def _doubled(self, streams: Streams, place: Place | None, name: str) -> Streams:
        u, ul = streams
        if u is not None:
            u = CausalConvTranspose(self.width, 3, name=f"{name}_u")(u, place)
        if ul is not None:
            ul = CausalConvTranspose(self.width, 2, name=f"{name}_ul")(ul, place)
        return u, ul

    def _check(self, x: Canvas) -> None:
        """Raises ValueError for images that do not fit."""
        by = 2 ** (self.levels - 1)
        if x.shape[1] % by or x.shape[2] % by:
            raise ValueError(
                f"levels={self.levels}: expected images whose sides {by} divides, got "
                f"{x.shape[1]}x{x.shape[2]}"
            )
