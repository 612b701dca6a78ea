"""The U-Net of DDPM.

Source: Ho, Jain & Abbeel 2020, "Denoising Diffusion Probabilistic Models" (NeurIPS), appendix B,
and the official code (hojonathanho/diffusion). Time is the number of the step, 0 .. T - 1. What is
given is ours: rows are added to the embedding of time, maps stand beside the input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Images, PerExample, Resized
from jaxgen.nn.condition import Condition, added, divided
from jaxgen.nn.time import sinusoids
from jaxgen.nn.unet import Plan, UNet


class DDPM(nn.Module):
    """The network, with the sizes of CIFAR-10.

    Attributes:
        width: channels of the first level.
        multipliers: of it, a level each.
        blocks: of each level.
        attention: heights of maps with attention; the smallest always has it.
        heads: of the attention.
        dropout: of the blocks.
        outputs: times the channels of x that are returned: 2 with a learned variance.
        remat: see `nn.unet.Plan`.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    width: int = 128
    multipliers: Sequence[int] = (1, 2, 2, 2)
    blocks: int = 2
    attention: Sequence[int] = (16,)
    heads: int = 1
    dropout: float = 0.1
    outputs: int = 1
    remat: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(
        self, x: Images, time: PerExample, cond: Condition | None = None, train: bool = False
    ) -> Resized:
        """[B, H, W, C] and steps [B] to [B, H, W, outputs * C], float32.

        Args:
            x: noisy images, of variance about one.
            time: numbers of steps, 0 .. T - 1.
            cond: what is given, rows or a map.
            train: use dropout.
        """
        dtype = None if self.dtype is None else jnp.dtype(self.dtype)
        plan = Plan(
            self.width,
            self.multipliers,
            self.blocks,
            self.attention,
            heads=self.heads,
            attention_kernel=_thirds,
            dropout=self.dropout,
            remat=self.remat,
            dtype=dtype,
        )
        channels, (x, rows) = self.outputs * x.shape[-1], divided(x, cond)
        emb = sinusoids(time, self.width, "sin_cos", endpoint=True)
        emb = nn.silu(plan.dense(4 * self.width, "time_1")(emb))
        emb = added(plan.dense(4 * self.width, "time_2")(emb), rows, dtype=dtype)
        return UNet(plan, channels, self.width, name="unet")(x, nn.silu(emb), train)


def _thirds(key: Any, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
    """Queries, keys and values, each of which the paper has as a layer of its own."""
    init = nn.initializers.variance_scaling(
        1.0, "fan_avg", "uniform", in_axis=0, out_axis=2, batch_axis=1
    )
    return init(key, (shape[0], 3, shape[1] // 3), dtype).reshape(shape)
