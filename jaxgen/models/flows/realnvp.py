"""RealNVP: affine couplings on checkerboards and channels of images, and on tables of numbers.

Source: Dinh et al. 2017, "Density estimation using Real NVP" (ICLR), and the official code
(tensorflow/models, research/real_nvp). Where they differ we follow the code: shift before scale,
batch normalisation by the batch's own moments, the order in which half of the dimensions leaves,
the mask as an input of the network. Unlike the code, the normalisation after a checkerboard
coupling leaves the kept pixels out of its moments, and there is no L2 penalty on the norms of
the kernels.

The tabular flow is that of Papamakarios et al. 2017, "Masked Autoregressive Flow" (section 4),
with its official code (gpapamak/maf).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.bijectors.base import Bijector, Chain, Event, Invert, LogDet, Repeat, per_channel
from jaxgen.bijectors.batch_norm import BatchNorm
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Mirror, Multiscale, OrderedSqueeze, Squeeze
from jaxgen.bijectors.masks import ChannelMask, Checkerboard, Mask, MaskedCoupling
from jaxgen.bijectors.permutation import Reverse
from jaxgen.bijectors.transforms import Scale, Theta, X
from jaxgen.nn.arrays import Features, Images, Wide
from jaxgen.nn.condition import Condition, added
from jaxgen.nn.conv import conv


@dataclasses.dataclass(frozen=True)
class ShiftScale:
    """x -> (x + shift) * exp(log_scale); it is the network that bounds the log-scale."""

    features: int = dataclasses.field(default=2, init=False)

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Shifts, then scales."""
        return (x + theta[..., 0]) * jnp.exp(theta[..., 1]), theta[..., 1]

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Undoes the scale, then the shift."""
        return y * jnp.exp(-theta[..., 1]) - theta[..., 0], -theta[..., 1]


class WeightNormConv(nn.Module):
    """Convolution whose kernels have unit norm, or a learned one.

    Source: Salimans & Kingma 2016, Weight normalization, equation 2; the initial values are
    those of the official code (`conv_layer`).

    Attributes:
        features: channels out.
        size: height and width of the kernel.
        magnitude: learn the norm of each kernel.
        bias: add one.
    """

    features: int
    size: int
    magnitude: bool = True
    bias: bool = True

    @nn.compact
    def __call__(self, x: Features) -> Wide:
        """[B, H, W, C] -> [B, H, W, features]."""
        shape = (self.size, self.size, x.shape[-1], self.features)
        spread = math.sqrt(2 / x.shape[-1])
        kernel = self.param("direction", jax.random.uniform, shape, x.dtype, -spread, spread)
        kernel = kernel / jnp.sqrt(jnp.sum(jnp.square(kernel), (0, 1, 2), keepdims=True))
        if self.magnitude:
            start = nn.initializers.constant(self.size / math.sqrt(6))
            magnitude = self.param("magnitude", start, (self.features,), x.dtype)
            kernel = kernel * per_channel(magnitude, 4)
        y = conv(x, kernel)
        if self.bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)
            y = y + per_channel(bias, 4)
        return y


def _norm(module: nn.Module) -> nn.BatchNorm:
    """Inside the networks: batch moments where the statistics may move, else running ones."""
    return nn.BatchNorm(
        use_running_average=not module.is_mutable_collection("batch_stats"),
        momentum=0.9,
        epsilon=1e-4,
        use_scale=False,
        use_fast_variance=False,
    )


Carry = tuple[Images, Images]  # h and the output


class ResidualBlock(nn.Module):
    """Adds to h what two 3x3 convolutions make of it, and to the output a 1x1 convolution of h."""

    width: int

    @nn.compact
    def __call__(self, carry: Carry, _: None) -> tuple[Carry, None]:
        """(h, out), [B, H, W, width] each, to the same."""
        h, out = carry
        r = nn.relu(_norm(self)(h))
        r = WeightNormConv(self.width, 3, magnitude=False, bias=False)(r)
        h = h + WeightNormConv(self.width, 3)(nn.relu(_norm(self)(r)))
        return (h, out + WeightNormConv(self.width, 1, name="skip")(h)), None


class ResidualNet(nn.Module):
    """The network of the image couplings: shift, and log-scale = rescale * tanh(...).

    `rescale` is one learned number, which starts at 0 on checkerboards, at 1 on channels.

    Source: the official code, `resnet` and the two `aff_coupling` functions.

    Attributes:
        width: channels of the hidden layers.
        blocks: residual blocks.
        mask: that of the coupling, an input too; None for a coupling of channels.
    """

    width: int
    blocks: int
    mask: Checkerboard | None = None

    @property
    def reversible(self) -> bool:
        """No: while training, its moments are of the batch, and it moves running ones."""
        return False

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, H, W, C] -> [B, H, W, features]; a condition [B, E] enters after the first layer."""
        h = _norm(self)(x)
        h = jnp.concatenate([h, -h], -1)
        if self.mask is not None:
            kept = jnp.asarray(self.mask.kept((*x.shape[1:-1], 1)), x.dtype)
            # half of the pixels are zero: twice the values have the variance of the others
            h = jnp.concatenate([2 * h, jnp.broadcast_to(kept, (*x.shape[:-1], 1))], -1)
        h = WeightNormConv(self.width, 3, magnitude=False, name="first")(nn.relu(h))
        h = added(h, cond)
        out = WeightNormConv(self.width, 1, name="skip")(h)
        blocks = nn.scan(
            ResidualBlock,
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            length=self.blocks,
        )
        (_, out), _ = blocks(self.width, name="blocks")((h, out), None)
        out = WeightNormConv(features, 1, name="last")(nn.relu(_norm(self)(out)))
        start = nn.initializers.constant(1.0 if self.mask is None else 0.0)
        rescale = self.param("rescale", start, (), x.dtype)
        shift, raw = out[..., ::2], out[..., 1::2]
        return jnp.stack([shift, rescale * jnp.tanh(raw)], -1).reshape(out.shape)


class RealNVP(Bijector):
    """The flow of images: at each scale couplings, then half of the dimensions leaves.

    A scale is three checkerboard couplings, three of the channels of the squeezed image, and
    the ordered squeeze; the last is four checkerboard couplings. Images [B, H, W, C] to a tuple
    of latents, finest first; H divisible by 2**(scales - 1), W by 2**scales. The
    log-determinant is [B], in nats.

    Attributes:
        scales: number of them.
        width: channels inside the networks of the first scale; each next scale has twice as
            many, and so have the couplings of channels within a scale.
        blocks: residual blocks of a network.
        norm: normalise after each coupling.
        memory: "store" or "remat", see `Repeat`.
    """

    scales: int = 2
    width: int = 64
    blocks: int = 8
    norm: bool = True
    memory: str = "store"

    def setup(self) -> None:
        """Builds the scales."""
        self.flow = Multiscale(
            levels=[self._scale(i) for i in range(self.scales)],
            priors=[Chain(()) for _ in range(self.scales)],
        )

    def _scale(self, i: int) -> Bijector:
        width = self.width * 2**i
        if i == self.scales - 1:
            return self._checkerboards(4, width)
        return Chain(
            (
                self._checkerboards(3, width),
                Squeeze(),
                self._channels(3, 2 * width),
                Invert(Squeeze()),
                OrderedSqueeze(),
            )
        )

    def _checkerboards(self, times: int, width: int) -> Bijector:
        mask = Checkerboard()
        net = ResidualNet(width, self.blocks, mask)
        return self._alternate(MaskedCoupling(ShiftScale(), net, mask), mask, Mirror, times)

    def _channels(self, times: int, width: int) -> Bijector:
        coupling = Coupling(ShiftScale(), ResidualNet(width, self.blocks))
        return self._alternate(coupling, ChannelMask(), Reverse, times)

    def _alternate(
        self, coupling: Bijector, mask: Mask, exchange: type[Bijector], times: int
    ) -> Bijector:
        """Couplings that keep one half, the other, the first again; compiled once.

        All keep the same half, and the halves change places in between: the same as two masks,
        with the kernels of every second network mirrored.
        """
        norm = (BatchNorm(mask),) if self.norm else ()
        steps = Repeat(Chain((coupling, *norm, exchange())), times, self.memory)
        return Chain((steps, exchange())) if times % 2 else steps

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Images to latents."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Latents to images."""
        return self.flow.inverse(y, cond)


class TwoNets(nn.Module):
    """The network of the tabular couplings: a ReLU network of shifts, a tanh one of log-scales.

    Both start at zero.

    Attributes:
        hidden: widths of the hidden layers of each.
    """

    hidden: Sequence[int]

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, D] -> [B, features]; a condition [B, E] is added after the first layer."""

        def mlp(activation: Any, name: str) -> Any:
            h = x
            for i, width in enumerate(self.hidden):
                h = nn.Dense(width, name=f"{name}{i}")(h)
                if i == 0:
                    h = added(h, cond, name=f"{name}_cond")
                h = activation(h)
            zeros = nn.initializers.zeros
            return nn.Dense(features // 2, kernel_init=zeros, name=f"{name}_last")(h)

        out = jnp.stack([mlp(nn.relu, "shift"), mlp(jnp.tanh, "log_scale")], -1)
        return out.reshape(x.shape[0], features)


class TabularRealNVP(Bijector):
    """The flow of vectors: couplings with alternating masks, each followed by batch normalisation.

    Points [B, D] to noise [B, D]. Log-scales are bounded by 5, which the official code leaves
    free.

    Attributes:
        depth: number of couplings.
        hidden: widths of the hidden layers.
        norm: normalise after each coupling.
        memory: "store", "remat", or without `norm` "invert", see `Repeat`.
    """

    depth: int = 5
    hidden: Sequence[int] = (100, 100)
    norm: bool = True
    memory: str = "store"

    def setup(self) -> None:
        """Builds the layers: pairs of couplings, and one more where the depth is odd."""
        layers = [self._layer(False)] * (self.depth % 2)
        if self.depth != 1:
            pair = Chain((self._layer(False), self._layer(True)))
            layers.insert(0, Repeat(pair, self.depth // 2, self.memory))
        self.flow = Chain(tuple(layers))

    def _layer(self, swap: bool) -> Bijector:
        coupling = MaskedCoupling(Scale("exp"), TwoNets(self.hidden), Checkerboard(swap))
        return Chain((coupling, BatchNorm(eps=1e-5, learned=True))) if self.norm else coupling

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Points to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to points."""
        return self.flow.inverse(y, cond)
