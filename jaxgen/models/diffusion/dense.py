"""A dense residual network that denoises points, rows of a table, or small images as vectors.

It has no source of its own: residual layers as those of pre-norm Transformers, without attention,
whose norms time and condition shift and scale (Perez et al. 2018, FiLM; Peebles & Xie 2023, DiT).
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Batched, Rows
from jaxgen.nn.condition import Condition, aligned
from jaxgen.nn.time import fourier_channels, sinusoids

Times = Float[Array, "b"] | Float[Array, "b times"]


class Layer(nn.Module):
    """x + W2 silu(W1 norm(x)), the norm shifted and scaled.

    Attributes:
        wide: features between.
        dropout: of them.
        dtype: of the computation.
    """

    wide: int
    dropout: float
    dtype: Any

    @nn.compact
    def __call__(self, x: Rows, told: Array, train: bool) -> tuple[Rows, None]:
        """[B, width] -> the same, with features [B, width] of time and condition."""
        width = x.shape[-1]
        told = nn.Dense(2 * width, dtype=self.dtype, name="told")(nn.silu(told))
        scale, shift = jnp.split(told, 2, axis=-1)
        norm = nn.LayerNorm(use_scale=False, use_bias=False, dtype=self.dtype, name="norm")
        h = norm(x) * (1 + scale) + shift
        h = nn.silu(nn.Dense(self.wide, dtype=self.dtype, name="wide")(h))
        h = nn.Dropout(self.dropout)(h, deterministic=not train)
        narrow = nn.Dense(width, dtype=self.dtype, name="narrow")
        return x + narrow(h), None


class Dense(nn.Module):
    """The network.

    Attributes:
        width: of the residual layers.
        layers: their number.
        widening: features inside of a layer, in widths.
        waves: of time, sines and cosines together.
        period: longest of the sines and cosines of x beside x, for fine edges; 0 for none.
        octaves: how many of them, each of half the period of the one before.
        dropout: inside of the layers.
        outputs: numbers said of each entry of x; two where variances are learnt.
        times: that the network is given.
        dtype: of the computation; None is float32.
    """

    width: int = 256
    layers: int = 3
    widening: int = 2
    waves: int = 256
    period: float = 0.0
    octaves: int = 4
    dropout: float = 0.0
    outputs: int = 1
    times: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(
        self, x: Batched, time: Times, cond: Condition | None = None, train: bool = False
    ) -> Batched:
        """What it says of noised data: zero before training.

        Args:
            x: [B, ..., C].
            time: [B] in 0 .. 1000, or [B, times].
            cond: what it is given, see `nn.condition`.
            train: use dropout.

        Returns:
            [B, ..., outputs * C].

        Raises:
            ValueError: for another number of times.
        """
        time = time.reshape(x.shape[0], -1)
        if time.shape[1] != self.times:
            raise ValueError(f"times={self.times}, but this method gives {time.shape[1]}")
        flat = x.reshape(x.shape[0], -1)
        seen = flat
        if self.period:
            seen = fourier_channels(flat / self.period, range(self.octaves))
        waves = sinusoids(time, self.waves).reshape(x.shape[0], -1)
        told = nn.silu(nn.Dense(self.width, dtype=self.dtype, name="time_1")(waves))
        told = nn.Dense(self.width, dtype=self.dtype, name="time_2")(told)
        if cond is not None:
            given = nn.Dense(self.width, use_bias=False, dtype=self.dtype, name="cond")
            told += given(aligned(cond, (x.shape[0], 1)))
        h = nn.Dense(self.width, dtype=self.dtype, name="first")(seen)
        axes: Any = (nn.broadcast, nn.broadcast)
        layers = nn.scan(
            Layer,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=axes,
            length=self.layers,
        )
        wide = self.widening * self.width
        h, _ = layers(wide, self.dropout, self.dtype, name="layers")(h, told, train)
        norm = nn.LayerNorm(dtype=self.dtype, name="norm")(h)
        last = nn.Dense(
            self.outputs * flat.shape[1], kernel_init=nn.initializers.zeros, name="last"
        )
        out = last(norm.astype(jnp.result_type(float)))
        out = out.reshape(*x.shape, self.outputs)
        return jnp.moveaxis(out, -1, -2).reshape(*x.shape[:-1], -1)
