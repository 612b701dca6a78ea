"""Layers of the StyleGAN family: equalised learning rates, modulated convolutions, noise.

Source: Karras et al. 2018, "Progressive Growing of GANs", section 4; Karras et al. 2020,
"Analyzing and Improving the Image Quality of StyleGAN", sections 2 and 3 and appendix B, with the
official code (NVlabs/stylegan2 and its ADA successor) where the papers are silent.

Layers of images compute in the dtype of what they are given. Parameters, styles, demodulation, the
sum of images and deviations of a batch are float32, as in the official code's half precision; its
division by largest entries is for the range of float16, which bfloat16 does not share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import (
    Channels,
    Codes,
    Examples,
    Features,
    Images,
    LayerStyles,
    Resized,
    Rows,
    Styles,
    Wide,
)
from jaxgen.nn.condition import Condition
from jaxgen.nn.conv import conv, conv_transpose
from jaxgen.ops.precision import plus, times, wide
from jaxgen.ops.upfirdn import BLUR, downsample, upfirdn

Kernel = Float[Array, "kh kw c co"]
NORMAL = nn.initializers.normal(1.0)
LEAST = 1e-8
AVERAGE_DECAY = 0.995  # of the mean of w, a training pass
SLOPE, GAIN = 0.2, math.sqrt(2)  # of the leaky rectifier


def lrelu(x: Examples) -> Examples:
    """A leaky rectifier that keeps the variance."""
    return jnp.where(x >= 0, GAIN * x, (GAIN * SLOPE) * x)


def clamped(x: Examples, most: float | None) -> Examples:
    """x within [-most, most]; as it is for None."""
    return x if most is None else jnp.clip(x, -most, most)


def unit_length(x: Examples) -> Examples:
    """[B, ..., D] over the root of the mean of squares of each row, or of each pixel."""
    return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + LEAST)


def channels_at(side: int, base: int, most: int) -> int:
    """Of the layers at a resolution."""
    return min(base // side, most)


class EqualDense(nn.Module):
    """A dense layer whose kernel is scaled when it is used, not when it is drawn.

    Attributes:
        features: out.
        rate: multiplies the learning rate of kernel and bias.
        bias: what the bias begins at.
        active: apply `lrelu`.
        use_bias: whether to add a bias.
    """

    features: int
    rate: float = 1.0
    bias: float = 0.0
    active: bool = False
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Rows) -> Channels:
        """[B, D] -> [B, features]."""
        width = x.shape[-1]
        init = nn.initializers.normal(1 / self.rate)
        kernel = self.param("kernel", init, (width, self.features))
        y = x @ (kernel * (self.rate / math.sqrt(width))).astype(x.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.constant(self.bias), (self.features,))
            y = plus(y, (bias * self.rate)[None])
        return lrelu(y) if self.active else y


class EqualConv(nn.Module):
    """A convolution whose kernel is scaled when it is used; halves through `BLUR` if `down`.

    Attributes:
        features: channels out.
        kernel: its side, 1 or 3.
        down: halve the image.
        use_bias: whether to add a bias.
        active: apply `lrelu`.
        gain: of the output.
        clamp: the largest output before `gain`, of either sign; None for any.
    """

    features: int
    kernel: int = 3
    down: bool = False
    use_bias: bool = True
    active: bool = True
    gain: float = 1.0
    clamp: float | None = None

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H', W', features]."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", NORMAL, shape) / math.sqrt(math.prod(shape[:3]))
        if not self.down:
            y = conv(x, kernel)
        elif self.kernel == 1:
            y = conv(downsample(x), kernel)
        else:
            y = conv(upfirdn(x, BLUR, pad=(2, 2)), kernel, 2, "VALID")
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            y = plus(y, bias.reshape(1, 1, 1, -1))
        return self.gain * clamped(lrelu(y) if self.active else y, self.clamp)


class Biased(nn.Module):
    """A bias, then a leaky rectifier of slope 0.2 that leaves the gain to the kernel before it.

    ProGAN and the first StyleGAN have it so; `lrelu` with its gain would make the same networks
    with biases that learn faster.

    Attributes:
        rate: multiplies the learning rate of the bias.
    """

    rate: float = 1.0

    @nn.compact
    def __call__(self, x: Features) -> Features:
        """[B, ..., C] -> the same."""
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],)) * self.rate
        y = plus(x, bias.reshape(*(1,) * (x.ndim - 1), -1))
        return jnp.where(y >= 0, y, SLOPE * y)


def modulated_conv(
    x: Images, kernel: Kernel, style: Channels, demodulate: bool = True, up: bool = False
) -> Resized:
    """A convolution whose kernel is scaled for each example: w'_ijk = s_i w_ijk.

    Activations are scaled instead, before and after: no kernel is made for each example, and a
    batch that is split over devices stays so. `up` doubles the image by a transposed convolution
    and `BLUR`.

    Source: Karras et al. 2020, equations 1 and 3.

    Args:
        x: [B, H, W, ci].
        kernel: [k, k, ci, co].
        style: [B, ci].
        demodulate: bring the norm of each output's kernel to one.
        up: double the image.

    Returns:
        [B, H', W', co], of the dtype of x.
    """
    b, _, _, ci = x.shape
    x = times(x, style.reshape(b, 1, 1, ci))
    if up:
        y = conv_transpose(x, kernel, 2, "VALID")
        y = upfirdn(y, [2 * tap for tap in BLUR], pad=(1, 1))
    else:
        y = conv(x, kernel)
    if demodulate:
        squares = jnp.sum(jnp.square(kernel), axis=(0, 1))
        norm = jax.lax.rsqrt(jnp.square(style) @ squares + LEAST)
        y = times(y, norm.reshape(b, 1, 1, -1))
    return y


def noisy(layer: nn.Module, x: Images, noise: str, shape: tuple[int, ...]) -> Images:
    """Noise of one channel on x [B, H, W, C], at a strength that is learnt from zero.

    Args:
        layer: whose parameter "strength" it is, and whose constant "noise".
        x: images.
        noise: "random" draws it from the stream "noise", "const" takes that of the
            initialisation, "none" adds none.
        shape: of the strength, () or (C,).
    """
    b, height, width, _ = x.shape
    strength = layer.param("strength", nn.initializers.zeros, shape)
    strength = strength.reshape(1, 1, 1, -1)
    kept = layer.variable(
        "constants",
        "noise",
        lambda: jax.random.normal(layer.make_rng("params"), (1, height, width, 1)),
    )
    if noise == "random":
        drawn = jax.random.normal(layer.make_rng("noise"), (b, height, width, 1))
        return plus(x, strength * drawn)
    if noise == "const":
        return plus(x, strength * kept.value)
    if noise != "none":
        raise ValueError(f"noise={noise!r}, expected 'random', 'const' or 'none'")
    return x


def remembered(mapping: nn.Module, w: Styles, decay: float = AVERAGE_DECAY) -> Styles:
    """w [B, style] as it is; its mean moves where "moments" is mutable.

    Args:
        mapping: whose variable "mean" of the collection "moments" it is.
        w: what the mapping returns.
        decay: of the mean, a pass.
    """
    mean = mapping.variable("moments", "mean", jnp.zeros, w.shape[1:])
    if mapping.is_mutable_collection("moments") and not mapping.is_initializing():
        mean.value = decay * mean.value + (1 - decay) * jnp.mean(w, axis=0)
    return w


class Styled(nn.Module):
    """z to w, and w to images: what generators with styles have in common.

    A subclass makes `mapping` and `synthesis` in its `setup`, and has `num_styles`.
    """

    def __call__(
        self,
        z: Codes,
        size: tuple[int, ...],
        cond: Condition | None = None,
        noise: str = "random",
        **options: Any,
    ) -> Images:
        """[B, latent] -> `size`, one w for all layers; `options` as of the synthesis."""
        styles = self.spread(self.map(z, cond), size)
        return self.synthesize(styles, size, noise, **options)

    def map(self, z: Codes, cond: Condition | None = None) -> Styles:
        """z [B, latent] to w [B, style]."""
        return self.mapping(z, cond)

    def num_styles(self, size: tuple[int, ...]) -> int:
        """How many w images of a size take."""
        raise NotImplementedError

    def spread(self, w: Styles, size: tuple[int, ...]) -> LayerStyles:
        """w [B, style] to one for every layer, [B, num, style]."""
        num = self.num_styles(size)
        return jnp.broadcast_to(w[:, None], (w.shape[0], num, w.shape[-1]))

    def synthesize(
        self, styles: LayerStyles, size: tuple[int, ...], noise: str = "random", **options: Any
    ) -> Images:
        """w of every layer, [B, num, style], to images of `size`; see `noisy` for noise."""
        return self.synthesis(styles, size, noise, **options)


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias, rectifier.

    Attributes:
        features: channels out.
        up: double the image.
        clamp: the largest output, of either sign; None for any.
    """

    features: int
    up: bool = False
    clamp: float | None = None

    @nn.compact
    def __call__(self, x: Images, w: Styles, noise: str) -> Resized:
        """[B, H, W, C] and w [B, style] -> [B, H', W', features].

        Args:
            x: images.
            w: of the style.
            noise: see `noisy`.
        """
        style = EqualDense(x.shape[-1], bias=1.0, name="affine")(w)
        kernel = self.param("kernel", NORMAL, (3, 3, x.shape[-1], self.features))
        y = modulated_conv(x, kernel, style, up=self.up)
        y = noisy(self, y, noise, ())
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return clamped(lrelu(plus(y, bias.reshape(1, 1, 1, -1))), self.clamp)


class ToImage(nn.Module):
    """A modulated 1x1 convolution to the channels of the image, not demodulated.

    Attributes:
        features: channels of the image.
        clamp: as of `StyledConv`.
    """

    features: int
    clamp: float | None = None

    @nn.compact
    def __call__(self, x: Images, w: Styles) -> Wide:
        """[B, H, W, C] and w [B, style] -> [B, H, W, features]."""
        width = x.shape[-1]
        style = EqualDense(width, bias=1.0, name="affine")(w) / math.sqrt(width)
        kernel = self.param("kernel", NORMAL, (1, 1, width, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        y = modulated_conv(x, kernel, style, demodulate=False)
        return clamped(plus(y, bias.reshape(1, 1, 1, -1)), self.clamp)


def with_deviation(x: Images, group: int | None = 4) -> Wide:
    """A further channel: the mean standard deviation of each pixel over a group of examples.

    Groups are every so manieth example of the global batch, as in the official code.

    Source: Karras et al. 2018, section 3.

    Args:
        x: [B, H, W, C].
        group: examples of a group, at most; None for the whole batch.

    Raises:
        ValueError: for a batch that does not fall into such groups.
    """
    b, h, w, c = x.shape
    size = b if group is None else min(group, b)
    if b % size:
        raise ValueError(f"groups of {size} do not divide the batch of {b}")
    y = wide(x).reshape(size, b // size, h, w, c)
    y = y - jnp.mean(y, axis=0, keepdims=True)
    deviation = jnp.mean(jnp.sqrt(jnp.mean(jnp.square(y), axis=0) + LEAST), axis=(1, 2, 3))
    channel = jnp.tile(deviation, size).astype(x.dtype).reshape(b, 1, 1, 1)
    return jnp.concatenate([x, jnp.broadcast_to(channel, (b, h, w, 1))], axis=-1)


def of_affine_maps(change: Callable[[Array], Array]) -> Any:
    """A context in which what affine maps of styles give is changed, in the order of layers."""

    def intercepted(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        y = call(*args, **kwargs)
        own = context.module.name == "affine" and context.method_name == "__call__"
        return change(y) if own else y

    return nn.intercept_methods(intercepted)
