"""The U-Net of diffusion models: residual blocks, attention, down and up again; one for all papers.

What papers do in another way is an option of `Plan`; the files of `models/diffusion` say which
paper takes which.

Source: Ronneberger et al. 2015, "U-Net"; Ho et al. 2020, "Denoising Diffusion Probabilistic
Models", appendix B; further ones at the options.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Batched, Images, Resized, Rows
from jaxgen.nn.conv import Conv
from jaxgen.nn.group_norm import GroupNorm
from jaxgen.ops.products import attention, joined_dot
from jaxgen.ops.upfirdn import normal, upfirdn

GROUPS, IN_GROUP = 32, 4  # of group normalisation, at most; channels of each, at least
ORDERS = ("qkv", "legacy", "last")
RESAMPLERS = ("conv", "centred", "block")
XAVIER = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")
NEARLY_ZERO = nn.initializers.variance_scaling(1e-10, "fan_avg", "uniform")


@dataclasses.dataclass(frozen=True)
class Plan:
    """A U-Net's sizes and the habits of its paper.

    Attributes:
        width: that multipliers are of.
        multipliers: of it, the channels of each level; between levels height and width are halved.
        blocks: of each level on the way down; one more on the way up.
        attention: heights of maps whose blocks are followed by attention.
        attend: on the way up after "all" of a level's blocks, or the "last" (EDM's DDPM++).
        resample: "conv", of stride 2 and padded at the end alone (DDPM); "centred", padded on both
            sides (iDDPM); "block", a residual block that resamples inside (BigGAN, ADM, EDM).
        taps: of the filter of such a block, (1, 1) or (1, 3, 3, 1) (NCSN++).
        project: a resampling block has a 1x1 convolution beside it (DDPM++, NCSN++).
        residual_input: the halved image is added to each level's first map (NCSN++).
        scale_shift: time scales and shifts what is normalised (iDDPM, ADM), else it is added.
        skip_scale: of each sum of a branch and what is beside it.
        eps: of the normalisation.
        heads: of the attention.
        head_width: their channels, which then say how many heads there are.
        order: of the attention's channels: "qkv" (all queries first), "legacy" (query, key and
            value of a head side by side), or "last" (of a head's channel).
        dropout: before each block's last convolution.
        kernel: initialiser of kernels.
        attention_kernel: of queries, keys and values.
        last: of those that end a branch or the network.
        time_kernel: of the blocks' layers of time; None for `kernel`.
        time_bias: whether these have a bias.
        remat: compute a block's activations again for its gradient, for memory.
        dtype: of the computation; None is float32. The last layer, logits and statistics are
            float32 always.
    """

    width: int
    multipliers: Sequence[int | float]
    blocks: int
    attention: Sequence[int] = ()
    attend: str = "all"
    resample: str = "conv"
    taps: Sequence[float] = (1.0, 1.0)
    project: bool = False
    residual_input: bool = False
    scale_shift: bool = False
    skip_scale: float = 1.0
    eps: float = 1e-6
    heads: int = 1
    head_width: int | None = None
    order: str = "qkv"
    dropout: float = 0.0
    kernel: Any = XAVIER
    attention_kernel: Any = XAVIER
    last: Any = NEARLY_ZERO
    time_kernel: Any = None
    time_bias: bool = True
    remat: bool = False
    dtype: Any = None

    def __post_init__(self) -> None:
        """Checks the names, and makes tuples of sequences.

        Raises:
            ValueError: for a name that there is not.
        """
        for name, value in (
            ("multipliers", self.multipliers),
            ("attention", self.attention),
            ("taps", self.taps),
        ):
            object.__setattr__(self, name, tuple(value))
        for name, value, names in (
            ("order", self.order, ORDERS),
            ("resample", self.resample, RESAMPLERS),
            ("attend", self.attend, ("all", "last")),
        ):
            if value not in names:
                raise ValueError(f"{name}={value!r} of a U-Net, expected {names}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(int(m * self.width) for m in self.multipliers)

    def norm(self, channels: int, name: str, dtype: Any = None) -> GroupNorm:
        """Group normalisation: 32 groups, or as many as divide fewer channels (EDM's rule).

        A group has several channels: from one alone, what time adds to it would be taken away.
        """
        most = max(1, min(GROUPS, channels // IN_GROUP))
        groups = max(g for g in range(1, most + 1) if channels % g == 0)
        return GroupNorm(groups, self.eps, dtype or self.dtype, name=name)

    def conv(self, features: int, name: str, **options: Any) -> Conv:
        """A convolution 3x3."""
        options = dict(kernel_init=self.kernel, dtype=self.dtype) | options
        return Conv(features, (3, 3), name=name, **options)

    def dense(self, features: int, name: str, **options: Any) -> nn.Dense:
        """A linear layer: of a map, a convolution 1x1."""
        options = dict(kernel_init=self.kernel, dtype=self.dtype) | options
        return nn.Dense(features, dot_general=joined_dot, name=name, **options)


def resampled(x: Images, way: str, taps: Sequence[float]) -> Resized:
    """Twice as large ("up") or half as large ("down"), through a filter.

    Args:
        x: images.
        way: "up" or "down".
        taps: of even number; (1, 1) is the nearest neighbour, or the mean of 2x2.
    """
    b, h, w, c = x.shape
    if tuple(taps) == (1.0, 1.0):
        if way == "up":
            return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
        return jnp.mean(x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))
    half = len(taps) // 2
    if way == "up":
        return upfirdn(x, [2 * t for t in normal(taps)], up=2, pad=(half, half - 1))
    return upfirdn(x, normal(taps), down=2, pad=(half - 1, half - 1))


class ResBlock(nn.Module):
    """Twice normalisation, swish and 3x3, with time in between.

    Attributes:
        plan: the U-Net's.
        features: channels of the output.
        resample: "up", "down" or "", before the first convolution.
    """

    plan: Plan
    features: int
    resample: str = ""

    @nn.compact
    def __call__(self, x: Images, emb: Rows, train: bool = False) -> Resized:
        """[B, H, W, C] -> [B, H', W', features]; emb [B, K] of time, after its nonlinearity."""
        plan = self.plan
        h = nn.silu(plan.norm(x.shape[-1], "norm1")(x))
        if self.resample:
            h, x = (resampled(v, self.resample, plan.taps) for v in (h, x))
        h = plan.conv(self.features, "conv1")(h)
        norm = plan.norm(self.features, "norm2")
        size = self.features * (2 if plan.scale_shift else 1)
        init = plan.time_kernel or plan.kernel
        time = plan.dense(size, "time", kernel_init=init, use_bias=plan.time_bias)
        said = time(emb)
        if plan.scale_shift:
            h = norm(h, *jnp.split(said, 2, axis=-1))
        else:
            h = norm(h + said[:, None, None])
        h = nn.Dropout(plan.dropout, deterministic=not train)(nn.silu(h))
        h = plan.conv(self.features, "conv2", kernel_init=plan.last)(h)
        if x.shape[-1] != self.features or (self.resample and plan.project):
            x = plan.dense(self.features, "shortcut")(x)
        return (x.astype(h.dtype) + h) * plan.skip_scale


class Attention(nn.Module):
    """Each position asks all others; what it hears is added.

    Attributes:
        plan: the U-Net's.
    """

    plan: Plan

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] to the same.

        Raises:
            ValueError: for channels that the heads do not divide.
        """
        plan, (b, h, w, c) = self.plan, x.shape
        flat = plan.norm(c, "norm")(x).reshape(b, h * w, c)
        joint = plan.dense(3 * c, "qkv", kernel_init=plan.attention_kernel)(flat)
        query, key, value = parted(joint, heads_of(plan, c), plan.order)
        heard = attention(query, key, value).reshape(b, h, w, c)
        out = plan.dense(c, "out", kernel_init=plan.last)(heard)
        return (x + out) * plan.skip_scale


def heads_of(plan: Plan, channels: int) -> int:
    """How many heads attention over so many channels has.

    Raises:
        ValueError: where they do not divide the channels.
    """
    heads = plan.heads if plan.head_width is None else channels // plan.head_width
    if heads < 1 or channels % heads or (plan.head_width and channels % plan.head_width):
        of = f"heads={plan.heads}" if plan.head_width is None else f"head_width={plan.head_width}"
        raise ValueError(f"attention over {channels} channels: {of} does not divide them")
    return heads


def parted(joint: Batched, heads: int, order: str) -> tuple[Array, Array, Array]:
    """Queries, keys and values [B, T, heads, d] of [B, T, 3 heads d]; see `Plan.order`."""
    b, t, width = joint.shape
    d = width // (3 * heads)
    shapes = dict(qkv=(3, heads, d), legacy=(heads, 3, d), last=(heads, d, 3))
    axis = dict(qkv=2, legacy=3, last=4)[order]
    parts = jnp.moveaxis(joint.reshape(b, t, *shapes[order]), axis, 0)
    return parts[0], parts[1], parts[2]


class Down(nn.Module):
    """The first convolution and the levels down.

    Attributes:
        plan: the U-Net's.
        first: channels of the first convolution.
    """

    plan: Plan
    first: int

    @nn.compact
    def __call__(self, x: Images, emb: Rows, train: bool = False) -> list[Batched]:
        """All maps, of which the last goes to the middle, and which the way up takes back.

        Raises:
            ValueError: for sides that cannot be halved so often.
        """
        plan = self.plan
        check_sides(x.shape[1:3], len(plan.multipliers))
        block, look = _layers(plan)
        image = x
        maps = [plan.conv(self.first, "first")(x)]
        for level, width in enumerate(plan.widths):
            if level:
                maps.append(self._halved(maps[-1], emb, train, level))
                if plan.residual_input:
                    image = self._beside(image, maps[-1], level)
                    maps[-1] = image
            for i in range(plan.blocks):
                h = block(plan, width, name=f"block_{level}_{i}")(maps[-1], emb, train)
                if h.shape[1] in plan.attention:
                    h = look(plan, name=f"attention_{level}_{i}")(h)
                maps.append(h)
        return maps

    def _halved(self, h: Images, emb: Rows, train: bool, level: int) -> Resized:
        plan, name = self.plan, f"shrink_{level}"
        if plan.resample == "block":
            return _layers(plan)[0](plan, h.shape[-1], "down", name=name)(h, emb, train)
        padding = "SAME" if plan.resample == "conv" else 1
        return plan.conv(h.shape[-1], name, strides=(2, 2), padding=padding)(h)

    def _beside(self, image: Images, h: Images, level: int) -> Resized:
        """The halved input, or what it became, and the map it is added to."""
        taps = self.plan.taps
        conv = self.plan.conv(h.shape[-1], f"image_{level}", padding=len(taps) // 2)
        return (h + upfirdn(conv(image), normal(taps), down=2)) * math.sqrt(0.5)


class Middle(nn.Module):
    """A block, attention, a block.

    Attributes:
        plan: the U-Net's.
    """

    plan: Plan

    @nn.compact
    def __call__(self, h: Images, emb: Rows, train: bool = False) -> Images:
        """[B, h, w, C] to the same."""
        block, look = _layers(self.plan)
        h = block(self.plan, h.shape[-1], name="block_0")(h, emb, train)
        h = look(self.plan, name="attention")(h)
        return block(self.plan, h.shape[-1], name="block_1")(h, emb, train)


class Up(nn.Module):
    """The levels up, each block with a map of the way down beside its input, and the last layer.

    Attributes:
        plan: the U-Net's.
        channels: of the output.
    """

    plan: Plan
    channels: int

    @nn.compact
    def __call__(self, h: Images, maps: list[Batched], emb: Rows, train: bool = False) -> Resized:
        """[B, H, W, channels], float32 at least."""
        plan, maps = self.plan, list(maps)
        block, look = _layers(plan)
        for level, width in reversed(list(enumerate(plan.widths))):
            for i in range(plan.blocks + 1):
                h = jnp.concatenate([h, maps.pop()], axis=-1)
                h = block(plan, width, name=f"block_{level}_{i}")(h, emb, train)
                wanted = plan.attend == "all" or i == plan.blocks
                if wanted and h.shape[1] in plan.attention:
                    h = look(plan, name=f"attention_{level}_{i}")(h)
            if level and plan.resample == "block":
                h = block(plan, width, "up", name=f"grow_{level}")(h, emb, train)
            elif level:
                h = plan.conv(width, f"grow_{level}")(resampled(h, "up", (1.0, 1.0)))
        real = jnp.result_type(float)
        h = nn.silu(plan.norm(h.shape[-1], "norm", real)(h.astype(real)))
        return plan.conv(self.channels, "last", kernel_init=plan.last, dtype=real)(h)


class UNet(nn.Module):
    """Down, middle and up.

    Attributes:
        plan: sizes and habits.
        channels: of the output.
        first: channels of the first convolution.
    """

    plan: Plan
    channels: int
    first: int

    @nn.compact
    def __call__(self, x: Images, emb: Rows, train: bool = False) -> Resized:
        """[B, H, W, C] -> [B, H, W, channels], float32; emb as `ResBlock`."""
        maps = Down(self.plan, self.first, name="down")(x, emb, train)
        h = Middle(self.plan, name="middle")(maps[-1], emb, train)
        return Up(self.plan, self.channels, name="up")(h, maps, emb, train)


def check_sides(sides: tuple[int, ...], levels: int) -> None:
    """Whether height and width can be halved between so many levels.

    Raises:
        ValueError: where not.
    """
    parts = 2 ** (levels - 1)
    if any(side % parts for side in sides):
        raise ValueError(
            f"images of {sides[0]}x{sides[1]} cannot be halved between {levels} levels: expected "
            f"multiples of {parts}, or fewer multipliers"
        )


def _layers(plan: Plan) -> tuple[Any, Any]:
    """Block and attention, maybe computed again."""
    if not plan.remat:
        return ResBlock, Attention
    return nn.remat(ResBlock, static_argnums=(3,)), nn.remat(Attention)
