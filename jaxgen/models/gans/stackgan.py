"""StackGAN: pictures of a text at several sizes, each made of the one before.

Source: Zhang et al. 2018, StackGAN++: Realistic image synthesis with stacked generative adversarial
networks (arXiv:1710.10916), section 4, with the official code's layers (code/model.py of
hanzhanggit/StackGAN-v2) and its orthogonal kernels. Conditioning augmentation is that of Zhang et
al. 2017, StackGAN (arXiv:1612.03242), section 3.2. There a log-variance passes the same
nonlinearity as the mean: with a gated linear unit here, with a leaky rectifier in the first paper.
The first paper's second stage, which begins anew with a picture of the first, is in
`stackgan_second`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Codes, Images, Logits, Resized
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.condition import beside
from jaxgen.nn.conv import Conv
from jaxgen.nn.gan_layers import doubled
from jaxgen.nn.words import Reader, unit

Texts = Float[Array, "b text"]
Means = Float[Array, "b code"]
Embedded = Float[Array, "b width"]
ORTHOGONAL = nn.initializers.orthogonal()
LEAST = 4  # side of the first and last maps
AUGMENTATIONS = ("glu", "leaky")
SLOPE = 0.2


class Painted(NamedTuple):
    """What a generator makes of a text.

    Attributes:
        images: [B, h, w, C] in [-1, 1], the smallest first.
        mean: of the text's code, [B, code].
        log_var: its log-variance.
    """

    images: tuple[Array, ...]
    mean: Array
    log_var: Array


def conv3(channels: int, name: str) -> Conv:
    """A convolution of 3x3 without a bias."""
    return Conv(channels, (3, 3), use_bias=False, kernel_init=ORTHOGONAL, name=name)


class Gated(nn.Module):
    """3x3, batch normalisation, and a gated linear unit, which halves the channels.

    Attributes:
        channels: that come out.
    """

    channels: int

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] -> [B, H, W, channels]."""
        return jax.nn.glu(BatchNorm(name="norm")(conv3(2 * self.channels, "conv")(x)))


class Residual(nn.Module):
    """x plus a gated 3x3 and another, normalised."""

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] -> the same."""
        h = Gated(x.shape[-1], name="gated")(x)
        return x + BatchNorm(name="norm")(conv3(x.shape[-1], "conv")(h))


class Augmentation(nn.Module):
    """Conditioning augmentation: a normal distribution of codes for each text.

    Attributes:
        code: width of codes.
        kind: "glu" of the second paper; "leaky" of the first, where a rectifier gives mean and
            log-deviation and the noise is cut off at two deviations.
    """

    code: int
    kind: str = "glu"

    @nn.compact
    def __call__(self, text: Texts) -> tuple[Means, Means, Means]:
        """A draw from the stream "noise", the mean and the log-variance, [B, code] each."""
        if self.kind not in AUGMENTATIONS:
            raise ValueError(f"augmentation={self.kind!r}, expected of {', '.join(AUGMENTATIONS)}")
        wide = 4 if self.kind == "glu" else 2
        h = nn.Dense(wide * self.code, kernel_init=ORTHOGONAL, name="dense")(text)
        h = jax.nn.glu(h) if self.kind == "glu" else jax.nn.leaky_relu(h, SLOPE)
        mean, spread = jnp.split(h, 2, axis=-1)
        log_var = spread if self.kind == "glu" else 2 * spread
        if self.kind == "glu":
            noise = jax.random.normal(self.make_rng("noise"), mean.shape)
        else:
            noise = jax.random.truncated_normal(self.make_rng("noise"), -2.0, 2.0, mean.shape)
        return mean + jnp.exp(0.5 * log_var) * noise, mean, log_var


class Generator(nn.Module):
    """z [B, latent] and a text to pictures in [-1, 1] of doubling sizes.

    Attributes:
        latent: width of z.
        width: channels of the features of the smallest picture; each stage has half as many.
        code: width of the text's code.
        stages: pictures.
        residual: blocks of a stage after the first.
        augmentation: of `AUGMENTATIONS`.
    """

    latent: int = 100
    width: int = 64
    code: int = 128
    stages: int = 3
    residual: int = 2
    augmentation: str = "glu"

    @nn.compact
    def painted(self, z: Codes, size: tuple[int, ...], text: Texts) -> Painted:
        """All pictures, the last one of `size` [B, H, W, C].

        Raises:
            ValueError: for a size that is no square of 4 times a power of two, or too small.
        """
        first = size[1] >> (self.stages - 1)
        times = int(math.log2(max(first // LEAST, 1)))
        if size[1] != size[2] or LEAST << (times + self.stages - 1) != size[1] or not times:
            raise ValueError(
                f"StackGAN of {self.stages} stages: images of {size[1]}x{size[2]}, expected a "
                f"square of {2 * LEAST << (self.stages - 1)} times a power of two: data.size"
            )
        code, mean, log_var = Augmentation(self.code, self.augmentation, name="augmentation")(text)
        channels = self.width << times
        dense = nn.Dense(
            2 * LEAST**2 * channels, use_bias=False, kernel_init=ORTHOGONAL, name="dense"
        )
        h = jax.nn.glu(BatchNorm(name="norm")(dense(jnp.concatenate([code, z], axis=-1))))
        h = h.reshape(-1, LEAST, LEAST, channels)
        for i in range(times):
            channels //= 2
            h = Gated(channels, name=f"up_{i}")(doubled(h))
        images = [self._image(h, size[3], 0)]
        for stage in range(1, self.stages):
            h = Gated(channels, name=f"joint_{stage}")(beside(h, code))
            for i in range(self.residual):
                h = Residual(name=f"residual_{stage}_{i}")(h)
            channels //= 2
            h = Gated(channels, name=f"grown_{stage}")(doubled(h))
            images.append(self._image(h, size[3], stage))
        return Painted(tuple(images), mean, log_var)

    def _image(self, h: Images, channels: int, stage: int) -> Resized:
        return jnp.tanh(conv3(channels, f"image_{stage}")(h))

    def __call__(self, z: Codes, size: tuple[int, ...], cond: Texts | None = None) -> Images:
        """[B, latent] -> `size`: the last picture.

        Raises:
            ValueError: without a text, or see `painted`.
        """
        if cond is None:
            raise ValueError("StackGAN is given a text: config.method.given=text")
        return self.painted(z, size, cond).images[-1]


class Discriminator(nn.Module):
    """Pictures of one size to logits: whether they are real, and of their text.

    Attributes:
        width: channels of the first convolution.
        depth: stride-two convolutions of the smallest size of picture; larger ones have more,
            whose channels are then brought back.
        unconditional: whether there is a logit that does not see the text.
    """

    width: int
    depth: int
    unconditional: bool = True

    @nn.compact
    def __call__(self, x: Images, code: Means) -> tuple[Logits, Logits | None]:
        """[B, H, W, C] and the text's code [B, K] to logits with and without the text, [B] each."""
        h, channels = x, self.width
        halvings = int(math.log2(x.shape[1] // LEAST))
        for i in range(halvings):
            channels = self.width << i
            down = Conv(
                channels,
                (4, 4),
                (2, 2),
                use_bias=False,
                kernel_init=ORTHOGONAL,
                name=f"down_{i}",
            )
            h = down(h)
            h = jax.nn.leaky_relu(BatchNorm(name=f"norm_{i}")(h) if i else h, SLOPE)
        for i in range(halvings - self.depth):
            channels //= 2
            h = self._plain(h, channels, f"narrow_{i}")
        joint = self._plain(beside(h, code), channels, "joint")
        real = self._logit(h, "real") if self.unconditional else None
        return self._logit(joint, "matching"), real

    def _plain(self, h: Images, channels: int, name: str) -> Resized:
        h = BatchNorm(name=f"{name}_norm")(conv3(channels, name)(h))
        return jax.nn.leaky_relu(h, SLOPE)

    def _logit(self, h: Images, name: str) -> Logits:
        return nn.Dense(1, kernel_init=ORTHOGONAL, name=name)(h.reshape(h.shape[0], -1))[:, 0]


class Discriminators(nn.Module):
    """One discriminator for each size of picture.

    Attributes:
        width: channels of the first convolution of each.
        unconditional: see `Discriminator`.
    """

    width: int = 64
    unconditional: bool = True

    @nn.compact
    def __call__(
        self, images: tuple[Array, ...], code: Means
    ) -> tuple[tuple[Array, Array | None], ...]:
        """Pictures, the smallest first, to pairs of logits [B]: with the text, without it."""
        depth = int(math.log2(images[0].shape[1] // LEAST))
        options = (self.width, depth, self.unconditional)
        return tuple(
            Discriminator(*options, name=f"size_{i}")(x, code) for i, x in enumerate(images)
        )


class Matcher(nn.Module):
    """Vectors of length one, of pictures and of texts: how well they go together.

    Source: as Reed et al. 2016, Learning deep representations of fine-grained visual descriptions,
    here with the loss of Radford et al. 2021 (CLIP), figure 3.

    Attributes:
        words: tokens of a text; a method takes 0 for those of its data.
        channels: of the first convolution, doubled by each of the others.
        embedding: width of the vectors of words.
        width: of the recurrent state, and of the vectors.
    """

    words: int = 0
    channels: int = 16
    embedding: int = 32
    width: int = 64

    def setup(self) -> None:
        """Names the parts."""
        self.convs = [
            Conv(self.channels << i, (3, 3), strides=(1 + (i > 0),) * 2) for i in range(4)
        ]
        self.of_picture = nn.Dense(self.width)
        self.reader = Reader(self.embedding, self.width)
        self.of_text = nn.Dense(self.width)

    def pictures(self, x: Images) -> Embedded:
        """Pictures in [-1, 1] to [B, width]."""
        h = x
        for conv in self.convs:
            h = jax.nn.gelu(conv(h))
        return unit(self.of_picture(h.reshape(h.shape[0], -1)))

    def texts(self, text: Texts) -> Embedded:
        """Texts, one-hot in rows, to [B, width]."""
        return unit(self.of_text(self.reader(text.reshape(text.shape[0], self.words, -1))))

    def __call__(self, x: Images, text: Texts) -> tuple[Embedded, Embedded]:
        """Pictures in [-1, 1] and texts, one-hot in rows [B, words * V], to [B, width] each."""
        return self.pictures(x), self.texts(text)
