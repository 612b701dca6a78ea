"""Pictures of layouts in high resolution: a generator for half of the size, one around it for all.

Source: Wang et al. 2018, "High-Resolution Image Synthesis and Semantic Manipulation with
Conditional GANs" (CVPR), sections 3.2 and 3.4, figure 3 and appendix A; paddings and poolings are
those of the official code (NVIDIA/pix2pixHD). The generator for half of the size is CycleGAN's with
four halvings (`cyclegan.Generator`), the discriminators are those of `patchgan.MultiScale`.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.models.gans.cyclegan import INIT, Block, Generator, Reflected, instance
from jaxgen.models.gans.patchgan import shrunk
from jaxgen.nn.arrays import Images, Resized
from jaxgen.nn.conv import Conv, ConvTranspose
from jaxgen.ops.instances import Ids, instance_means

Features = Float[Array, "b h w features"]


class Enhanced(nn.Module):
    """The generator for half of the size, and the enhancer around it.

    What the first makes of the halved planes, without its last layer, is added to what the enhancer
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

    @nn.compact
    def __call__(self, x: Images, channels: int) -> Resized:
        """Planes [B, H, W, C] -> [B, H, W, channels] in [-1, 1]."""
        wide = 2 * self.width
        coarse = Generator(
            wide, self.coarse_blocks, self.halvings, self.kernel, head=False, name="coarse"
        )(shrunk(x), channels)
        h = nn.relu(instance(Reflected(self.width, self.kernel, name="first")(x)))
        h = Conv(wide, (3, 3), 2, padding=((1, 1), (1, 1)), kernel_init=INIT, name="down")(h)
        h = nn.relu(instance(h)) + coarse
        for i in range(self.blocks):
            h = Block(name=f"block_{i}")(h)
        h = ConvTranspose(self.width, (3, 3), 2, ((1, 2), (1, 2)), kernel_init=INIT, name="up")(h)
        h = nn.relu(instance(h))
        return jnp.tanh(Reflected(channels, self.kernel, name="last")(h))


class Encoder(nn.Module):
    """A picture to a few numbers for each of its instances, as planes.

    Attributes:
        width: channels of the first layer.
        halvings: of the sides, and doublings after them.
        features: numbers of an instance.
        kernel: side of the first and the last kernel.
    """

    width: int = 16
    halvings: int = 4
    features: int = 3
    kernel: int = 7

    @nn.compact
    def __call__(self, x: Images, ids: Ids, count: int) -> Features:
        """[B, H, W, C], instances [B, H, W] of `count` -> [B, H, W, features] in [-1, 1]."""
        network = Generator(self.width, 0, self.halvings, self.kernel, name="network")
        return instance_means(network(x, self.features), ids, count)
