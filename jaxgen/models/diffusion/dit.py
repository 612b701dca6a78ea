"""DiT: a Transformer over patches, which time and class tell how to normalise.

Source: Peebles & Xie 2023, "Scalable Diffusion Models with Transformers" (ICCV), section 3 and
appendix A, and the official code (facebookresearch/DiT); with two times it is the network of Geng
et al. 2025, "Mean Flows for One-step Generative Modeling". Time is the number of the step, 0 ..
1000, also of flow matching, where SiT (Ma et al. 2024) gives 0 .. 1. The class is a linear layer of
the one-hot row; its bias is the vector of no class.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Batched, Images, Resized, Rows
from jaxgen.nn.condition import Condition, divided
from jaxgen.nn.time import sinusoids
from jaxgen.nn.transformer import NORMAL, Attention, recomputed
from jaxgen.ops.products import joined_dot

Tokens = Float[Array, "b t width"]
Patches = Float[Array, "b t size"]
Table = Float[Array, "1 t width"]
XAVIER = nn.initializers.xavier_uniform()
ZEROS = nn.initializers.zeros
WAVES = 256  # of time


def places(rows: int, columns: int, width: int) -> Table:
    """Sines and cosines of the column, then of the row, of each token.

    Raises:
        ValueError: for a width that is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"width={width}, expected a multiple of 4: sin and cos of two axes")
    real = jnp.result_type(float)
    column, row = jnp.meshgrid(jnp.arange(columns, dtype=real), jnp.arange(rows, dtype=real))
    both = [sinusoids(v.reshape(1, -1), width // 2, "sin_cos") for v in (column, row)]
    return jnp.concatenate(both, axis=-1)


def patches(x: Images, side: int) -> Patches:
    """[B, H, W, C] -> [B, H W / side^2, side^2 C], row by row.

    Raises:
        ValueError: for sides of which `side` is no part.
    """
    b, h, w, c = x.shape
    if h % side or w % side:
        raise ValueError(f"patch={side} does not divide images of {h}x{w}")
    x = x.reshape(b, h // side, side, w // side, side, c)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(b, -1, side * side * c)


def unpatched(h: Patches, side: int, rows: int) -> Resized:
    """The reverse; `rows` of tokens."""
    b, t, size = h.shape
    h = h.reshape(b, rows, t // rows, side, side, size // side**2)
    return h.transpose(0, 1, 3, 2, 4, 5).reshape(b, rows * side, t // rows * side, -1)


def told(h: Tokens, scale: Rows, shift: Rows, dtype: Any) -> Tokens:
    """Normalised, scaled by 1 + scale and shifted."""
    norm = nn.LayerNorm(epsilon=1e-6, use_scale=False, use_bias=False, dtype=dtype)
    return norm(h) * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    """Attention and an MLP, whose inputs and outputs are scaled as the condition says: adaLN-zero.

    Attributes:
        heads: of the attention.
        dtype: of the computation.
    """

    heads: int
    dtype: Any = None

    @nn.compact
    def __call__(self, h: Tokens, emb: Rows) -> tuple[Tokens, None]:
        """[B, T, width] to the same; emb [B, width], after its nonlinearity."""
        width = h.shape[-1]
        layer = nn.Dense(6 * width, kernel_init=ZEROS, dtype=self.dtype, name="adapt")
        shift1, scale1, gate1, shift2, scale2, gate2 = jnp.split(layer(emb), 6, axis=-1)
        attention = Attention(self.heads, dtype=self.dtype, kernel=XAVIER, name="attention")
        h = h + gate1[:, None] * attention(told(h, scale1, shift1, self.dtype), None)
        options: Any = dict(kernel_init=XAVIER, dtype=self.dtype, dot_general=joined_dot)
        wide = nn.Dense(4 * width, name="wide", **options)
        narrow = nn.Dense(width, name="narrow", **options)
        a = jax.nn.gelu(wide(told(h, scale2, shift2, self.dtype)), approximate=True)
        return h + gate2[:, None] * narrow(a), None


class DiT(nn.Module):
    """The network, with the sizes of DiT-S/2; zero at first.

    Attributes:
        patch: side of the squares that are tokens.
        depth: number of blocks.
        width: of the tokens.
        heads: of each attention.
        times: how many an example has: 2 of MeanFlow, each embedded by its own layers.
        outputs: times the channels of x that are returned: 2 with a learned variance.
        remat: see `nn.transformer.Blocks`.
        dtype: of the blocks, as "bfloat16"; None is float32.
    """

    patch: int = 2
    depth: int = 12
    width: int = 384
    heads: int = 6
    times: int = 1
    outputs: int = 1
    remat: bool = False
    dtype: str | None = None

    @nn.compact
    def __call__(
        self, x: Images, time: Batched, cond: Condition | None = None, train: bool = False
    ) -> Resized:
        """[B, H, W, C] and 0 .. 1000 [B], or [B, times], to [B, H, W, outputs * C], float32.

        Args:
            x: noisy images or latents, of variance about one.
            time: how noisy they are.
            cond: what is given: rows are added to the embedding of time, a map stands beside x.
            train: without effect.

        Raises:
            ValueError: for another number of times.
        """
        if time.shape[1:] != ((self.times,) if self.times > 1 else ()):
            raise ValueError(f"times={self.times}, and time has the shape {time.shape}")
        channels, (x, rows) = self.outputs * x.shape[-1], divided(x, cond)
        emb = nn.silu(self._embedded(time.reshape(x.shape[0], self.times), rows))
        tokens = nn.Dense(self.width, kernel_init=XAVIER, name="patches")(patches(x, self.patch))
        across = x.shape[1] // self.patch, x.shape[2] // self.patch
        h = self._blocks()(tokens + places(*across, self.width), emb)
        shift, scale = jnp.split(
            nn.Dense(2 * self.width, kernel_init=ZEROS, name="adapt")(emb), 2, axis=-1
        )
        h = told(h.astype(emb.dtype), scale, shift, None)
        last = nn.Dense(self.patch**2 * channels, kernel_init=ZEROS, name="last")
        return unpatched(last(h), self.patch, across[0])

    def _embedded(self, time: Batched, rows: Batched | None) -> Batched:
        """What all blocks are told."""
        parts = []
        for i in range(self.times):
            first, second = (
                nn.Dense(self.width, kernel_init=NORMAL, name=f"time_{i}_{j}") for j in range(2)
            )
            parts.append(second(nn.silu(first(sinusoids(time[:, i], WAVES)))))
        if rows is not None:
            parts.append(nn.Dense(self.width, kernel_init=NORMAL, name="cond")(rows))
        return sum(parts[1:], parts[0])

    def _blocks(self) -> Any:
        """Tokens and what they are told to tokens, of the dtype of the blocks."""
        dtype = None if self.dtype is None else jnp.dtype(self.dtype)
        axes: Any = nn.broadcast
        scanned = nn.scan(
            recomputed(Block, self.remat),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=axes,
            length=self.depth,
        )
        blocks = scanned(self.heads, dtype, name="blocks")
        return lambda h, emb: blocks(h if dtype is None else h.astype(dtype), emb)[0]
