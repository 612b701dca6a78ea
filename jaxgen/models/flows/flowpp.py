"""Flow++: mixture-of-logistics couplings with self-attention, and a flow for the dequantisation.

Source: Ho et al. 2019, "Flow++: Improving Flow-Based Generative Models with Variational
Dequantization and Architecture Design" (ICML), and the official code (aravindsrinivas/flowpp,
`flows/flows.py` and `run_cifar.py`). Where they differ we follow the code: its checkerboard is
one of columns, its actnorm has a scale for every pixel, and every layer of the networks starts by
the data. As there, no channels are factored out.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.affine import ActNorm
from jaxgen.bijectors.base import (
    Bijector,
    Chain,
    Event,
    Invert,
    LogDet,
    Repeat,
    positions,
    zero_logdet,
)
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Flatten
from jaxgen.bijectors.mixture import MixtureLogistic
from jaxgen.nn.arrays import Features, Images, Wide
from jaxgen.nn.condition import Condition, aligned
from jaxgen.nn.conv import conv

Position = Float[Array, "h w c"]  # an embedding
Context = Float[Array, "b h w e"] | Float[Array, "b 1 1 e"]
Halves = Float[Array, "2 half half"]  # a matrix for each half of the channels


class Stripes(Bijector):
    """Every second column (or row) becomes channels: [B, H, 2w, c] -> [B, H, w, 2c].

    The first half of the channels are the even columns: to a coupling, one of two interleaved
    images. Columns, then rows, are a squeeze in the order (row, column, c).

    Source: `CheckerboardSplit` and `SpaceToDepth` of the official code.

    Attributes:
        axis: 2 for columns, 1 for rows.
    """

    axis: int = 2

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Pixels to channels.

        Raises:
            ValueError: for an odd number of columns or rows.
        """
        if x.shape[self.axis] % 2:
            raise ValueError(f"Flow++ needs sides divisible by 4, got images {x.shape[1:]}")
        shape = (*x.shape[: self.axis], x.shape[self.axis] // 2, 2, *x.shape[self.axis + 1 :])
        y = jnp.moveaxis(x.reshape(shape), self.axis + 1, -2)
        return y.reshape(*y.shape[:-2], -1), zero_logdet(x)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Channels to pixels."""
        pairs = y.reshape(*y.shape[:-1], 2, y.shape[-1] // 2)
        x = jnp.moveaxis(pairs, -2, self.axis + 1)
        shape = (*y.shape[: self.axis], -1, *x.shape[self.axis + 2 :])
        return x.reshape(shape), zero_logdet(y)


class Flip(Bijector):
    """Exchanges the halves of the channels; its own inverse."""

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Second half first."""
        return jnp.concatenate(jnp.split(x, 2, axis=-1)[::-1], axis=-1), zero_logdet(x)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Second half first again."""
        return self.forward(y, cond)


class Pointwise(Bijector):
    """A 1x1 convolution of each half of the channels, which starts near the identity.

    Source: `Pointwise` of the official code.
    """

    noise: float = 1e-3

    @nn.compact
    def _weight(self, x: Features) -> tuple[Halves, LogDet]:
        def start(rng: Array) -> Halves:
            c = x.shape[-1] // 2
            eye = jnp.eye(c, dtype=x.dtype)[None]
            return eye + self.noise * jax.random.normal(rng, (2, c, c), x.dtype)

        weight = self.param("weight", start)
        return weight, zero_logdet(x) + positions(x) * jnp.sum(jnp.linalg.slogdet(weight)[1])

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Multiplies every pixel's halves by their matrices."""
        weight, logdet = self._weight(x)
        return _by_half(x, weight), logdet

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Multiplies them by the inverses."""
        weight, logdet = self._weight(y)
        return _by_half(y, jnp.linalg.inv(weight)), -logdet


def _by_half(x: Features, weight: Halves) -> Features:
    halves = x.reshape(*x.shape[:-1], 2, x.shape[-1] // 2)
    # in full precision everywhere, as `InvertibleConv`
    y = jnp.einsum("...hc,hcd->...hd", halves, weight, precision=jax.lax.Precision.HIGHEST)
    return y.reshape(x.shape)


class NormalizedConv(nn.Module):
    """A convolution that gives the first batch zero mean and a standard deviation of `scale`.

    Source: `conv2d` and `nin` of the official code, after Salimans & Kingma 2016, Weight
    normalization, section 3; the norm of the weights is not a parameter of its own.
    """

    features: int
    size: int = 3
    scale: float = 1.0

    @nn.compact
    def __call__(self, x: Features) -> Wide:
        """[B, H, W, C] -> [B, H, W, features]."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        start = jnp.zeros(shape, x.dtype), jnp.zeros(self.features, x.dtype)
        if self.is_initializing():
            kernel = 0.05 * jax.random.normal(self.make_rng("params"), shape, x.dtype)
            y = conv(x, kernel)
            scale = self.scale * jax.lax.rsqrt(jnp.var(y, (0, 1, 2)) + 1e-8)
            start = kernel * scale[None, None, None], -jnp.mean(y, (0, 1, 2)) * scale
        kernel = self.param("kernel", lambda _: start[0])
        bias = self.param("bias", lambda _: start[1])
        return conv(x, kernel) + bias[None, None, None]


def concat_elu(x: Features) -> Wide:
    """ELU of x and of -x, twice the channels."""
    return nn.elu(jnp.concatenate([x, -x], axis=-1))


def _gated(x: Features, change: Wide) -> Features:
    a, b = jnp.split(change, 2, axis=-1)
    return x + a * nn.sigmoid(b)


class GatedConv(nn.Module):
    """Residual of two convolutions and a gate; a context enters between them.

    Attributes:
        size: of the second kernel.
        dropout: rate before it; active when a random stream "dropout" is given.
    """

    size: int = 1
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Images, context: Context | None = None) -> Images:
        """[B, H, W, C], and a context [B, H, W, E] or [B, 1, 1, E]; returns the shape of x."""
        h = NormalizedConv(x.shape[-1])(concat_elu(x))
        if context is not None:
            h = h + NormalizedConv(x.shape[-1], 1, name="context")(concat_elu(context))
        h = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(concat_elu(h))
        return _gated(x, NormalizedConv(2 * x.shape[-1], self.size, 0.1)(h))


class GatedAttention(nn.Module):
    """Residual of multi-head self-attention over all pixels, and a gate."""

    heads: int = 4
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Images, position: Position) -> Images:
        """[B, H, W, C], and the positions' embedding [H, W, C]; returns the shape of x."""
        b, h, w, c = x.shape
        if c % self.heads:
            raise ValueError(f"width={c} is not divisible by heads={self.heads}")
        qkv = NormalizedConv(3 * c, 1)(x + position[None])
        q, k, v = jnp.moveaxis(qkv.reshape(b, h * w, 3, self.heads, c // self.heads), 2, 0)
        y = jax.nn.dot_product_attention(q, k, v).reshape(x.shape)
        y = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(y)
        return _gated(x, NormalizedConv(2 * c, 1, 0.1)(y))


class Block(nn.Module):
    """Gated convolution and gated attention, each normalised."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(
        self, x: Images, position: Position, context: Context | None
    ) -> tuple[Images, None]:
        """As a step of a scan: x is carried."""
        x = nn.LayerNorm(1e-5)(GatedConv(dropout=self.dropout)(x, context))
        x = nn.LayerNorm(1e-5)(GatedAttention(self.heads, self.dropout)(x, position))
        return x, None


class AttentionNet(nn.Module):
    """What a coupling makes of its first half: section 3.3 of the paper.

    Attributes:
        width: channels of the hidden layers.
        blocks: their number, of two residuals each.
        heads: of the attention.
        dropout: rate inside the blocks.
    """

    width: int = 96
    blocks: int = 10
    heads: int = 4
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, H, W, C] -> [B, H, W, features]; `cond` [B, H, W, E], or a class [B, E], or None."""
        if cond is not None:
            cond = aligned(cond, x.shape)
        small = nn.initializers.normal(0.01)
        position = self.param("position", small, (*x.shape[1:3], self.width), x.dtype)
        h = NormalizedConv(self.width, name="first")(x)
        scan = nn.scan(
            Block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True},
            in_axes=nn.broadcast,  # pyright: ignore[reportArgumentType]
            length=self.blocks,
        )
        h, _ = scan(self.heads, self.dropout, name="blocks")(h, position, cond)
        return NormalizedConv(features, 3, 0.1, name="last")(h)


def _steps(times: int, components: int, memory: str, **net: Any) -> Bijector:
    """`times` couplings, each half of the channels changed in turn."""
    norm = Flatten(ActNorm(log_scale_factor=1.0))
    coupling = Coupling(MixtureLogistic(components), AttentionNet(**net))
    return Repeat(Chain((norm, Pointwise(), coupling, Flip())), times, memory)


class FlowPP(Bijector):
    """The flow: 4 couplings of columns, squeeze, 2 of rows, 3 of columns.

    Images [B, H, W, C] to noise [B, H/2, W/2, 4C]; H even, W divisible by 4. The log-determinant
    is [B], in nats.

    Attributes:
        width: channels inside the couplings' networks.
        blocks: of each network.
        heads: of the attention, a divisor of the width.
        components: of each mixture.
        dropout: inside the networks.
        memory: "store" or "remat", see `Repeat`.
    """

    width: int = 96
    blocks: int = 10
    heads: int = 4
    components: int = 32
    dropout: float = 0.0
    memory: str = "store"

    def setup(self) -> None:
        """Builds the layers."""
        net = dict(width=self.width, blocks=self.blocks, heads=self.heads, dropout=self.dropout)
        steps = functools.partial(_steps, components=self.components, memory=self.memory, **net)
        columns, rows = Stripes(2), Stripes(1)
        self.flow = Chain(
            (
                *(columns, steps(4), rows),  # together a squeeze
                steps(2),
                *(columns, steps(3), Invert(columns)),
            )
        )

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Images to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to images."""
        return self.flow.inverse(y, cond)


class Dequantizer(Bijector):
    """Standard normal noise to the noise of `VariationalDequantize`, given the image as `cond`.

    Four couplings of columns, whose networks see features of the image.

    Source: section 3.1 of the paper; `Dequant` in `run_cifar.py`.

    Attributes:
        width: channels inside the couplings' networks.
        blocks: of each network.
        heads: of the attention, a divisor of the width.
        components: of each mixture.
        features: channels of what is made of the image.
        dropout: inside the networks.
    """

    width: int = 96
    blocks: int = 2
    heads: int = 4
    components: int = 32
    features: int = 32
    dropout: float = 0.0

    def setup(self) -> None:
        """Builds the layers."""
        self.first = NormalizedConv(self.features)
        self.rest = [GatedConv(3, self.dropout) for _ in range(3)]
        self.columns = Stripes(2)
        net = dict(width=self.width, blocks=self.blocks, heads=self.heads, dropout=self.dropout)
        steps = _steps(4, self.components, "store", **net)
        self.flow = Chain((self.columns, steps, Invert(self.columns)))

    def _context(self, image: Any) -> Any:
        h = self.first(self.columns.forward(image)[0])
        for layer in self.rest:
            h = layer(h)
        return h

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Standard normal noise to unbounded noise."""
        return self.flow.forward(x, self._context(cond))

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Unbounded noise to standard normal noise."""
        return self.flow.inverse(y, self._context(cond))
