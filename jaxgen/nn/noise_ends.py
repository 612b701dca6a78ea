"""A denoising network beside the two ends of its noise, which it learns."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

Number = Float[Array, ""]


class NoiseEnds(nn.Module):
    """The network, and gamma at t = 0 and at t = 1.

    gamma is the negative log-SNR, -log(alpha^2 / sigma^2).

    Source: Kingma et al. 2021, Variational diffusion models, section 3.2 and appendix H; the
    parameters are a start and the absolute value of a width, as google-research/vdm has them.

    Attributes:
        network: that denoises.
        low: gamma at t = 0, before training.
        high: at t = 1.
    """

    network: nn.Module
    low: float
    high: float

    def setup(self) -> None:
        """Makes the two parameters."""
        self.start = self.param("start", nn.initializers.constant(self.low), ())
        width = nn.initializers.constant(self.high - self.low)
        self.width = self.param("width", width, ())

    def __call__(self, x: Any, time: Any, cond: Any = None, *, train: bool = False) -> Any:
        """What the network says."""
        return self.network(x, time, cond, train=train)

    def ends(self) -> tuple[Number, Number]:
        """gamma at t = 0 and at t = 1."""
        return self.start, self.start + jnp.abs(self.width)
