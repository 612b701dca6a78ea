"""The gated residual block of PixelCNN++, with weight normalisation.

Source: Salimans et al. 2017, "PixelCNN++" (ICLR), sections 2.4 and 2.5, and the official code
(openai/pixel-cnn, `pixel_cnn_pp/nn.py`, `gated_resnet`).
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.nn.arrays import Images
from jaxgen.nn.causal_conv import CausalConv, Place
from jaxgen.nn.condition import added
from jaxgen.nn.weight_norm import DIRECTIONS, WeightNormDense

KERNELS = {"down": (2, 3), "down_right": (2, 2), "point": (1, 1)}


def concat_elu(x: Array) -> Array:
    """ELU of x and of -x, in twice as many channels."""
    return nn.elu(jnp.concatenate([x, -x], axis=-1))


NONLINEARITIES = {"concat_elu": concat_elu, "elu": nn.elu}


class GatedResnet(nn.Module):
    """x + a * sigmoid(b), where two convolutions make a and b of x, and of what is beside it.

    Attributes:
        sees: "down" the rows above and the own one, "down_right" of those what is to the left,
            "point" the position alone; the position itself all of them.
        dropout: share of the channels between the convolutions that is left out.
        nonlinearity: a name in `NONLINEARITIES`.
    """

    sees: str
    dropout: float = 0.0
    nonlinearity: str = "concat_elu"

    @nn.compact
    def __call__(
        self, x: Images, beside: Any = None, cond: Any = None, place: Place | None = None
    ) -> Images:
        """[B, h, w, C] to the same.

        Args:
            x: features at the place.
            beside: further ones, of any number of channels.
            cond: what is given there.
            place: see `causal_conv`.
        """
        nonlinearity, width = NONLINEARITIES[self.nonlinearity], x.shape[-1]
        size = KERNELS[self.sees]
        left = min(1, size[1] - 1)
        h = CausalConv(width, size, left, std=1.0, name="first")(nonlinearity(x), place)
        if beside is not None:
            h = h + WeightNormDense(width, name="beside")(nonlinearity(beside))
        h = nn.Dropout(self.dropout, deterministic=not self.dropout)(nonlinearity(h))
        h = CausalConv(2 * width, size, left, std=0.1, name="second")(h, place)
        a, b = jnp.split(added(h, cond, kernel_init=DIRECTIONS), 2, axis=-1)
        return x + a * nn.sigmoid(b)
