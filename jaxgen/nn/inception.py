"""The network of the Frechet inception distance: "inception-2015-12-05", as its weights want it.

Source: the TensorFlow graph `classify_image_graph_def.pb`, which Heusel et al. 2017
(arXiv:1706.08500) took, in the form and with the names of the weights that mseitzer/pytorch-fid
published. It differs from the Inception v3 of Szegedy et al. 2016 (arXiv:1512.00567) in libraries:
mean pools leave the padding out of the mean, the last block has a maximum where the one before it
has a mean, there are 1008 logits, and no auxiliary ones.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jaxgen.nn.arrays import Batched, Images, Resized, Wide
from jaxgen.nn.conv import conv

SIDE = 299  # height and width that the network was trained on
LOGITS = 1008
EPS = 1e-3  # of batch normalisation
HIGHEST = lax.Precision.HIGHEST


class ConvNorm(nn.Module):
    """A convolution without bias, batch normalisation by kept statistics, ReLU.

    The parameters are those of the file; the normalisation is folded into the kernel.
    """

    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: str = "SAME"

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, H, W, C] to [B, H', W', features]."""
        shape = (*self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.he_normal(), shape)
        start = (("scale", 1), ("bias", 0), ("mean", 0), ("var", 1))
        scale, bias, mean, var = (
            self.param(name, nn.initializers.constant(value), (self.features,))
            for name, value in start
        )
        factor = scale / jnp.sqrt(var + EPS)
        y = conv(x, kernel * factor[None, None, None], self.stride, self.padding, 1, HIGHEST)
        return nn.relu(y + (bias - mean * factor)[None, None, None])


def mean_pool(x: Images) -> Images:
    """Means of 3x3 around each pixel, over those pixels that there are."""
    return nn.avg_pool(x, (3, 3), (1, 1), "SAME", count_include_pad=False)


def max_pool(x: Images, stride: int = 2) -> Resized:
    """Maxima of 3x3: around each pixel with stride 1, without padding with stride 2."""
    return nn.max_pool(x, (3, 3), (stride, stride), "VALID" if stride == 2 else "SAME")


def _chain(x: Images, name: str, *layers: tuple[Any, ...]) -> Resized:
    """Convolutions one after the other, called name_1, name_2, ..."""
    for i, layer in enumerate(layers, 1):
        x = ConvNorm(*layer, name=f"{name}_{i}")(x)
    return x


class BlockA(nn.Module):
    """1x1, 5x5 and twice 3x3 at 35x35."""

    pooled: int

    @nn.compact
    def __call__(self, x: Images) -> Wide:
        """[B, 35, 35, C] to [B, 35, 35, 224 + pooled]."""
        three = (96, (3, 3))
        return jnp.concatenate(
            [
                ConvNorm(64, name="branch1x1")(x),
                _chain(x, "branch5x5", (48,), (64, (5, 5))),
                _chain(x, "branch3x3dbl", (64,), three, three),
                ConvNorm(self.pooled, name="branch_pool")(mean_pool(x)),
            ],
            -1,
        )


class BlockB(nn.Module):
    """From 35x35 to 17x17."""

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, 35, 35, C] to [B, 17, 17, 480 + C]."""
        down = ((3, 3), 2, "VALID")
        return jnp.concatenate(
            [
                ConvNorm(384, *down, name="branch3x3")(x),
                _chain(x, "branch3x3dbl", (64,), (96, (3, 3)), (96, *down)),
                max_pool(x),
            ],
            -1,
        )


class BlockC(nn.Module):
    """7x7 as 1x7 and 7x1, at 17x17."""

    width: int

    @nn.compact
    def __call__(self, x: Images) -> Images:
        """[B, 17, 17, 768] to the same."""
        c, wide, tall = self.width, (1, 7), (7, 1)
        double = ((c,), (c, tall), (c, wide), (c, tall), (192, wide))
        return jnp.concatenate(
            [
                ConvNorm(192, name="branch1x1")(x),
                _chain(x, "branch7x7", (c,), (c, wide), (192, tall)),
                _chain(x, "branch7x7dbl", *double),
                ConvNorm(192, name="branch_pool")(mean_pool(x)),
            ],
            -1,
        )


class BlockD(nn.Module):
    """From 17x17 to 8x8."""

    @nn.compact
    def __call__(self, x: Images) -> Resized:
        """[B, 17, 17, 768] to [B, 8, 8, 1280]."""
        down = ((3, 3), 2, "VALID")
        long = ((192,), (192, (1, 7)), (192, (7, 1)), (192, *down))
        return jnp.concatenate(
            [
                _chain(x, "branch3x3", (192,), (320, *down)),
                _chain(x, "branch7x7x3", *long),
                max_pool(x),
            ],
            -1,
        )


class BlockE(nn.Module):
    """3x3 as 1x3 beside 3x1, at 8x8.

    Attributes:
        maximum: pool by maxima, as the last block does, not by means.
    """

    maximum: bool

    @nn.compact
    def __call__(self, x: Images) -> Wide:
        """[B, 8, 8, C] to [B, 8, 8, 2048]."""

        def fork(x: Images, name: str) -> list[Wide]:
            sides = (("a", (1, 3)), ("b", (3, 1)))
            return [ConvNorm(384, side, name=name + letter)(x) for letter, side in sides]

        single = ConvNorm(384, name="branch3x3_1")(x)
        double = _chain(x, "branch3x3dbl", (448,), (384, (3, 3)))
        pooled = max_pool(x, 1) if self.maximum else mean_pool(x)
        return jnp.concatenate(
            [
                ConvNorm(320, name="branch1x1")(x),
                *fork(single, "branch3x3_2"),
                *fork(double, "branch3x3dbl_3"),
                ConvNorm(192, name="branch_pool")(pooled),
            ],
            -1,
        )


class Inception(nn.Module):
    """Images to features of five depths."""

    @nn.compact
    def __call__(self, x: Images) -> dict[str, Batched]:
        """Features and logits.

        Args:
            x: float32 [B, 299, 299, 3], (levels - 128) / 128.

        Returns:
            "64", "192", "768", "2048": means over the pixels after the first two pools, the last
            block of 17x17 and the last of all, [B, that many]; "logits_unbiased" and "logits",
            [B, 1008], without the last bias (of the inception score) and with it.
        """
        taps = {}
        x = ConvNorm(32, (3, 3), 2, "VALID", name="Conv2d_1a_3x3")(x)
        x = ConvNorm(32, (3, 3), 1, "VALID", name="Conv2d_2a_3x3")(x)
        x = max_pool(ConvNorm(64, (3, 3), name="Conv2d_2b_3x3")(x))
        taps["64"] = x.mean((1, 2))
        x = ConvNorm(80, name="Conv2d_3b_1x1")(x)
        x = max_pool(ConvNorm(192, (3, 3), 1, "VALID", name="Conv2d_4a_3x3")(x))
        taps["192"] = x.mean((1, 2))
        for letter, pooled in (("b", 32), ("c", 64), ("d", 64)):
            x = BlockA(pooled, name=f"Mixed_5{letter}")(x)
        x = BlockB(name="Mixed_6a")(x)
        for letter, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            x = BlockC(width, name=f"Mixed_6{letter}")(x)
        taps["768"] = x.mean((1, 2))
        x = BlockD(name="Mixed_7a")(x)
        x = BlockE(False, name="Mixed_7b")(x)
        x = BlockE(True, name="Mixed_7c")(x)
        taps["2048"] = x.mean((1, 2))
        kernel = self.param("fc_kernel", nn.initializers.lecun_normal(), (2048, LOGITS))
        bias = self.param("fc_bias", nn.initializers.zeros, (LOGITS,))
        taps["logits_unbiased"] = jnp.matmul(taps["2048"], kernel, precision=HIGHEST)
        taps["logits"] = taps["logits_unbiased"] + bias[None]
        return taps
