"""Neural ratio estimation: a classifier of pairs of parameters and observation.

Source: Durkan et al. 2020, "On contrastive learning for likelihood-free inference" (ICML), with the
network that the benchmark of Lueckmann et al. 2021 trains: residual, of width 50.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.models.flows.npe import Standardize
from jaxgen.models.flows.spline import ResidualNet
from jaxgen.nn.arrays import Channels, Logits, Rows


class RatioClassifier(nn.Module):
    """Parameters [N, D] and observations [N, E] to a logit each.

    Both are normalised by the statistics of the first batch.

    Attributes:
        width: of the hidden layers.
        blocks: of two layers each.
    """

    width: int = 50
    blocks: int = 2

    @nn.compact
    def __call__(self, theta: Rows, observed: Channels) -> Logits:
        """One logit for each pair."""
        parts = Standardize(name="parameters")(theta), Standardize(name="observation")(observed)
        joined = jnp.concatenate(parts, axis=1)
        return ResidualNet(self.width, self.blocks)(joined, None, 1)[:, 0]
