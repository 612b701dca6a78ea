"""The cells of NVAE: residual cells of the two networks, and those of the posterior's flow.

They are layers without a model: `models/vaes/nvae.py` joins them.

Source: Vahdat & Kautz 2020, "NVAE: A Deep Hierarchical Variational Autoencoder" (NeurIPS),
figures 2 and 3 and section 3.1, and the official code (NVlabs/NVAE). Where they differ we follow
the code: its decoder cell has one more batch normalisation at either end, the residual is
multiplied by 0.1, the running variance is the unbiased one, and the flow does not see the data.

Kernels of convolutions and scales of normalisations are noted in the collection "intermediates",
as "kernel" and "scale", if it is mutable: methods penalise them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from jaxgen.bijectors.base import Bijector, Chain, LogDet, zero_logdet
from jaxgen.nn.arrays import Channels, Doubled, Images, Resized, Rows
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.condition import Condition
from jaxgen.nn.conv import conv
from jaxgen.ops.channels import scale_channels, spread

# PyTorch's default of all its layers, uniform within +-1 / sqrt(fan_in)
KERNEL_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")
RESIDUAL = 0.1  # weight of what a cell adds
MOMENTUM = 0.95  # of batch normalisation
HIDDEN = 6  # channels of a flow's hidden layers, for each latent one

Flag = Bool[Array, ""]
Count = Int[Array, ""]
Carry = tuple[Images, Flag, Count]


def _note(module: nn.Module, name: str, value: Array) -> None:
    """Keeps the value where the collection "intermediates" is mutable."""
    module.sow("intermediates", name, value, lambda _, new: new, lambda: value)


def _bias_init(fan_in: int) -> Callable[..., Array]:
    bound = 1 / math.sqrt(fan_in)
    return lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def causal_mask(shape: tuple[int, ...], depthwise: bool, strict: bool, mirror: bool) -> np.ndarray:
    """Mask of a kernel [kh, kw, ci, co], odd in size: what comes before in raster order is 1.

    Channels come in as many steps as the fewer of ci and co: at the centre, those of a step see
    the steps before theirs, and their own unless `strict`.

    Args:
        shape: of the kernel.
        depthwise: every channel sees itself alone.
        strict: no channel sees its own step.
        mirror: the raster runs backwards; the order of the channels stays.
    """
    height, width, ci, co = shape
    row, column = height // 2, width // 2
    mask = np.zeros(shape, np.float32)
    mask[:row] = 1
    mask[row, :column] = 1
    if depthwise:
        mask[row, column] = 0 if strict else 1
    else:
        steps = min(ci, co)
        source, target = np.arange(ci) * steps // ci, np.arange(co) * steps // co
        mask[row, column] = source[:, None] < target + (not strict)
    return mask[::-1, ::-1] if mirror else mask


class NormedConv(nn.Module):
    """A convolution whose kernels have a learned norm; padded to keep the size.

    Source: Salimans & Kingma 2016, Weight normalization, equation 2; the norm is learned as its
    logarithm and starts at that of the initial kernel.

    Attributes:
        features: channels out.
        size: height and width of the kernel, odd.
        stride: of both axes.
        bias: add one.
        normed: learn the norm; else the kernel is an ordinary one.
        depthwise: one kernel for every channel.
        causal: mask the kernel, see `causal_mask`; None, "strict" or "weak".
        mirror: of the mask.
        gain: of the initial norm.
    """

    features: int
    size: int = 3
    stride: int = 1
    bias: bool = True
    normed: bool = True
    depthwise: bool = False
    causal: str | None = None
    mirror: bool = False
    gain: float = 1.0

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H / stride, W / stride, features]."""
        inputs = 1 if self.depthwise else x.shape[-1]
        shape = (self.size, self.size, inputs, self.features)
        kernel = self.param("kernel", KERNEL_INIT, shape)
        if self.causal is not None:
            strict = self.causal == "strict"
            kernel = kernel * causal_mask(shape, self.depthwise, strict, self.mirror)
        if self.normed:
            norm = jnp.sqrt(jnp.sum(jnp.square(kernel), (0, 1, 2)))
            log_norm = self.param("log_norm", lambda _: jnp.log((norm + 1e-2) * self.gain))
            kernel = scale_channels(kernel, jnp.exp(log_norm) / (norm + 1e-5))
        _note(self, "kernel", kernel)
        groups = self.features if self.depthwise else 1
        y = conv(x, kernel, self.stride, self.size // 2, groups)
        if self.bias:
            init = _bias_init(math.prod(shape[:3]))
            y = y + spread(self.param("bias", init, (self.features,)), y.shape)
        return y


class SqueezeExcite(nn.Module):
    """Gates every channel by what all channels are on average.

    Source: Hu et al. 2018, Squeeze-and-excitation networks, section 3.
    """

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] to the same."""
        features = x.shape[-1]
        h = nn.relu(_dense(jnp.mean(x, (1, 2)), max(features // 16, 4), "squeeze"))
        gate = nn.sigmoid(_dense(h, features, "excite"))
        return x * gate[:, None, None, :]


def _dense(x: Rows, features: int, name: str) -> Channels:
    init = _bias_init(x.shape[-1])
    return nn.Dense(
        features, kernel_init=KERNEL_INIT, bias_init=lambda k, s, _: init(k, s), name=name
    )(x)


class FactorizedReduce(nn.Module):
    """Halves the image: four 1x1 convolutions of stride 2, one for each pixel of a square."""

    features: int

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H / 2, W / 2, features], H and W even."""
        x, part = nn.swish(x), self.features // 4
        widths = (part, part, part, self.features - 3 * part)
        corners = ((0, 0), (1, 1), (0, 1), (1, 0))  # the order of the official code
        parts = [
            NormedConv(width, 1, name=f"part{i}")(x[:, top::2, left::2])
            for i, (width, (top, left)) in enumerate(zip(widths, corners, strict=True))
        ]
        return jnp.concatenate(parts, -1)


def double_bilinear(x: Images) -> Doubled:
    """[B, H, W, C] -> [B, 2H, 2W, C], linear in between; corners stay corners (align_corners)."""
    for axis in (1, 2):
        size = x.shape[axis]
        place = np.arange(2 * size) * ((size - 1) / (2 * size - 1))
        weights = np.maximum(1 - np.abs(place[:, None] - np.arange(size)), 0).astype(x.dtype)
        x = jnp.moveaxis(jnp.tensordot(weights, x, (1, axis)), 0, axis)
    return x


def double_nearest(x: Images) -> Doubled:
    """[B, H, W, C] -> [B, 2H, 2W, C]: every pixel four times."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


class EncoderCell(nn.Module):
    """Two times (batch normalisation, swish, 3x3 convolution), then squeeze-excitation.

    Attributes:
        features: channels out; those of the input, but for `down`.
        down: halve the image.
    """

    features: int
    down: bool = False

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', features]."""
        h = x
        for i in range(2):
            stride = 2 if self.down and i == 0 else 1
            h = nn.swish(BatchNorm(MOMENTUM, name=f"norm{i}")(h))
            h = NormedConv(self.features, stride=stride, name=f"conv{i}")(h)
        skip = FactorizedReduce(self.features, name="skip")(x) if self.down else x
        return skip + RESIDUAL * SqueezeExcite(name="gate")(h)


class DecoderCell(nn.Module):
    """An inverted residual: wide 5x5 depthwise convolution between two 1x1, none weight-normed.

    Attributes:
        features: channels out; those of the input, but for `up`.
        expand: channels of the depthwise convolution, for each of the input's.
        up: double the image.
    """

    features: int
    expand: int
    up: bool = False

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', features]."""
        hidden = self.expand * x.shape[-1]
        plain = functools.partial(NormedConv, bias=False, normed=False)
        h = double_nearest(x) if self.up else x
        h = plain(hidden, 1, name="widen")(BatchNorm(MOMENTUM, name="norm0")(h))
        h = nn.swish(BatchNorm(MOMENTUM, name="norm1")(h))
        h = plain(hidden, 5, depthwise=True, name="depthwise")(h)
        h = nn.swish(BatchNorm(MOMENTUM, name="norm2")(h))
        h = plain(self.features, 1, name="narrow")(h)
        h = BatchNorm(MOMENTUM, name="norm3")(h)
        if self.up:  # the 1x1 convolution first: it commutes, and has a quarter of the pixels
            x = double_bilinear(NormedConv(self.features, 1, bias=False, name="skip")(x))
        return x + RESIDUAL * SqueezeExcite(name="gate")(h)


class FlowCell(Bijector):
    """z -> z - mean(z), where the mean of an element is of those before it: it keeps volume.

    Its Jacobian is triangular with ones, in raster order and of a pixel's channels from the first.

    Attributes:
        mirror: the raster runs backwards.
    """

    mirror: bool = False

    @nn.compact
    def _mean(self, z: Images) -> Images:
        width, layer = HIDDEN * z.shape[-1], functools.partial(NormedConv, mirror=self.mirror)
        h = nn.elu(layer(width, 3, bias=False, causal="strict", name="first")(z))
        h = layer(width, 5, bias=False, depthwise=True, causal="weak", name="middle")(h)
        h = nn.elu(nn.elu(h))  # twice, as in the official code
        return layer(z.shape[-1], 1, causal="weak", gain=0.1, name="last")(h)

    def forward(self, x: Images, cond: Condition | None = None) -> tuple[Images, LogDet]:
        """[B, H, W, C] to the same."""
        return x - self._mean(x), zero_logdet(x)

    def inverse(self, y: Images, cond: Condition | None = None) -> tuple[Images, LogDet]:
        """Exact, by iteration: each round settles at least one more element of an image.

        It ends when nothing changes, after far fewer rounds than there are elements.
        """
        most = y[0].size

        def unsettled(_: Bijector, carry: Carry) -> Flag:
            return carry[1] & (carry[2] < most)

        def improve(cell: FlowCell, carry: Carry) -> Carry:
            x, _, rounds = carry
            better = y + cell._mean(x)
            return better, jnp.any(better != x), rounds + 1

        begin = (y, jnp.bool_(True), jnp.int32(0))
        # Flax's annotation of the condition is bool, which no traced one is
        x, *_ = nn.while_loop(
            unsettled,  # pyright: ignore[reportArgumentType]
            improve,
            self,
            begin,
            broadcast_variables="params",
        )
        return x, zero_logdet(y)

    @property
    def reversible(self) -> bool:
        """No: the inverse is many rounds."""
        return False


def flow(times: int, name: str) -> Chain:
    """So many pairs of flow cells, the second of a pair mirrored."""
    return Chain([FlowCell(mirror) for _ in range(times) for mirror in (False, True)], name=name)
