"""Discriminators that judge patches, at one scale or several: a map of logits for each scale.

Source: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"
(CVPR), section 3.2.2 and appendix 6.1.2; Wang et al. 2018, "High-Resolution Image Synthesis and
Semantic Manipulation with Conditional GANs" (pix2pixHD), section 3.2, for several scales. Paddings
are those of the PyTorch code (junyanz/pytorch-CycleGAN-and-pix2pix), unless `padding` says
otherwise. A game takes its loss of each
patch, then means: see `ops.games.mean_loss`.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn

from jaxgen.models.gans.gan import leaky
from jaxgen.nn.arrays import Images
from jaxgen.nn.condition import Condition, beside
from jaxgen.nn.conv import Conv
from jaxgen.nn.gan_layers import BatchNorm, shrunk
from jaxgen.nn.instance_norm import instance_norm
from jaxgen.nn.spectral_norm import Conv as SpectralConv

INIT = nn.initializers.normal(0.02)


class PatchDiscriminator(nn.Module):
    """Images to logits. With 3 layers a patch is 70x70, with 1 to 5: 16, 34, 70, 142, 286.

    Attributes:
        width: channels of the first layer; doubled by each after it, up to eight times.
        layers: that halve the image.
        norm: "instance", "batch" or "none", on all layers but the first and the last.
        padding: pixels of zeros around each map; 2 in pix2pixHD and SPADE.
        spectral: normalise the kernels of those layers too, which then have no bias, as in SPADE.
    """

    width: int = 64
    layers: int = 3
    norm: str = "instance"
    padding: int = 1
    spectral: bool = False

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None, features: bool = False) -> Any:
        """[B, H, W, C] -> [B, h, w], a logit for each patch; the class, as planes beside the image.

        With `features` also what each layer but the last makes, a tuple of [B, H', W', C'].
        """
        if self.norm not in ("instance", "batch", "none"):
            raise ValueError(f"norm={self.norm!r}, expected 'instance', 'batch' or 'none'")
        x = beside(x, cond)
        self._check(x)
        made = [leaky(self._conv(self.width, 2)(x), 0.2)]
        for i in range(1, self.layers + 1):
            width = self.width * min(2**i, 8)
            stride = 2 if i < self.layers else 1
            if self.spectral:
                h = SpectralConv(width, 4, False, INIT, stride=stride, padding=self.padding)(
                    made[-1]
                )
            else:
                h = self._conv(width, stride, self.norm != "batch")(made[-1])
            if self.norm == "instance":
                h = instance_norm(h)
            elif self.norm == "batch":
                h = BatchNorm()(h)
            made.append(leaky(h, 0.2))
        logits = self._conv(1, 1)(made[-1])[..., 0]
        return (logits, tuple(made)) if features else logits

    def _check(self, x: Images) -> None:
        """Refuses images of which nothing would be left."""
        if self.padding == 1 and min(x.shape[1:3]) // 2**self.layers < 3:
            raise ValueError(
                f"images of {x.shape[1]}x{x.shape[2]} are too small for {self.layers} layers: "
                f"expected sides of {3 * 2**self.layers} or more"
            )

    def _conv(self, features: int, stride: int, bias: bool = True) -> Conv:
        pad = ((self.padding, self.padding),) * 2
        return Conv(
            features, (4, 4), (stride, stride), padding=pad, use_bias=bias, kernel_init=INIT
        )


class MultiScale(nn.Module):
    """Patch discriminators, alike but for their weights, on an image and on its halves.

    Attributes:
        scales: how many.
        width: channels of the first layer of each.
        layers: of each, that halve the image.
        norm: of each; see `PatchDiscriminator`.
        padding: of each.
        spectral: of each.
    """

    scales: int = 2
    width: int = 64
    layers: int = 3
    norm: str = "instance"
    padding: int = 1
    spectral: bool = False

    @nn.compact
    def __call__(self, x: Images, cond: Condition | None = None, features: bool = False) -> Any:
        """[B, H, W, C] -> a tuple of [B, h, w], of the image itself first.

        What is given is halved with it.

        With `features` also those of each scale, a tuple of the tuples of `PatchDiscriminator`.
        """
        made, x = [], beside(x, cond)
        for i in range(self.scales):
            if i:
                x = shrunk(x)
            parts = self.width, self.layers, self.norm, self.padding, self.spectral
            made.append(PatchDiscriminator(*parts, name=f"scale{i}")(x, None, features))
        return tuple(zip(*made, strict=True)) if features else tuple(made)
