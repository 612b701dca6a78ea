"""StyleGAN3: a generator without aliases, which moves details with what they are part of.

Waves go in; each layer's signal has a band limit of its own, and its rectifier works at twice the
rate, between filters. Configuration T follows translations, R rotations too.

Source: Karras et al. 2021, Alias-free generative adversarial networks (NeurIPS), section 3, figure
4 and appendices C and D, with the official code (NVlabs/stylegan3), whose parameter counts these
networks have. The discriminator is that of StyleGAN2. Weights are divided by their root mean
square before modulation, and styles by that of the batch, as there. `clamp` is `conv_clamp`.
"""

from __future__ import annotations

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.models.gans.stylegan2 import Mapping
from jaxgen.nn.arrays import Images, LayerStyles, Resized, Styles
from jaxgen.nn.stylegan import NORMAL, EqualDense, Styled, clamped, modulated_conv
from jaxgen.ops.growth import cut, top_level
from jaxgen.ops.lowpass import image_by_image, lowpass, radial_lowpass, resampled, thinned
from jaxgen.ops.precision import narrow, plus, times, wide

Transforms = Float[Array, "b 3 3"]
FIRST_CUTOFF, FIRST_STOPBAND, LAST_STOPBAND = 2.0, 2.0**2.1, 2.0**0.3
TAPS = 6  # of a filter, times the factor of resampling
SCALE = 0.25  # of the image
MAGNITUDE_DECAY = 0.999


@dataclasses.dataclass(frozen=True)
class Signal:
    """What a layer gives: its rate and size, its band, its channels.

    Attributes:
        rate: samples along the image, s.
        size: of the array, with margins.
        cutoff: f_c.
        half_width: of the transition, f_h.
        channels: how many.
    """

    rate: int
    size: int
    cutoff: float
    half_width: float
    channels: int


def signals(
    side: int, colours: int, layers: int, critical: int, margin: int, base: int, most: int
) -> list[Signal]:
    """Of the `layers` + 1 layers, the last of which is the image.

    Source: appendix D.1 and table 5; the code has `critical` layers without a transition band at
    the end, and margins of so many pixels around what is seen.
    """
    last = side / 2
    exponents = np.minimum(np.arange(layers + 1) / (layers - critical), 1)
    cutoffs = FIRST_CUTOFF * (last / FIRST_CUTOFF) ** exponents
    stopbands = FIRST_STOPBAND * (last * LAST_STOPBAND / FIRST_STOPBAND) ** exponents
    rates = np.exp2(np.ceil(np.log2(np.minimum(2 * stopbands, side))))
    half_widths = np.maximum(stopbands, rates / 2) - cutoffs
    sizes = rates + 2 * margin
    sizes[-2:] = side
    channels = np.rint(np.minimum(base / 2 / cutoffs, most))
    channels[-1] = colours
    columns = zip(rates, sizes, cutoffs, half_widths, channels, strict=True)
    return [Signal(int(r), int(s), float(c), float(h), int(n)) for r, s, c, h, n in columns]


class Waves(nn.Module):
    """Waves of random frequencies, turned and shifted as w says, and mixed.

    Attributes:
        signal: whose band they fill.
    """

    signal: Signal

    @nn.compact
    def __call__(self, w: Styles, transforms: Transforms | None = None) -> Images:
        """w [B, style] -> [B, size, size, channels].

        Args:
            w: of the style.
            transforms: of the image's coordinates, in its sides around its centre: the inverses of
                how the image is to be moved; None leaves it.
        """
        channels, band = self.signal.channels, self.signal.cutoff
        frequencies = self.variable("constants", "frequencies", self._drawn, band)
        phases = self.variable("constants", "phases", self._phases)
        along = self.param("along", nn.initializers.zeros, (w.shape[1], 4))
        at = self.param("at", lambda *_: jnp.array([1.0, 0.0, 0.0, 0.0]))
        t = w @ along / math.sqrt(w.shape[1]) + at[None]
        t = t / jnp.linalg.norm(t[:, :2], axis=1, keepdims=True)
        zero, one = jnp.zeros(w.shape[0]), jnp.ones(w.shape[0])
        turned = _matrices((t[:, 0], -t[:, 1], zero), (t[:, 1], t[:, 0], zero), zero, one)
        moved = _matrices((one, zero, -t[:, 2]), (zero, one, -t[:, 3]), zero, one)
        total = turned @ moved
        if transforms is not None:
            total = total @ transforms
        shifts = phases.value[None] + jnp.einsum("cx,bx->bc", frequencies.value, total[:, :2, 2])
        waves = jnp.einsum("cx,bxy->bcy", frequencies.value, total[:, :2, :2])
        left = self.signal.rate / 2 - band
        size = jnp.linalg.norm(waves, axis=2)  # beyond the band after scaling: faded out
        amplitudes = jnp.clip(1 - (size - band) / left, 0.0, 1.0)
        n = self.signal.size
        places = (jnp.arange(n) + 0.5 - n / 2) / self.signal.rate
        angles = places.reshape(1, 1, n, 1) * waves[:, None, None, :, 0]
        angles += places.reshape(1, n, 1, 1) * waves[:, None, None, :, 1]
        x = jnp.sin(2 * jnp.pi * (angles + shifts[:, None, None])) * amplitudes[:, None, None]
        return x @ (self.param("mix", NORMAL, (channels, channels)) / math.sqrt(channels))

    def _drawn(self, band: float) -> Array:
        """Frequencies that fill a disc evenly, [channels, 2]."""
        f = jax.random.normal(self.make_rng("params"), (self.signal.channels, 2))
        radius = jnp.linalg.norm(f, axis=1, keepdims=True)
        return band * f / (radius * jnp.exp(0.25 * jnp.square(radius)))

    def _phases(self) -> Array:
        key = self.make_rng("params")
        return jax.random.uniform(key, (self.signal.channels,), minval=-0.5, maxval=0.5)


def _matrices(
    first: tuple[Array, ...], second: tuple[Array, ...], zero: Array, one: Array
) -> Transforms:
    """Of rows of [B] each, the third of which is (0, 0, 1)."""
    rows = [jnp.stack(row, axis=1) for row in (first, second, (zero, zero, one))]
    return jnp.stack(rows, axis=1)


class FilteredLayer(nn.Module):
    """A modulated convolution, and a rectifier between two filters; or the image's layer.

    Attributes:
        before: the signal that it is given.
        after: what it gives.
        image: the last layer: 1x1, no rectifier, no filters.
        kernel: side of the kernel.
        radial: the filter on the way down is the same in all directions.
        clamp: the largest activation, of either sign; None for any.
    """

    before: Signal
    after: Signal
    image: bool
    kernel: int
    radial: bool
    clamp: float | None

    @nn.compact
    def __call__(self, x: Images, w: Styles) -> Resized:
        """[B, size, size, C] and w [B, style] -> what `after` says.

        The mean square of what comes in moves where "moments" is mutable, before it is used.
        """
        width, side = x.shape[-1], 1 if self.image else self.kernel
        style = EqualDense(width, bias=1.0, name="affine")(w)
        kernel = self.param("kernel", NORMAL, (side, side, width, self.after.channels))
        bias = self.param("bias", nn.initializers.zeros, (self.after.channels,))
        if self.image:
            style = style / math.sqrt(width)
        else:
            kernel = kernel * jax.lax.rsqrt(jnp.mean(jnp.square(kernel), (0, 1, 2), keepdims=True))
            style = style * jax.lax.rsqrt(jnp.mean(jnp.square(style)))
        x = times(x, jax.lax.rsqrt(self._magnitude(x)))
        if side > 1:  # what a convolution with zeros beyond the borders gives of this is larger
            grown = (side // 2, side // 2)
            x = jnp.pad(x, ((0, 0), grown, grown, (0, 0)))
        y = modulated_conv(x, kernel, style, demodulate=not self.image)
        y = plus(y, bias.reshape(1, 1, 1, -1))
        return clamped(y, self.clamp) if self.image else self._rectified(y)

    def _magnitude(self, x: Images) -> Array:
        mean = self.variable("moments", "magnitude", jnp.ones, ())
        if self.is_mutable_collection("moments") and not self.is_initializing():
            now = jax.lax.stop_gradient(jnp.mean(jnp.square(wide(x))))
            mean.value = MAGNITUDE_DECAY * mean.value + (1 - MAGNITUDE_DECAY) * now
        return mean.value

    def _rectified(self, x: Images) -> Resized:
        """Upsampled, rectified, filtered, thinned out."""
        between = 2 * max(self.before.rate, self.after.rate)
        up, down = between // self.before.rate, between // self.after.rate
        taps_up, taps_down = (TAPS * k if k > 1 else 1 for k in (up, down))
        pad = (self.after.size - 1) * down + 1 + taps_up + taps_down - 2 - x.shape[1] * up
        low = (pad + up) // 2
        of_before = (taps_up, self.before.cutoff, self.before.half_width, float(between))
        of_after = (taps_down, self.after.cutoff, self.after.half_width, float(between))

        def rectified(x: Images) -> Resized:
            x = resampled(x, lowpass(*of_before), up, pad=(low, pad - low))
            x = clamped(math.sqrt(2) * jnp.where(x >= 0, x, 0.2 * x), self.clamp)
            if self.radial:
                return thinned(x, radial_lowpass(*of_after), down)
            return resampled(x, lowpass(*of_after), down=down)

        return image_by_image(rectified, x)


class Synthesis(nn.Module):
    """Waves, layers, the image; see `Generator` for the attributes."""

    base: int
    most: int
    layers: int
    critical: int
    margin: int
    rotations: bool
    clamp: float | None
    dtype: str | None

    @nn.compact
    def __call__(
        self,
        styles: LayerStyles,
        size: tuple[int, ...],
        noise: str = "none",
        transforms: Transforms | None = None,
    ) -> Images:
        """[B, layers + 2, style] -> `size`; there is no noise, whatever `noise` says."""
        if styles.shape[1] != self.layers + 2:
            raise ValueError(f"{styles.shape[1]} styles, expected {self.layers + 2}")
        options = (self.layers, self.critical, self.margin, self.base, self.most)
        planned = signals(2 ** top_level(size[1:3]), size[3], *options)
        x = Waves(planned[0], name="waves")(styles[:, 0], transforms)
        x = narrow(x, self.dtype)
        for i, after in enumerate(planned):
            layer = FilteredLayer(
                before=planned[max(i - 1, 0)],
                after=after,
                image=i == self.layers,
                kernel=1 if self.rotations else 3,
                radial=self.rotations and i < self.layers - self.critical,
                clamp=self.clamp,
                name=f"layer{i}",
            )
            x = layer(x, styles[:, i + 1])
        return cut(SCALE * wide(x), (size[1], size[2]))


class Generator(Styled):
    """z [B, latent] to images in [-1, 1], though nothing holds them there.

    Attributes:
        latent: width of z.
        style: width of w.
        mapping_layers: of the mapping.
        base: channels times twice the cutoff, as far as `most` allows.
        most: channels of low bands.
        layers: of the synthesis, without the image's.
        critical: of them at the end, whose band is the whole of what their rate can hold.
        margin: pixels around what is seen, of either side.
        rotations: configuration R, with kernels of one pixel and radial filters; else T.
        clamp: the largest activation, of either sign; None for any.
        dtype: of the layers after the waves, as "bfloat16"; None is float32.
    """

    latent: int = 512
    style: int = 512
    mapping_layers: int = 2
    base: int = 32_768
    most: int = 512
    layers: int = 14
    critical: int = 2
    margin: int = 10
    rotations: bool = False
    clamp: float | None = 256.0
    dtype: str | None = None

    def setup(self) -> None:
        """Names the mapping and the synthesis."""
        self.mapping = Mapping(self.style, self.mapping_layers, decay=0.998)
        self.synthesis = Synthesis(
            self.base,
            self.most,
            self.layers,
            self.critical,
            self.margin,
            self.rotations,
            self.clamp,
            self.dtype,
        )

    def num_styles(self, size: tuple[int, ...]) -> int:
        """How many w images of a size take."""
        return self.layers + 2
