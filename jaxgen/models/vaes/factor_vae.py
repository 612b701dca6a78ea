"""The discriminator of FactorVAE.

Source: Kim & Mnih 2018, "Disentangling by Factorising" (ICML), appendix A: six hidden layers of
1,000 with leaky ReLU. One logit, where the paper has a softmax over two.
"""

from __future__ import annotations

import flax.linen as nn

from jaxgen.nn.arrays import Codes, Logits


class Discriminator(nn.Module):
    """Latents [B, D] to the logits [B] of their being drawn together.

    Attributes:
        layers: hidden ones.
        width: of each.
    """

    layers: int = 6
    width: int = 1000

    @nn.compact
    def __call__(self, z: Codes) -> Logits:
        """[B, D] -> [B]."""
        for _ in range(self.layers):
            z = nn.leaky_relu(nn.Dense(self.width)(z), 0.2)
        return nn.Dense(1)(z)[:, 0]
