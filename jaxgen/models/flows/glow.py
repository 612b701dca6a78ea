"""Glow: a multi-scale flow of actnorm, invertible 1x1 convolution and coupling.

Source: Kingma & Dhariwal 2018, "Glow: Generative Flow with Invertible 1x1 Convolutions"
(NeurIPS), and the official code (openai/glow). Where they differ, as on actnorm inside the
coupling network, the edge channel, the log-scale factor 3 and the order shift before scale, we
follow the code: the published numbers were made with it.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.bijectors.affine import ActNorm, ConditionalAffine, InvertibleConv
from jaxgen.bijectors.base import Bijector, Chain, Event, LogDet, Repeat, zero_logdet
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Multiscale, Squeeze
from jaxgen.bijectors.transforms import Scale, Shift
from jaxgen.nn.arrays import Features, Images, Resized, Wide
from jaxgen.nn.condition import Condition, added, aligned
from jaxgen.nn.conv import Conv, conv
from jaxgen.ops.activations import relu
from jaxgen.ops.channels import scale_channels, spread

CONDITIONERS = ("prior", "couplings")
COUPLINGS = {"affine": Scale("sigmoid"), "additive": Shift()}


def pad_edge(x: Images) -> Resized:
    """[B, H, W, C] -> [B, H+2, W+2, C+1]: a zero border, and a channel that is one on it.

    Tells a convolution where the image ends. Source: `add_edge_padding` in the official code.
    """
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    inside = jnp.zeros((x.shape[1] - 2, x.shape[2] - 2), x.dtype)
    border = jnp.pad(inside, 1, constant_values=1)
    return jnp.concatenate([x, jnp.broadcast_to(border[None, :, :, None], (*x.shape[:3], 1))], -1)


class ZeroConv(nn.Module):
    """3x3 convolution that starts at zero, its output scaled by exp(3 * log_scale).

    Source: `conv2d_zeros` in the official code.
    """

    features: int
    edge: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Features) -> Wide:
        """[B, H, W, C] -> [B, H, W, features], float32."""
        zeros = nn.initializers.zeros
        x, padding = (pad_edge(x), "VALID") if self.edge else (x, "SAME")
        y = Conv(self.features, (3, 3), padding=padding, kernel_init=zeros, dtype=self.dtype)(x)
        log_scale = self.param("log_scale", zeros, (self.features,))
        return scale_channels(y, jnp.exp(3 * log_scale))


class NormConv(nn.Module):
    """Convolution, then actnorm: scale * (x * kernel + bias).

    Computed as x * (scale * kernel) + scale * bias: the backward pass then needs no output of the
    convolution, and half of what a coupling network would have to keep is not kept.
    """

    features: int
    kernel_size: tuple[int, int]
    padding: str
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', features], float32."""
        shape = (*self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(0.05), shape)

        def convolve(kernel: Array) -> Resized:
            y = conv(x.astype(dtype), kernel.astype(dtype), padding=self.padding)
            return y.astype(jnp.promote_types(dtype, jnp.float32))

        dtype = self.dtype or x.dtype
        seen = convolve(kernel) if self.is_initializing() else jnp.zeros((1, 1, 1, self.features))
        bias, log_scale = ActNorm(name="norm").shift_and_log_scale(seen)
        scale = jnp.exp(log_scale)
        y = convolve(scale_channels(kernel, scale))
        return y + spread(scale * bias, y.shape)


class CouplingNet(nn.Module):
    """3x3, 1x1, 3x3 convolutions with actnorm and ReLU after the first two.

    Attributes:
        width: channels between the convolutions.
        dropout: rate after each ReLU; active when a random stream "dropout" is given. Not in
            the paper: small data sets need it.
        edge: add the edge channel to the 3x3 convolutions.
        dtype: what the convolutions compute in; None keeps float32.
        given: add what is given to the features of the first convolution.
    """

    width: int = 512
    dropout: float = 0.0
    edge: bool = True
    dtype: Any = None
    given: bool = False

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, H, W, C] -> [B, H, W, features]; see `given`."""
        padded, padding = (pad_edge(x), "VALID") if self.edge else (x, "SAME")
        h = self._hidden(padded, (3, 3), padding)
        h = added(h, cond) if self.given else h
        h = self._hidden(h, (1, 1), "VALID")
        return ZeroConv(features, self.edge, self.dtype, name="conv3")(h)

    def _hidden(self, x: Images, kernel: tuple[int, int], padding: str) -> Resized:
        h = relu(NormConv(self.width, kernel, padding, self.dtype)(x))
        return nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(h)


class SplitPrior(nn.Module):
    """Mean and log-scale of the channels that leave, from those that stay."""

    edge: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """`cond`, [B, H, W, C], -> [B, H, W, features]; x is not read."""
        if cond is None:
            raise ValueError("the prior of a split needs cond, the channels that stay")
        return ZeroConv(features, self.edge, self.dtype)(cond)


class TopPrior(nn.Module):
    """Mean and log-scale of the last latent: learned, and of what is given, as a class.

    Source: `prior` in the official code. The convolution sees zeros: what it learns is its
    bias and, through the edge channel, how the border differs.
    """

    edge: bool = True

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """`cond`, [B, K], a map or None, -> [B, H, W, features]; x is not read."""
        h = ZeroConv(features, self.edge)(jnp.zeros((*x.shape[:-1], features), x.dtype))
        if cond is None:
            return h
        zeros = nn.initializers.zeros
        by_class = nn.Dense(features, kernel_init=zeros)(cond.astype(x.dtype))
        log_scale = self.param("class_log_scale", zeros, (features,))
        return h + aligned(scale_channels(by_class, jnp.exp(3 * log_scale)), h.shape)


class Classify(Bijector):
    """The identity, which notes the logits of the class in the collection "logits".

    The logits are a linear map, zero at first, of the channels' means over all positions. It
    reads what the top prior has not seen yet: the prior knows the class.

    Source: `model` in the official code.

    Attributes:
        classes: number of them.
    """

    classes: int

    @nn.compact
    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """[B, H, W, C], unchanged."""
        zeros = nn.initializers.zeros
        logits = nn.Dense(self.classes, kernel_init=zeros)(jnp.mean(x, (1, 2)))
        log_scale = self.param("log_scale", zeros, (self.classes,))
        if self.is_mutable_collection("logits") and not self.is_initializing():
            self.sow("logits", "class", scale_channels(logits, jnp.exp(3 * log_scale)))
        return x, zero_logdet(x)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """[B, H, W, C], unchanged."""
        return y, zero_logdet(y)


class Glow(Bijector):
    """The flow: `levels` times (squeeze, `depth` steps, split).

    Images [B, H, W, C] to a tuple of noises, finest level first; H and W divisible by
    2**levels. The log-determinant is [B], in nats.

    Attributes:
        levels: L of the paper.
        depth: K of the paper: steps of flow per level.
        width: channels inside the coupling networks.
        coupling: "affine" or "additive".
        lu: LU form of the 1x1 convolution (plain in the official runs).
        edge: the official code's edge channel.
        dropout: inside the coupling networks.
        classes: add an auxiliary classifier of so many classes, see `Classify` and the option
            `class_weight` of the likelihood.
        conditioner: what is given, as a class, enters: "prior", that of the last latent, as in
            the official code; or "couplings", every coupling network too, as in Lu & Huang 2020,
            Structured output learning with conditional generative flows.
        memory: "store", "remat" or "invert", see `Repeat`.
        dtype: of the convolutions, as "bfloat16"; the flow's own state stays float32.
    """

    levels: int = 3
    depth: int = 32
    width: int = 512
    coupling: str = "affine"
    lu: bool = False
    edge: bool = True
    dropout: float = 0.0
    classes: int = 0
    conditioner: str = "prior"
    memory: str = "store"
    dtype: str | None = None

    def setup(self) -> None:
        """Builds the levels."""
        if self.coupling not in COUPLINGS:
            raise ValueError(f"coupling={self.coupling!r}, expected one of {sorted(COUPLINGS)}")
        if self.conditioner not in CONDITIONERS:
            raise ValueError(f"conditioner={self.conditioner!r}, expected one of {CONDITIONERS}")
        if self.dtype is not None and self.memory == "invert":
            raise ValueError(
                f"dtype={self.dtype!r} with memory='invert': a conditioner in half precision does "
                "not repeat itself on the way back; leave dtype at None or use memory='remat'"
            )
        split = [
            ConditionalAffine(SplitPrior(self.edge, self.dtype)) for _ in range(self.levels - 1)
        ]
        levels: list[tuple[Bijector, ...]]
        levels = [(Squeeze(), self._steps()) for _ in range(self.levels)]
        if self.classes:
            levels[-1] = (*levels[-1], Classify(self.classes))
        self.flow = Multiscale(
            levels=[Chain(parts) for parts in levels],
            priors=[*split, ConditionalAffine(TopPrior(self.edge))],
        )

    def _steps(self) -> Bijector:
        given = self.conditioner == "couplings"
        net = CouplingNet(self.width, self.dropout, self.edge, self.dtype, given)
        step = Chain((ActNorm(), InvertibleConv(self.lu), Coupling(COUPLINGS[self.coupling], net)))
        return Repeat(step, self.depth, self.memory)

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Images to noises."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noises to images."""
        return self.flow.inverse(y, cond)
