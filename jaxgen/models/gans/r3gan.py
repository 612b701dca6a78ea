"""R3GAN: residual players without normalisation, of grouped convolutions.

Source: Huang et al. 2024, "The GAN is dead; long live the GAN! A Modern GAN Baseline" (NeurIPS),
section 4, with the official code (brownvc/R3GAN): blocks of ResNeXt (Xie et al. 2017) turned
inside out, the grouped convolution being the widest; the initialisation of Fixup (Zhang et al.
2019), whose blocks are the identity at first; resampling that the paper calls bilinear, whose taps
in the code are 1, 3, 3, 1 (its 1, 2, 1 widened by 1, 1); a basis of learned images at the coarsest
level of both players. Images of sides other than 4 times a power of two begin with a basis of what
halving leaves of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.models.gans.biggan import base
from jaxgen.models.gans.gan import leaky
from jaxgen.nn.arrays import Codes, Images, Logits, Wide
from jaxgen.nn.condition import Condition
from jaxgen.nn.conv import Conv
from jaxgen.nn.spectral_norm import Dense
from jaxgen.ops.channels import spread
from jaxgen.ops.precision import narrow, plus, wide
from jaxgen.ops.upfirdn import downsample, upsample

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # of He's initialiser with a leaky rectifier
LAYERS = 3  # of a block


def he(gain: float = 1.0) -> Callable[..., Array]:
    """Normal, of deviation gain / sqrt(fan in)."""
    if not gain:
        return nn.initializers.zeros
    return nn.initializers.variance_scaling(gain**2, "fan_in", "normal")


def one_by_one(x: Images, features: int, gain: float = 1.0, name: str | None = None) -> Wide:
    """A 1x1 convolution without biases, in the dtype of x."""
    init = he(gain)
    return Conv(features, (1, 1), use_bias=False, dtype=x.dtype, kernel_init=init, name=name)(x)


class Block(nn.Module):
    """x + W3 a(W2 a(W1 x)), W2 a grouped convolution, a with biases; the identity at first.

    Attributes:
        cardinality: groups of the convolution.
        blocks: of the whole network, which the scale of the initialisation depends on.
        expansion: channels between W1 and W3, over those of x.
        kernel: side of W2.
    """

    cardinality: int
    blocks: int
    expansion: int = 2
    kernel: int = 3

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, H, W, C] -> the same."""
        width = x.shape[-1] * self.expansion
        if width % self.cardinality:
            raise ValueError(f"cardinality={self.cardinality} does not divide {width} channels")
        gain = GAIN * self.blocks ** (-1 / (2 * LAYERS - 2))
        h = self._active(one_by_one(x, width, gain, name="widen"), "bias1")
        h = Conv(
            width,
            (self.kernel, self.kernel),
            feature_group_count=self.cardinality,
            use_bias=False,
            dtype=x.dtype,
            kernel_init=he(gain),
            name="grouped",
        )(h)
        h = self._active(h, "bias2")
        return x + one_by_one(h, x.shape[-1], 0.0, name="narrow")

    def _active(self, x: Images, name: str) -> Images:
        bias = self.param(name, nn.initializers.zeros, (x.shape[-1],))
        return leaky(plus(x, spread(bias, x.shape)), SLOPE)


class Generator(nn.Module):
    """z [B, latent] to images around [-1, 1], though nothing holds them there.

    Attributes:
        latent: width of z.
        widths: channels of the stages, the coarsest first; each after the first doubles the image.
        cardinalities: groups of each stage's convolutions.
        blocks: of each stage.
        embedding: width of the class's embedding, beside z.
        expansion: of blocks.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    latent: int = 64
    widths: Sequence[int] = (768, 768, 768, 768)
    cardinalities: Sequence[int] = (96, 96, 96, 96)
    blocks: Sequence[int] = (2, 2, 2, 2)
    embedding: int = 64
    expansion: int = 2
    dtype: str | None = None

    @nn.compact
    def __call__(self, z: Codes, size: tuple[int, ...], cond: Condition | None = None) -> Images:
        """[B, latent] -> `size`."""
        stages = _stages(self.widths, self.cardinalities, self.blocks)
        if cond is not None:
            embedded = Dense(self.embedding, False, he(), False, name="classes")(cond)
            z = jnp.concatenate([z, embedded], axis=-1)
        height, width = base(size, len(self.widths) - 1, "widths")
        basis = self.param("basis", nn.initializers.normal(1.0), (height, width, self.widths[0]))
        weights = Dense(self.widths[0], False, he(), False, name="weights")(z)
        x = narrow(basis[None] * weights[:, None, None], self.dtype)
        for i, (channels, cardinality, blocks) in enumerate(stages):
            if i:
                if channels != x.shape[-1]:
                    x = one_by_one(x, channels, name=f"to{i}")
                x = upsample(x)
            for j in range(blocks):
                block = Block(cardinality, sum(self.blocks), self.expansion, name=f"stage{i}_{j}")
                x = block(x)
        return wide(one_by_one(x, size[3], name="image"))


class Discriminator(nn.Module):
    """Images to logits; with a class, the product of features and its embedding.

    Attributes:
        widths: channels of the stages, the finest first; each before the last halves the image.
        cardinalities: groups of each stage's convolutions, the finest stage first.
        blocks: of each stage, the finest first.
        embedding: width of the features that the class's embedding is multiplied with.
        expansion: of blocks.
        dtype: of the computation, as "bfloat16"; None is float32.
    """

    widths: Sequence[int] = (768, 768, 768, 768)
    cardinalities: Sequence[int] = (96, 96, 96, 96)
    blocks: Sequence[int] = (2, 2, 2, 2)
    embedding: int = 768
    expansion: int = 2
    dtype: str | None = None

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None) -> Logits:
        """[B, H, W, C] -> [B]."""
        stages = _stages(self.widths, self.cardinalities, self.blocks)
        base(x.shape, len(self.widths) - 1, "widths")
        x = one_by_one(narrow(x, self.dtype), self.widths[0], name="image")
        for i, (channels, cardinality, blocks) in enumerate(stages):
            if i:
                x = downsample(x)
                if channels != x.shape[-1]:
                    x = one_by_one(x, channels, name=f"to{i}")
            for j in range(blocks):
                block = Block(cardinality, sum(self.blocks), self.expansion, name=f"stage{i}_{j}")
                x = block(x)
        init = nn.initializers.normal(1 / math.sqrt(x.shape[1] * x.shape[2]))
        basis = self.param("basis", init, x.shape[1:])
        h = jnp.einsum("bhwc,hwc->bc", wide(x), basis)
        if cond is None:
            return Dense(1, False, he(), False, name="logit")(h)[:, 0]
        init = he(1 / math.sqrt(self.embedding))
        rows = Dense(self.embedding, False, init, False, name="classes")(cond)
        features = Dense(self.embedding, False, he(), False, name="logit")(h)
        return jnp.sum(features * rows, axis=-1)


def _stages(*lists: Sequence[int]) -> list[tuple[int, ...]]:
    """Widths, cardinalities and blocks, stage by stage.

    Raises:
        ValueError: for lists of different lengths.
    """
    if len({len(one) for one in lists}) > 1:
        lengths = ", ".join(str(len(one)) for one in lists)
        raise ValueError(f"widths, cardinalities and blocks of {lengths} stages: expected as many")
    return list(zip(*lists, strict=True))
