"""Masked autoregressive flow: a stack of MADEs, batch-normalised, of alternating order.

Source: Papamakarios et al. 2017, "Masked Autoregressive Flow for Density Estimation" (NeurIPS),
and the official code (gpapamak/maf). As there, batch normalisation follows every MADE and the
order of the elements is reversed between them. The code's log-precision p enters as exp(p / 2)
without a bound, ours as the bounded log-scale p / 2. The code takes the moments for evaluation
over the whole training set; ours are running means. Ours puts one actnorm in front, so that the
data need not be standardised, and starts at the identity.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn

from jaxgen.bijectors.affine import ActNorm
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Bijector, Chain, Event, LogDet, Repeat
from jaxgen.bijectors.batch_norm import BatchNorm
from jaxgen.bijectors.image import Flatten
from jaxgen.bijectors.permutation import Reverse
from jaxgen.bijectors.transforms import Scale
from jaxgen.nn.condition import Condition

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh, "elu": nn.elu}


class MAF(Bijector):
    """The flow: actnorm, then `depth` times (MADE, batch normalisation, reversal).

    Events of any shape to noise of that shape; a class, one-hot, enters every MADE. One pass
    gives the density, as many passes as there are elements a sample.

    Attributes:
        depth: number of MADEs; 1 is a MADE with Gaussian conditionals.
        hidden: widths of the hidden layers of each.
        activation: "relu", "tanh" or "elu".
        degrees: of hidden units, "sequential" or "random", see `MADE`.
        bound: of the log-scale of an element.
        norm: batch normalisation after each MADE.
        momentum: of its running moments.
        memory: "store" or "remat", see `Repeat`.
        given: the first element of a MADE, too, depends on the condition.
    """

    depth: int = 5
    hidden: Sequence[int] = (100,)
    activation: str = "relu"
    degrees: str = "sequential"
    bound: float = 5.0
    norm: bool = True
    momentum: float = 0.99
    memory: str = "store"
    given: bool = False

    def conditioned(self) -> Bijector:
        """See `Bijector`."""
        return self.clone(given=True)

    def setup(self) -> None:
        """Builds the layers."""
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"activation={self.activation!r}, expected one of {sorted(ACTIVATIONS)}"
            )
        activation = ACTIVATIONS[self.activation]
        net = MADE(self.hidden, activation, degrees=self.degrees, given=self.given)
        step: list[Bijector] = [MaskedAutoregressive(Scale(bound=self.bound), net)]
        if self.norm:
            step.append(BatchNorm(momentum=self.momentum, eps=1e-5, learned=True))
        step.append(Reverse())
        self.flow = Flatten(Chain((ActNorm(), Repeat(Chain(step), self.depth, self.memory))))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Data to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to data."""
        return self.flow.inverse(y, cond)
