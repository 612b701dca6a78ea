"""A small dual encoder: how well a caption and a picture go together.

Source: Radford et al. 2021, Learning transferable visual models from natural language supervision
(CLIP), figure 3; DALL-E ranks its samples so (Ramesh et al. 2021, section 2.6). Here the picture
passes three convolutions, and the caption, as its places have it, dense layers.
"""

from __future__ import annotations

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.conv import Conv

Images = Float[Array, "b h w c"]
Captions = Float[Array, "b k"]
Vectors = Float[Array, "b width"]
START, MOST = math.log(1 / 0.07), math.log(100.0)  # of the logarithm of the scale


class Ranker(nn.Module):
    """Vectors of length one, of pictures and of captions.

    Attributes:
        channels: of the first convolution, doubled by the others.
        hidden: width of the dense layers.
        width: of the vectors.
    """

    channels: int = 32
    hidden: int = 256
    width: int = 64

    @nn.compact
    def __call__(self, x: Images, text: Captions) -> tuple[Vectors, Vectors, Any]:
        """Pictures in [-1, 1] and captions, one-hot in rows; also the scale of their products."""
        h = x
        for i in range(3):
            stride = 1 if i == 0 else 2
            h = jax.nn.gelu(Conv(self.channels * 2**i, (3, 3), strides=(stride, stride))(h))
        h = jax.nn.gelu(nn.Dense(self.hidden, name="picture")(h.reshape(h.shape[0], -1)))
        t = jax.nn.gelu(nn.Dense(self.hidden, name="words")(text.reshape(text.shape[0], -1)))
        t = jax.nn.gelu(nn.Dense(self.hidden, name="caption")(t))
        scale = self.param("scale", nn.initializers.constant(START), ())
        pictures = nn.Dense(self.width, name="of_picture")(h)
        captions = nn.Dense(self.width, name="of_caption")(t)
        return _unit(pictures), _unit(captions), jnp.exp(jnp.minimum(scale, MOST))


def _unit(x: Vectors) -> Vectors:
    return x * jax.lax.rsqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-12)
