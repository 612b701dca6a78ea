"""Pictures of layouts in high resolution: a generator for half of the size, one around it for all.

Source: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with
Conditional GANs" (CVPR), section 3.2, figure 3 and appendix A; paddings and poolings are those of
the official code (NVIDIA/pix2pixHD). The generator for half of the size is CycleGAN's with four
halvings (`cyclegan.Generator`), the discriminators are those of `patchgan.MultiScale`.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.gans.cyclegan import INIT, Block, Generator, Reflected, instance
from jaxgen.nn.arrays import Images, Resized
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.nn.gan_layers import shrunk


class Enhanced(nn.Module):
    """The generator for half of the size, and the enhancer around it.

    What the first makes of the halved planes before its last layer is added to what the enhancer
    makes of the planes themselves.

    Attributes:
        width: channels of the enhancer's first layer; of the other generator's twice as many.
        blocks: residual blocks of the enhancer.
        coarse_blocks: of the generator for half of the size.
        halvings: of that generator.
        kernel: side of the first and the last kernel.
    """

    width: int = 32
    blocks: int = 3
    coarse_blocks: int = 9
    halvings: int = 4
    kernel: int = 7
    latent = 0

    @nn.compact
    def __call__(self, cond: Images, channels: int, z: Any = None, coarse: bool = False) -> Resized:
        """What is given [B, H, W, K] -> images [B, H, W, channels] in [-1, 1].

        Args:
            cond: planes; of half of the size for `coarse`.
            channels: of the images.
            z: None: there are no styles.
            coarse: the generator for half of the size alone.
        """
        wide, parts = 2 * self.width, (self.coarse_blocks, self.halvings, self.kernel)
        inner = Generator(wide, *parts, with_features=True, name="coarse")
        image, features = inner(cond if coarse else shrunk(cond), channels)
        if coarse:
            return image
        h = nn.relu(instance(Reflected(self.width, self.kernel, name="first")(cond)))
        h = Conv(wide, (3, 3), 2, padding=((1, 1), (1, 1)), kernel_init=INIT, name="down")(h)
        h = nn.relu(instance(h)) + features
        for i in range(self.blocks):
            h = Block(name=f"block_{i}")(h)
        h = ConvTranspose(self.width, (3, 3), 2, ((1, 2), (1, 2)), kernel_init=INIT, name="up")(h)
        h = nn.relu(instance(h))
        return jnp.tanh(Reflected(channels, self.kernel, name="last")(h))
