"""A small convolutional classifier, whose last hidden layer is a space to compare images in."""

from __future__ import annotations

import flax.linen as nn

from jaxgen.nn.arrays import Images, Rows, Wide
from jaxgen.nn.conv import Conv

WIDTH, WIDEST = 32, 128  # channels of the first convolution, and at most
SMALL = 7  # height or width that is halved no more


class Classifier(nn.Module):
    """Convolutions 3x3 with GELU, maxima of 2x2 until at most 7 pixels a side are left, then dense.

    GELU, since with ReLU a third of the features of such a network is zero for every image, and
    their covariance is singular.

    Attributes:
        num_classes: K.
        features: D, of the last hidden layer.
    """

    num_classes: int
    features: int

    @nn.compact
    def __call__(self, x: Images) -> tuple[Rows, Wide]:
        """[B, H, W, C] in [-1, 1] to features [B, D], after the GELU, and logits [B, K]."""
        width = WIDTH
        while True:
            x = nn.gelu(Conv(width, (3, 3))(x))
            width = min(2 * width, WIDEST)
            if max(x.shape[1:3]) <= SMALL:
                break
            x = nn.max_pool(x, (2, 2), (2, 2), "SAME")
        x = nn.gelu(nn.Dense(self.features)(x.reshape(x.shape[0], -1)))
        return x, nn.Dense(self.num_classes)(x)
