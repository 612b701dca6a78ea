"""Where something is in a picture: convolutions, then two numbers."""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn

from jaxgen.nn.arrays import Images, Rows
from jaxgen.nn.conv import Conv


class PositionNet(nn.Module):
    """Convolutions of stride 2, a dense layer, and what it says.

    Attributes:
        channels: of the convolutions.
        hidden: width of the dense layer.
        outputs: numbers.
    """

    channels: Sequence[int] = (16, 32, 64)
    hidden: int = 128
    outputs: int = 2

    @nn.compact
    def __call__(self, x: Images) -> Rows:
        """[B, H, W, C] in [0, 1] -> [B, outputs]."""
        h = 2 * x - 1
        for width in self.channels:
            h = nn.relu(Conv(width, (4, 4), strides=(2, 2))(h))
        h = nn.relu(nn.Dense(self.hidden)(h.reshape(h.shape[0], -1)))
        return nn.Dense(self.outputs)(h)
