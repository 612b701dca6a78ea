"""The U-Net of pix2pix: an image or a layout in, an image out, with bridges between equal sizes.

Source: Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"
(CVPR), appendix 6.1.1. There is no z: noise is the dropout of the first three layers up, which
also stays on when one samples. Biases are those of the PyTorch code
(junyanz/pytorch-CycleGAN-and-pix2pix), which has one in the last layer alone; that code leaves the
innermost layer without dropout and has it in the three after that.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.gans.gan import leaky
from jaxgen.nn.arrays import Batched, Images, Resized
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.gan_layers import BatchNorm

INIT = nn.initializers.normal(0.02)
DROPPED = 3  # layers up, from the innermost, with dropout
PAD = ((1, 1), (1, 1))


class Generator(nn.Module):
    """What is given [B, H, W, K] to images in [-1, 1] of the same size.

    Attributes:
        width: channels of the first layer; doubled by each after it, up to eight times.
        halvings: of the sides: 8 are the U-Net for images of 256.
        dropout: share that is left out; drawn from the stream "dropout" whenever it is called.
        latent: none.
    """

    width: int = 64
    halvings: int = 8
    dropout: float = 0.5
    latent = 0

    @nn.compact
    def __call__(self, cond: Images, channels: int, z: Batched | None = None) -> Resized:
        """[B, H, W, K] -> [B, H, W, channels].

        Raises:
            ValueError: for sides that cannot be halved so often.
        """
        part = 2**self.halvings
        if any(side % part for side in cond.shape[1:3]):
            raise ValueError(
                f"images of {cond.shape[1]}x{cond.shape[2]} cannot be halved {self.halvings} "
                f"times: expected multiples of {part}"
            )
        widths = [self.width * min(2**i, 8) for i in range(self.halvings)]
        last = self.halvings - 1
        maps = [cond]
        for i, width in enumerate(widths):
            h = leaky(maps[-1], 0.2) if i else cond
            options: Any = dict(padding=PAD, kernel_init=INIT, name=f"down_{i}")
            h = Conv(width, (4, 4), (2, 2), use_bias=False, **options)(h)
            maps.append(BatchNorm(name=f"norm_{i}")(h) if 0 < i < last else h)
        h = maps.pop()
        for i in reversed(range(self.halvings)):
            width = widths[i - 1] if i else channels
            up: Any = dict(use_bias=i == 0, kernel_init=INIT, name=f"up_{i}")
            h = ConvTranspose(width, (4, 4), 2, **up)(nn.relu(h))
            if i:
                h = BatchNorm(name=f"norm_up_{i}")(h)
                if last - i < DROPPED:
                    h = nn.Dropout(self.dropout, deterministic=False, name=f"drop_{i}")(h)
                h = jnp.concatenate([maps.pop(), h], axis=-1)
        return jnp.tanh(h)
