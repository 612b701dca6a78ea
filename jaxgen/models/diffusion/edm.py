"""The U-Nets that EDM trains: DDPM++, NCSN++, and ADM's in its form.

Source: Song et al. 2021, "Score-Based Generative Modeling through Stochastic Differential
Equations" (ICLR), section 4.4 and appendix H (DDPM++ and NCSN++); Karras et al. 2022, "Elucidating
the Design Space of Diffusion-Based Generative Models" (NeurIPS), table 1 and appendix F, and the
official code (NVlabs/edm), which we follow. Time is ln(sigma) / 4; EDM's preconditioning is the
method's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.diffusion.adm import TORCH, ZEROS
from jaxgen.nn.arrays import Batched, Images, PerExample, Resized, Rows
from jaxgen.nn.condition import Condition, divided
from jaxgen.nn.time import FourierTime, sinusoids
from jaxgen.nn.unet import Plan, UNet

KINDS = ("ddpmpp", "ncsnpp")


def with_labels(plan: Plan, emb: Rows, labels: Batched | None, count: int) -> Rows:
    """The embedding plus a linear map of so many labels, in a compact module, whose own it is."""
    if not count:
        return emb
    labels = jnp.zeros((len(emb), count), emb.dtype) if labels is None else labels
    return emb + plan.dense(emb.shape[-1], "augmented", use_bias=False)(labels)


class SongUNet(nn.Module):
    """DDPM++ or NCSN++, with the sizes of CIFAR-10.

    Attributes:
        kind: "ddpmpp", or "ncsnpp", which gets the halved image at every level, blurs where it
            resamples, and has random frequencies of time.
        width: that multipliers are of.
        multipliers: of it, the channels of each level.
        blocks: of each level.
        attention: heights of maps with attention; the smallest always has it.
        dropout: of the blocks.
        augment: how many numbers say in which way an image was augmented (appendix F.2): 9 of the
            published networks, which without any take zeros; 0 for none.
        outputs: times the channels of x that are returned.
        remat: see `nn.unet.Plan`.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    kind: str = "ddpmpp"
    width: int = 128
    multipliers: Sequence[int] = (2, 2, 2)
    blocks: int = 4
    attention: Sequence[int] = (16,)
    dropout: float = 0.13
    augment: int = 0
    outputs: int = 1
    remat: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Images,
        time: PerExample,
        cond: Condition | None = None,
        train: bool = False,
        augmented: Rows | None = None,
    ) -> Resized:
        """[B, H, W, C] and ln(sigma) / 4 [B] to [B, H, W, outputs * C], float32.

        Args:
            x: noisy images, scaled to variance one.
            time: how noisy they are.
            cond: what is given: rows are added to the embedding of time, a map stands beside x.
            train: use dropout.
            augmented: how they are, [B, augment]; None for not at all.

        Raises:
            ValueError: for another `kind`.
        """
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r}, expected one of {KINDS}")
        plan, residual = self._plan(), self.kind == "ncsnpp"
        channels, (x, rows) = self.outputs * x.shape[-1], divided(x, cond)
        if residual:
            emb = FourierTime(2 * self.width, order="sin_cos", name="frequencies")(time)
        else:
            emb = sinusoids(time, self.width, "sin_cos", endpoint=True)
        if rows is not None:  # scaled, so that of one-hot rows the kernel starts as any other's
            emb = emb + plan.dense(emb.shape[-1], "cond")(rows * math.sqrt(rows.shape[-1]))
        emb = with_labels(plan, emb, augmented, self.augment)
        emb = nn.silu(plan.dense(4 * self.width, "time_1")(emb))
        emb = nn.silu(plan.dense(4 * self.width, "time_2")(emb))
        return UNet(plan, channels, self.width, name="unet")(x, emb, train)

    def _plan(self) -> Plan:
        residual = self.kind == "ncsnpp"
        return Plan(
            self.width,
            self.multipliers,
            self.blocks,
            self.attention,
            attend="last",
            resample="block",
            taps=(1.0, 3.0, 3.0, 1.0) if residual else (1.0, 1.0),
            project=True,
            residual_input=residual,
            skip_scale=math.sqrt(0.5),
            order="last",
            dropout=self.dropout,
            attention_kernel=nn.initializers.variance_scaling(0.2, "fan_avg", "uniform"),
            remat=self.remat,
            dtype=None if self.dtype is None else jnp.dtype(self.dtype),
        )


class DhariwalUNet(nn.Module):
    """ADM's network as EDM has it, with the sizes of ImageNet 64x64; zero at first.

    Attributes as of `SongUNet`, and:
        head_width: channels of an attention head.
    """

    width: int = 192
    multipliers: Sequence[int] = (1, 2, 3, 4)
    blocks: int = 3
    attention: Sequence[int] = (32, 16, 8)
    head_width: int = 64
    dropout: float = 0.1
    augment: int = 0
    outputs: int = 1
    remat: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(
        self,
        x: Images,
        time: PerExample,
        cond: Condition | None = None,
        train: bool = False,
        augmented: Rows | None = None,
    ) -> Resized:
        """See `SongUNet`."""
        plan = Plan(
            self.width,
            self.multipliers,
            self.blocks,
            self.attention,
            resample="block",
            scale_shift=True,
            eps=1e-5,
            head_width=self.head_width,
            order="last",
            dropout=self.dropout,
            kernel=TORCH,
            attention_kernel=TORCH,
            last=ZEROS,
            remat=self.remat,
            dtype=None if self.dtype is None else jnp.dtype(self.dtype),
        )
        channels, (x, rows) = self.outputs * x.shape[-1], divided(x, cond)
        emb = with_labels(plan, sinusoids(time, self.width), augmented, self.augment)
        emb = nn.silu(plan.dense(4 * self.width, "time_1")(emb))
        emb = plan.dense(4 * self.width, "time_2")(emb)
        if rows is not None:
            normal = nn.initializers.normal(1.0)
            emb = emb + plan.dense(4 * self.width, "cond", kernel_init=normal, use_bias=False)(rows)
        return UNet(plan, channels, plan.widths[0], name="unet")(x, nn.silu(emb), train)
