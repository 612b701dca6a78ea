"""NICE: additive couplings on the odd and even elements, then a diagonal scaling.

Source: Dinh et al. 2015, "NICE: Non-linear Independent Components Estimation" (ICLR workshop),
and the official code (laurent-dinh/nice). As in the code, the elements are sorted by parity once
and all indices are reversed after every coupling, which exchanges the two halves, and weights
start uniform in a narrow interval.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax

from jaxgen.bijectors.base import Bijector, Chain, Event, LogDet, Repeat
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Flatten
from jaxgen.bijectors.linear import Diagonal
from jaxgen.bijectors.permutation import EvenOdd, Reverse
from jaxgen.bijectors.transforms import Shift
from jaxgen.nn.arrays import Features, Wide
from jaxgen.nn.condition import Condition, added


class MLP(nn.Module):
    """Dense layers with ReLU between them.

    Attributes:
        hidden: number of hidden layers.
        width: of each.
        spread: weights start uniform in (-spread, spread).
        dropout: rate after each ReLU; active when a random stream "dropout" is given. Not in
            the paper: small data sets need it.
    """

    hidden: int = 5
    width: int = 1000
    spread: float = 0.01
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, D] -> [B, features]; a condition [B, E] is added after the first layer."""

        def uniform(rng: Any, shape: Any, dtype: Any) -> Any:
            return jax.random.uniform(rng, shape, dtype, -self.spread, self.spread)

        for i in range(self.hidden):
            x = nn.Dense(self.width, kernel_init=uniform)(x)
            if i == 0:
                x = added(x, cond, kernel_init=uniform)
            x = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(nn.relu(x))
        return nn.Dense(features, kernel_init=uniform)(x)


class NICE(Bijector):
    """The flow: `couplings` additive couplings, then a learned scale of every element.

    Events of any shape to latents of the same shape, elements in the order of the code. Only
    the scaling changes volume: the log-determinant is one number.

    Attributes:
        couplings: number of them.
        hidden: hidden layers of each coupling's network.
        width: of the hidden layers.
        spread: half the width of the interval in which weights start.
        dropout: in the networks.
        memory: "store", "remat" or "invert", see `Repeat`.
    """

    couplings: int = 4
    hidden: int = 5
    width: int = 1000
    spread: float = 0.01
    dropout: float = 0.0
    memory: str = "store"

    def setup(self) -> None:
        """Builds the layers."""
        net = MLP(self.hidden, self.width, self.spread, self.dropout)
        step = Chain((Coupling(Shift(), net), Reverse()))
        steps = Repeat(step, self.couplings, self.memory)
        self.flow = Flatten(Chain((EvenOdd(), steps, Diagonal(bias=False))))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Data to latents."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Latents to data."""
        return self.flow.inverse(y, cond)
