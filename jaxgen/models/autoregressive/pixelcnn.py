"""PixelCNN, with masked convolutions, and the gated PixelCNN, with two stacks and no blind spot.

Source: van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel Recurrent Neural Networks" (ICML),
section 3 and table 1 (`PixelCNN`); van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves &
Kavukcuoglu 2016, "Conditional Image Generation with PixelCNN Decoders" (NeurIPS), section 2
(`GatedPixelCNN`). There is no official code. Where ours differs:

- The last layer starts at zero, so that all values are equally likely at first.
- The vertical stack is moved down by one row at its first convolution, where the paper says no
  more than that pixels below must not be seen; each path from it to the horizontal stack would do
  as well. The row above the image so has features of its own.
- Kernels of the vertical stack are cut to the rows that its mask leaves, ceil(n/2) of n.
- Dropout, which neither paper has, for small data; by default there is none.

Of a stack of masked convolutions the pixels to the right in the rows above are in part unseen, the
blind spot of the second paper, figure 1; `PixelCNN` has it.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.causal_conv import (
    Canvas,
    CausalConv,
    Place,
    entries,
    given_at,
    group_mask,
    groups_of,
    of_row,
    repeated,
)
from jaxgen.nn.condition import Condition, added
from jaxgen.nn.heads import Causal, Head
from jaxgen.ops.activations import relu

Carry = tuple[Batched | None, Batched | None]  # of the vertical and of the horizontal stack


def kernel_mask(before: np.ndarray, after: np.ndarray, size: tuple[int, int], strict: bool) -> Any:
    """[*size, inputs, outputs] of a kernel whose last row has the position at its centre.

    What is to the right of the position is not there, and of the position itself what `group_mask`
    says.
    """
    mask = np.ones((*size, len(before), len(after)), np.float32)
    mask[-1, size[1] // 2 + 1 :] = 0
    mask[-1, size[1] // 2] = group_mask(before, after, strict)
    return mask


class Masked(nn.Module):
    """A masked convolution, of an odd kernel.

    Attributes:
        features: channels out.
        size: of the kernel.
        groups: that the channels fall into.
        strict: the mask A, which leaves the position's own group out; else the mask B.
        parts: channels out are so many runs of equal groups, as the halves of a gate.
        flat: the kernel is one row.
        start: initialiser of the kernel.
    """

    features: int
    size: int
    groups: int
    strict: bool = False
    parts: int = 1
    flat: bool = False
    start: Any = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, h: Images, place: Place | None = None, whole: bool = False) -> Resized:
        """See `CausalConv`."""
        half = self.size // 2
        before = groups_of(h.shape[-1], self.groups)
        after = np.tile(groups_of(self.features // self.parts, self.groups), self.parts)
        size = (1 if self.flat else half + 1, self.size)
        mask = kernel_mask(before, after, size, self.strict)
        if self.flat:  # nothing is to the right
            size, mask = (1, half + 1), mask[:, : half + 1]
        layer = CausalConv(
            self.features, size, half, mask=mask, kernel_init=self.start, name="conv"
        )
        return layer(h, place, whole)


class Block(nn.Module):
    """ReLU and masked convolutions 1x1, n x n, 1x1, added to the input.

    Source: van den Oord et al. 2016, Pixel recurrent neural networks, figure 5.
    """

    size: int
    groups: int
    dropout: float

    @nn.compact
    def __call__(self, h: Images, cond: Batched | None, place: Place | None) -> tuple[Images, None]:
        """[B, h, w, 2 width] to the same."""
        width = h.shape[-1] // 2
        r = Masked(width, 1, self.groups, name="narrow")(relu(h), place)
        r = Masked(width, self.size, self.groups, name="wide")(relu(r), place)
        r = relu(added(r, cond))
        r = nn.Dropout(self.dropout, deterministic=not self.dropout)(r)
        return h + Masked(2 * width, 1, self.groups, name="widen")(r, place), None


def gate(a: Images) -> Resized:
    """tanh of the first half of the channels times the sigmoid of the second."""
    first, second = jnp.split(a, 2, axis=-1)
    return nn.tanh(first) * nn.sigmoid(second)


class GatedBlock(nn.Module):
    """A layer of the two stacks.

    Source: van den Oord et al. 2016, Conditional image generation, figure 2 and equation 4.

    Attributes:
        width: channels.
        size: of the kernels.
        groups: that the channels of the horizontal stack fall into.
        dropout: of what the gates give.
        first: the input is an image, of which the position itself and its row in the vertical
            stack are left out, and there is no residual.
    """

    width: int
    size: int
    groups: int
    dropout: float
    first: bool = False

    @nn.compact
    def __call__(
        self, carry: Carry, cond: Batched | None, place: Place | None
    ) -> tuple[Carry, None]:
        """The two stacks, [B, h, w, C] each, to the next ones.

        The horizontal one is None at a row, and the vertical one at a position, for which what it
        gave for the row is kept.
        """
        v, h = carry
        link, batch = None, jax.tree.leaves(carry)[0].shape[0]
        if v is not None:
            v, link = self._vertical(v, cond, place)
        link = of_row(self, link, (batch, 2 * self.width), place)
        if h is not None:
            h = self._horizontal(h, link, cond, place)
        return (v, h), None

    def _vertical(self, v: Any, cond: Any, place: Place | None) -> tuple[Batched, Batched]:
        """The next features, and what the horizontal stack is given."""
        half = self.size // 2
        rows, shift = (half, (1, 0)) if self.first else (half + 1, (0, 0))
        down = CausalConv(2 * self.width, (rows, self.size), half, shift=shift, name="vertical")
        a = added(down(v, place, self.first), cond, "vertical_cond")
        link = CausalConv(2 * self.width, (1, 1), 0, name="link")(a, place)
        v = nn.Dropout(self.dropout, deterministic=not self.dropout)(gate(a))
        return v, link

    def _horizontal(self, h: Any, link: Batched, cond: Any, place: Place | None) -> Batched:
        groups = self.groups
        across = Masked(
            2 * self.width, self.size, groups, self.first, parts=2, flat=True, name="horizontal"
        )
        a = added(across(h, place, self.first) + link, cond, "horizontal_cond")
        r = nn.Dropout(self.dropout, deterministic=not self.dropout)(gate(a))
        r = Masked(self.width, 1, groups, name="out")(r, place)
        return r if self.first else h + r


class PixelCNN(Causal):
    """A stack of masked convolutions; it has a blind spot.

    Attributes:
        width: channels between the residual blocks are twice as many.
        blocks: residual blocks.
        size: of their kernels, odd.
        first_size: of the first kernel, odd.
        last: channels of the two layers before theta.
        channelwise: the channels of a pixel are predicted one by one, where theta has a number for
            each value of each.
        dropout: share of the channels in the blocks that training leaves out.
        memory: "store" keeps all activations for the backward pass, "remat" one per block.
        one_hot: x is given as zeros and a one for each value, as codes want it.
    """

    width: int = 128
    blocks: int = 15
    size: int = 3
    first_size: int = 7
    last: int = 1024
    channelwise: bool = True
    dropout: float = 0.0
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
        check(self, x)
        groups = groups_in(x, head) if self.channelwise else 1
        h = Masked(2 * self.width, self.first_size, groups, strict=True, name="first")(
            entries(x, head.values, self.one_hot), place, True
        )
        near = given_at(cond, x.shape[1:3], place)
        h = repeated(Block, self.blocks, self.memory)(self.size, groups, dropout, name="blocks")(
            h, near, place
        )[0]
        return outputs(self.last, head, groups, h, place)


class GatedPixelCNN(PixelCNN):
    """A vertical stack, which sees the rows above, and a horizontal one, which sees both.

    Attributes as of `PixelCNN`, but all layers have `width` channels.
    """

    def row(self, x: Canvas, i: Any, head: Head, cond: Condition | None = None) -> None:
        """Computes the vertical stack for row i, before its positions are drawn."""
        self._theta(x, head, cond, Place(i, None, x.shape[2]), 0.0)

    @nn.compact
    def _theta(
        self, x: Canvas, head: Head, cond: Condition | None, place: Place | None, dropout: float
    ) -> Any:
        check(self, x)
        groups = groups_in(x, head) if self.channelwise else 1
        image, near = entries(x, head.values, self.one_hot), given_at(cond, x.shape[1:3], place)
        seen = (image, image)
        if place is not None:
            seen = (image, None) if place.column is None else (None, image)
        first = GatedBlock(self.width, self.first_size, groups, dropout, True, name="first")
        carry, _ = first(seen, near, place)
        blocks = repeated(GatedBlock, self.blocks, self.memory)
        (_, h), _ = blocks(self.width, self.size, groups, dropout, name="blocks")(
            carry, near, place
        )
        return None if h is None else outputs(self.last, head, groups, h, place)


def groups_in(x: Canvas, head: Head) -> int:
    """Groups that the channels of hidden layers fall into: 1 where pixels are predicted whole."""
    channels = x.shape[-1]
    return channels if head.width == channels * head.values else 1


def outputs(last: int, head: Head, groups: int, h: Images, place: Place | None) -> Resized:
    """theta of the last features, through two more layers of `last` channels each."""
    for i in range(2):
        h = Masked(last, 1, groups, name=f"last_{i}")(relu(h), place)
    zeros = nn.initializers.zeros
    theta = Masked(head.width, 1, groups, start=zeros, name="theta")(relu(h), place)
    return theta.astype(jnp.result_type(float))


def check(net: PixelCNN, x: Canvas) -> None:
    """Raises ValueError for options that do not fit."""
    if net.size % 2 == 0 or net.first_size % 2 == 0 or net.first_size < 3:
        raise ValueError(
            f"size={net.size}, first_size={net.first_size}: expected odd numbers, the second 3 or "
            "more"
        )
    if net.channelwise and min(net.width, net.last) < x.shape[-1]:
        raise ValueError(
            f"width={net.width}, last={net.last}: expected {x.shape[-1]} or more with channelwise"
        )
