"""The very deep VAE: many groups of normal latents, from 1x1 to the resolution of the image.

Source: Child 2021, "Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on
Images" (ICLR), section 3, and the official code (openai/vdvae), which has the numbers
and which we follow. Ours differs in two places. The input is 4 x - 2 for x in [0, 1], about unit
variance for natural images; the code has a mean and a scale of each data set. The mixture of
logistics, `ops.observations`, sums to one at every bit depth; the code's 5-bit likelihood (its
FFHQ-256) does not, so that its 5-bit figures are too good and no target.

The code names blocks by a string, "32x11,32d2,16x6": 11 blocks at 32x32, one more that ends in a
pooling by 2, 6 at 16x16. Here a stage is (resolution, blocks) and the last block of a stage that
another follows does the pooling: (32, 12), (16, 6). Likewise "16x10,32m16,32x21" of the decoder,
where the first block at 32x32 mixes in the stage before, is (16, 10), (32, 22).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen.nn.arrays import Batched, Features, Images, Resized, Wide
from jaxgen.nn.condition import Condition
from jaxgen.nn.conv import Conv
from jaxgen.nn.latents import (
    Draw,
    GivenLatents,
    Group,
    Normal,
    Temperature,
    draw_group,
    joined,
)
from jaxgen.values import Natural

Stages = Sequence[tuple[int, int]]
Which = Bool[Array, "..."] | None  # of given latents to take, None for all
Known = tuple[Batched, Which]
Stage = Float[Array, "groups b ..."]  # latents of all its groups
MEMORY = ("store", "remat")


def torch_conv(share: float = 1.0) -> nn.initializers.Initializer:
    """PyTorch's default, uniform of variance 1 / (3 fan_in); `share` multiplies the variance."""
    if not share:
        return nn.initializers.zeros
    return nn.initializers.variance_scaling(share / 3, "fan_in", "uniform")


class Block(nn.Module):
    """1x1, two 3x3 and 1x1 convolutions, GELU before each: the bottleneck block.

    Attributes:
        middle: channels between the convolutions.
        features: channels out.
        local: 1x1 convolutions in place of the 3x3, as at resolutions 1 and 2.
        share: of the last convolution's initial variance; 0 starts it at zero.
        dtype: what the convolutions compute in; None keeps that of x.
    """

    middle: int
    features: int
    local: bool
    share: float = 1.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Features) -> Wide:
        """[B, H, W, C] -> [B, H, W, features], of the dtype of x."""
        size, h = (1, 1) if self.local else (3, 3), x
        for name, kernel in (("c0", (1, 1)), ("c1", size), ("c2", size)):
            conv = Conv(self.middle, kernel, kernel_init=torch_conv(), dtype=self.dtype, name=name)
            h = conv(nn.gelu(h, approximate=False))
        last = torch_conv(self.share)
        conv = Conv(self.features, (1, 1), kernel_init=last, dtype=self.dtype, name="c3")
        return conv(nn.gelu(h, approximate=False)).astype(x.dtype)


class UpBlock(nn.Module):
    """x + block(x), of the encoder; gives x too, which the last of a stage hands to posteriors."""

    middle: int
    local: bool
    share: float
    dtype: Any = None

    @nn.compact
    def __call__(self, carry: tuple[Images, Images], _: None) -> tuple[tuple[Images, Images], None]:
        """(x, what x was before), [B, H, W, C] each, to the same."""
        x = carry[0]
        h = Block(self.middle, x.shape[-1], self.local, self.share, self.dtype, name="block")(x)
        return (x + h, x), None


class DownBlock(nn.Module):
    """One group of latents: prior and posterior from x, a residual from z, a residual block.

    Source: official `DecBlock`. Beside mean and log-std, the prior's network
    gives a residual of x that does not wait for z.

    Attributes:
        latent: channels of z.
        middle: channels inside the blocks.
        local: see `Block`.
        share: 1 / number of groups.
        dtype: see `Block`.
    """

    latent: int
    middle: int
    local: bool
    share: float
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Images, acts: Wide | None, given: Known | None, temperature: Temperature
    ) -> tuple[Images, Group]:
        """x [B, H, W, C] to the same.

        Args:
            x: from the top.
            acts: [B, H, W, C] of the encoder, None to draw from the prior.
            given: None, or (z, known): latents and whether to take them.
            temperature: of draws from the prior.
        """
        width, posterior = x.shape[-1], None
        if acts is not None:
            h = self._block(2 * self.latent, "posterior")(jnp.concatenate([x, acts], -1))
            posterior = Normal(*jnp.split(h, 2, -1))
        h = self._block(2 * self.latent + width, "prior", share=0.0)(x)
        mean, log_std, residual = jnp.split(h, [self.latent, 2 * self.latent], -1)
        group = self._draw(Normal(mean, log_std), posterior, given, temperature)
        project = Conv(
            width, (1, 1), kernel_init=torch_conv(self.share), dtype=self.dtype, name="project"
        )
        x = x + residual + project(group.z).astype(x.dtype)
        return x + self._block(width, "resnet", self.share)(x), group

    def _block(self, features: int, name: str, share: float = 1.0) -> Block:
        return Block(self.middle, features, self.local, share, self.dtype, name=name)

    def _draw(
        self,
        prior: Normal,
        posterior: Normal | None,
        given: Known | None,
        temperature: Temperature,
    ) -> Group:
        if given is None:
            return draw_group(self.make_rng("latent"), prior, posterior, None, temperature)
        z, known = given
        if known is not None:
            drawn = draw_group(self.make_rng("latent"), prior, posterior, None, temperature).z
            z = jnp.where(known, z, drawn)
        return draw_group(None, prior, posterior, z)


class VDVAE(nn.Module):
    """The model; see `nn.latents`. Square images whose side is the last decoder's resolution.

    Blocks of a stage have parameters stacked on a first axis and run in a scan.

    Attributes:
        encoder: (resolution, blocks) from the image's resolution down; see above.
        decoder: (resolution, groups) from the top up to the image's resolution.
        width: channels, but for resolutions in `widths`.
        latent: channels of each group.
        widths: (resolution, channels) where they differ. Towards the image channels beyond the
            width are cut off, towards the top zeros are added.
        bottleneck: channels inside the blocks, as a part of the width.
        bias_up_to: the decoder's stages up to this resolution start from a learned image.
        memory: "store" keeps all activations for the backward pass, "remat" one per block.
        dtype: of the convolutions, as "bfloat16"; x, latents and divergence stay float32.
    """

    encoder: Stages = ((32, 12), (16, 7), (8, 7), (4, 4), (1, 3))
    decoder: Stages = ((1, 1), (4, 3), (8, 6), (16, 11), (32, 22))
    width: int = 384
    latent: int = 16
    widths: Sequence[tuple[int, int]] = ()
    bottleneck: float = 0.25
    bias_up_to: Natural = 64
    memory: str = "store"
    dtype: str | None = None

    def _check(self, shape: Sequence[int], cond: Condition | None) -> None:
        """Raises ValueError where stages, image or condition do not fit."""
        height, wide = shape[1:3]
        if cond is not None:
            raise ValueError("VDVAE takes no condition: leave method.given empty")
        if self.memory not in MEMORY:
            raise ValueError(f"memory={self.memory!r}, expected one of {MEMORY}")
        down, up = ([r for r, _ in stages] for stages in (self.encoder, self.decoder))
        for name, sizes in (("encoder", down), ("decoder", up[::-1])):
            steps = list(zip(sizes, sizes[1:], strict=False))
            if any(a <= b or a % b for a, b in steps) or sizes[0] != height or height != wide:
                raise ValueError(
                    f"{name}={getattr(self, name)}: expected resolutions that divide each other "
                    f"and end at the size of the images, got images of {height}x{wide}"
                )
        if missing := sorted(set(up) - set(down)):
            raise ValueError(f"decoder: resolutions {missing} are not of the encoder, {down}")

    def _width(self, resolution: int) -> int:
        return {r: width for r, width in self.widths}.get(resolution, self.width)

    def _options(self, stages: Stages, resolution: int) -> dict[str, Any]:
        """Of the blocks at a resolution."""
        return dict(
            middle=int(self._width(resolution) * self.bottleneck),
            local=resolution <= 2,
            share=1 / sum(blocks for _, blocks in stages),
            dtype=self.dtype,
        )

    def _scan(self, block: Any, length: int, in_axes: Any, out_axes: Any) -> Any:
        if self.memory == "remat":
            block = nn.remat(block, prevent_cse=False)
        return nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "latent": True},
            in_axes=in_axes,
            out_axes=out_axes,
            length=length,
        )

    def setup(self) -> None:
        """Names the stages."""
        first = self._width(self.encoder[0][0])
        self.first = Conv(first, (3, 3), kernel_init=torch_conv(), dtype=self.dtype)
        self.up = [
            self._scan(UpBlock, blocks, 0, 0)(
                **self._options(self.encoder, resolution), name=f"up_{resolution}"
            )
            for resolution, blocks in self.encoder
        ]
        axes = (nn.broadcast, 0, nn.broadcast)
        self.down = [
            self._scan(DownBlock, groups, axes, 0)(
                latent=self.latent, **self._options(self.decoder, r), name=f"down_{r}"
            )
            for r, groups in self.decoder
        ]
        zeros = nn.initializers.zeros
        self.start = {
            str(r): self.param(f"start_{r}", zeros, (r, r, self._width(r)))
            for r, _ in self.decoder
            if r <= self.bias_up_to
        }
        last = self._width(self.decoder[-1][0])
        self.gain = self.param("gain", nn.initializers.ones, (last,))
        self.bias = self.param("bias", zeros, (last,))

    def __call__(self, x: Images, size: tuple[int, ...], cond: Condition | None = None) -> Draw:
        """x [B, H, W, C] in [0, 1] to a draw whose theta has shape `size`."""
        return self.top_down(self.bottom_up(x, cond), size, cond)

    def bottom_up(self, x: Images, cond: Condition | None = None) -> tuple[Batched, ...]:
        """[B, R, R, C] of each decoder's stage, from the top."""
        self._check(x.shape, cond)
        x = 4 * x - 2
        h, seen = self.first(x).astype(x.dtype), {}
        below = [r for r, _ in self.encoder[1:]]
        for (resolution, _), stage in zip(self.encoder, self.up, strict=True):
            (h, before), _ = stage((h, h), None)
            seen[resolution] = h
            if len(seen) <= len(below):
                seen[resolution], to = before, below[len(seen) - 1]
                h = self._pool(h, resolution // to, self._width(to))
        return tuple(seen[r] for r, _ in self.decoder)

    def _pool(self, h: Images, rate: int, width: int) -> Resized:
        h = nn.avg_pool(h, (rate, rate), (rate, rate))
        if width < h.shape[-1]:
            raise ValueError(f"widths: expected at least {h.shape[-1]} channels above, got {width}")
        return jnp.pad(h, ((0, 0), (0, 0), (0, 0), (0, width - h.shape[-1])))

    def top_down(
        self,
        h: tuple[Batched, ...] | None,
        size: tuple[int, ...],
        cond: Condition | None = None,
        given: GivenLatents | None = None,
        temperature: Temperature = 1.0,
    ) -> Draw:
        """See `nn.latents`."""
        self._check(size, cond)
        left: GivenLatents = given or [None] * sum(groups for _, groups in self.decoder)
        x, drawn = self._start(self.decoder[0][0], size[0]), []
        for i, ((resolution, groups), stage) in enumerate(
            zip(self.decoder, self.down, strict=True)
        ):
            x = self._raised(x, resolution) if i else x
            known, left = _stacked(left[:groups]), left[groups:]
            x, stacked = stage(x, None if h is None else h[i], known, temperature)
            drawn += [jax.tree.map(lambda v, j=j: v[j], stacked) for j in range(groups)]
        x = x * self.gain[None, None, None] + self.bias[None, None, None]
        return joined(self._theta(x, size[-1]), drawn)

    def _start(self, resolution: int, num: int) -> Images:
        """The learned start of a stage, or zeros."""
        out = jnp.zeros((num, resolution, resolution, self._width(resolution)))
        if str(resolution) in self.start:
            out = out + self.start[str(resolution)][None]
        return out

    def _raised(self, x: Images, resolution: int) -> Resized:
        """The start of a stage, with the stage before, of nearest neighbours, added."""
        width = self._width(resolution)
        if x.shape[-1] < width:
            raise ValueError(f"widths: expected at most {x.shape[-1]} channels below, got {width}")
        rate = resolution // x.shape[1]
        start = self._start(resolution, x.shape[0])
        return start + jnp.repeat(jnp.repeat(x[..., :width], rate, 1), rate, 2)

    @nn.compact
    def _theta(self, x: Features, features: int) -> Wide:
        conv = Conv(features, (1, 1), kernel_init=torch_conv(), dtype=self.dtype, name="theta")
        return conv(x).astype(x.dtype)


def _stacked(given: GivenLatents) -> tuple[Stage, Which] | None:
    """Latents of a stage, stacked, and which are known: None if all are. None if none is."""
    known = [z is not None for z in given]
    if not any(known):
        return None
    like = next(z for z in given if z is not None)
    z = jnp.stack([jnp.zeros_like(like) if z is None else z for z in given])
    return z, None if all(known) else jnp.array(known)
