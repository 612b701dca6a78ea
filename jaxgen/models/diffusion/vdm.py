"""The score network of VDM: a U-Net that keeps the size of its input, with Fourier features of it.

Source: Kingma, Salimans, Poole & Ho 2021, "Variational Diffusion Models" (NeurIPS), appendix B and
C, and the official code (google-research/vdm). Time is the negative log-SNR, mapped from its range
to 0 .. 1000. As in the code the input is added to the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.nn.arrays import Batched, Images, PerExample, Resized, Rows
from jaxgen.nn.condition import Condition, divided
from jaxgen.nn.time import fourier_channels, sinusoids
from jaxgen.nn.unet import Attention, Plan, ResBlock

LECUN = nn.initializers.lecun_normal()
ZEROS = nn.initializers.zeros


class Layer(nn.Module):
    """A block of either way, in a scan: down its output is kept, up it takes what was kept."""

    plan: Plan
    attend: bool

    @nn.compact
    def __call__(self, h: Images, kept: Any, emb: Rows, train: bool) -> tuple[Images, Images]:
        """[B, H, W, C] and maybe the same, to what the next one and the way up are given."""
        both = h if kept is None else jnp.concatenate([h, kept], axis=-1)
        h = ResBlock(self.plan, h.shape[-1], name="block")(both, emb, train)
        h = Attention(self.plan, name="attention")(h) if self.attend else h
        return h, h


class VDM(nn.Module):
    """The network, with the sizes of CIFAR-10 without augmentation.

    Attributes:
        width: channels.
        blocks: on the way down; one more on the way up. They are layers of one size.
        attend: attention after each, and not only in the middle.
        fourier: exponents n of the features sin and cos of 2^n 2 pi z.
        dropout: of the blocks.
        outputs: times the channels of x that are returned.
        remat: compute a block's activations again for its gradient, for memory.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    width: int = 128
    blocks: int = 32
    attend: bool = False
    fourier: Sequence[int] = (6, 7)
    dropout: float = 0.1
    outputs: int = 1
    remat: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(
        self, x: Images, time: PerExample, cond: Condition | None = None, train: bool = False
    ) -> Resized:
        """[B, H, W, C] and 1000 times the place of gamma [B] to [B, H, W, outputs * C], float32.

        Args:
            x: z, of variance about one.
            time: (gamma - least) / (largest - least) * 1000.
            cond: what is given: rows stand beside the embedding of time, a map beside x.
            train: use dropout.
        """
        plan, real = self._plan(), jnp.result_type(float)
        z, (x, rows) = x, divided(x, cond)
        emb = sinusoids(time, self.width, "sin_cos", endpoint=True)
        emb = emb if rows is None else jnp.concatenate([emb, rows.astype(emb.dtype)], axis=-1)
        for name in ("time_1", "time_2"):
            emb = nn.silu(plan.dense(4 * self.width, name)(emb))
        first = plan.conv(self.width, "first")(fourier_channels(x, self.fourier))
        h, maps = self._scanned(plan, self.blocks, "down")(first, None, emb, train)
        for i in range(2):
            h = ResBlock(plan, self.width, name=f"middle_{i}")(h, emb, train)
            h = h if i else Attention(plan, name="middle_attention")(h)
        maps = jnp.concatenate([first[None], maps])[::-1]
        h, _ = self._scanned(plan, self.blocks + 1, "up")(h, maps, emb, train)
        h = nn.silu(plan.norm(self.width, "norm", real)(h.astype(real)))
        out = plan.conv(self.outputs * z.shape[-1], "last", kernel_init=ZEROS, dtype=real)(h)
        return out + with_zeros(z, out.shape[-1])

    def _plan(self) -> Plan:
        return Plan(
            self.width,
            (1,),
            self.blocks,
            dropout=self.dropout,
            kernel=LECUN,
            attention_kernel=LECUN,
            last=ZEROS,
            time_kernel=ZEROS,
            time_bias=False,
            dtype=None if self.dtype is None else jnp.dtype(self.dtype),
        )

    def _scanned(self, plan: Plan, length: int, name: str) -> Any:
        layer = nn.remat(Layer, prevent_cse=False, static_argnums=(4,)) if self.remat else Layer
        axes: Any = (0, nn.broadcast, nn.broadcast)
        scanned = nn.scan(
            layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=axes,
            length=length,
        )
        return scanned(plan, self.attend, name=name)


def with_zeros(z: Batched, channels: int) -> Batched:
    """z in the first of so many channels."""
    return jnp.pad(z, [(0, 0)] * (z.ndim - 1) + [(0, channels - z.shape[-1])])
