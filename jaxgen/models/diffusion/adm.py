"""The U-Nets of iDDPM and ADM.

Source: Nichol & Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models" (ICML), appendix
A; Dhariwal & Nichol 2021, "Diffusion Models Beat GANs on Image Synthesis" (NeurIPS), sections 3 and
4 and appendix F, and the official code (openai/guided-diffusion). Time is the number of the step,
0 .. T - 1; iDDPM scales it to 0 .. 1000. Layers start as PyTorch's do, but with zero as bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.nn.arrays import Images, PerExample, Resized, Rows
from jaxgen.nn.condition import Condition, added, divided
from jaxgen.nn.time import sinusoids
from jaxgen.nn.unet import Plan, UNet

TORCH = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # of its linear layers
ZEROS = nn.initializers.zeros


class ADM(nn.Module):
    """The network, with the sizes of ImageNet 64x64, and a learned variance.

    iDDPM's has `updown=False`, heads of `heads` and `head_width=None`.

    Attributes:
        width: that multipliers are of.
        multipliers: of it, the channels of each level.
        blocks: of each level.
        attention: heights of maps with attention; the smallest always has it.
        head_width: channels of a head; None for `heads` heads of any width.
        heads: of the attention, without `head_width`.
        order: of its channels, "qkv" or "legacy", see `nn.unet.Plan`: both are the same network,
            but weights that are loaded have one of them.
        scale_shift: time scales and shifts what is normalised, else it is added.
        updown: residual blocks resample, else convolutions do.
        dropout: of the blocks.
        outputs: times the channels of x that are returned: 2 with a learned variance.
        remat: see `nn.unet.Plan`.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    width: int = 192
    multipliers: Sequence[int | float] = (1, 2, 3, 4)
    blocks: int = 3
    attention: Sequence[int] = (32, 16, 8)
    head_width: int | None = 64
    heads: int = 4
    order: str = "qkv"
    scale_shift: bool = True
    updown: bool = True
    dropout: float = 0.1
    outputs: int = 2
    remat: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(
        self, x: Images, time: PerExample, cond: Condition | None = None, train: bool = False
    ) -> Resized:
        """[B, H, W, C] and steps [B] to [B, H, W, outputs * C], float32, zero at first.

        Args:
            x: noisy images, of variance about one.
            time: numbers of steps, 0 .. T - 1.
            cond: what is given: rows are added to the embedding of time, a map (an image to be
                made larger) stands beside x.
            train: use dropout.
        """
        plan = plan_of(self)
        channels, (x, rows) = self.outputs * x.shape[-1], divided(x, cond)
        emb = embedded(plan, time)
        emb = added(emb, rows, kernel_init=nn.initializers.normal(1.0), dtype=plan.dtype)
        return UNet(plan, channels, plan.widths[0], name="unet")(x, nn.silu(emb), train)


def plan_of(model: Any) -> Plan:
    """What an `ADM`, or the classifier beside it, tells its blocks."""
    return Plan(
        model.width,
        model.multipliers,
        model.blocks,
        model.attention,
        resample="block" if model.updown else "centred",
        scale_shift=model.scale_shift,
        eps=1e-5,
        heads=model.heads,
        head_width=model.head_width,
        order=model.order,
        dropout=model.dropout,
        kernel=TORCH,
        attention_kernel=TORCH,
        last=ZEROS,
        remat=model.remat,
        dtype=None if model.dtype is None else jnp.dtype(model.dtype),
    )


def embedded(plan: Plan, time: PerExample) -> Rows:
    """[B] to [B, 4 width], in a compact module, whose own the layers are."""
    emb = plan.dense(4 * plan.width, "time_1")(sinusoids(time, plan.width))
    return plan.dense(4 * plan.width, "time_2")(nn.silu(emb))
