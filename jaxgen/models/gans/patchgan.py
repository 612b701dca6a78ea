"""Discriminators that judge patches: one logit for each, and their mean for the image.

Source: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"
(CVPR), section 3.2.2 and appendix 6.1.2; Wang et al. 2018, "High-Resolution Image Synthesis and
Semantic Manipulation with Conditional GANs" (pix2pixHD), section 3.2, for several scales. Paddings
are those of the PyTorch code (junyanz/pytorch-CycleGAN-and-pix2pix). There the loss is taken of
each patch and each scale, and then its mean or sum; a logit for each image has its mean taken
first, which is the same for the Wasserstein game alone.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jaxgen.models.gans.gan import leaky
from jaxgen.nn.conv import Conv
from jaxgen.nn.gan_layers import BatchNorm

INIT = nn.initializers.normal(0.02)
PAD = ((1, 1), (1, 1))


class PatchDiscriminator(nn.Module):
    """Images to logits. With 3 layers a patch is 70x70, with 1 to 5: 16, 34, 70, 142, 286.

    Attributes:
        width: channels of the first layer; doubled by each after it, up to eight times.
        layers: that halve the image.
        norm: "instance", "batch" or "none", on all layers but the first and the last.
    """

    width: int = 64
    layers: int = 3
    norm: str = "instance"

    def __call__(self, x: Any, cond: Any = None) -> Any:
        """[B, H, W, C] -> [B]: the mean over patches; the class, as planes beside the image."""
        if cond is not None:
            planes = jnp.broadcast_to(cond[:, None, None], (*x.shape[:3], cond.shape[-1]))
            x = jnp.concatenate([x, planes], axis=-1)
        return jnp.mean(self.patches(x), axis=(1, 2))

    @nn.compact
    def patches(self, x: Any) -> Any:
        """[B, H, W, C] -> [B, h, w], a logit for each patch."""
        if self.norm not in ("instance", "batch", "none"):
            raise ValueError(f"norm={self.norm!r}, expected 'instance', 'batch' or 'none'")
        h = leaky(self._conv(self.width, 2)(x), 0.2)
        for i in range(1, self.layers + 1):
            width = self.width * min(2**i, 8)
            h = self._conv(width, 2 if i < self.layers else 1, self.norm != "batch")(h)
            if self.norm == "instance":
                h = nn.InstanceNorm(epsilon=1e-5, use_bias=False, use_scale=False)(h)
            elif self.norm == "batch":
                h = BatchNorm()(h)
            h = leaky(h, 0.2)
        return self._conv(1, 1)(h)[..., 0]

    def _conv(self, features: int, stride: int, bias: bool = True) -> Conv:
        return Conv(
            features, (4, 4), (stride, stride), padding=PAD, use_bias=bias, kernel_init=INIT
        )


class MultiScale(nn.Module):
    """Patch discriminators on an image and on its halves; the logit is their mean.

    Attributes:
        scales: how many.
        width: and
        layers: and
        norm: of each.
    """

    scales: int = 2
    width: int = 64
    layers: int = 3
    norm: str = "instance"

    @nn.compact
    def __call__(self, x: Any, cond: Any = None) -> Any:
        """[B, H, W, C] -> [B]."""
        logits = []
        for i in range(self.scales):
            if i:
                x = _halved(x)
            one = PatchDiscriminator(self.width, self.layers, self.norm, name=f"scale{i}")
            logits.append(one(x, cond))
        return sum(logits) / self.scales


def _halved(x: Any) -> Any:
    """Means of 3x3, every second one; pixels beyond the border do not count."""
    window, stride = (1, 3, 3, 1), (1, 2, 2, 1)
    pads = ((0, 0), *PAD, (0, 0))
    zero = jnp.zeros((), x.dtype)
    total = lax.reduce_window(x, zero, lax.add, window, stride, pads)
    ones = jnp.ones((1, *x.shape[1:3], 1), x.dtype)
    return total / lax.reduce_window(ones, zero, lax.add, window, stride, pads)
