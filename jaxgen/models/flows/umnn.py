"""UMNN-MAF: an autoregressive flow whose elements pass unconstrained monotonic networks.

Source: Wehenkel & Louppe 2019, "Unconstrained Monotonic Neural Networks" (NeurIPS), section 4,
and the official code (AWehenkel/UMNN). As there, the order of the elements is reversed between
the flows and a MADE embeds what precedes an element. Ours puts one actnorm in front, so that the
quadrature sees data of unit size, and starts at the identity.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxgen.bijectors.affine import ActNorm
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Bijector, Chain, Event, LogDet, Repeat
from jaxgen.bijectors.image import Flatten
from jaxgen.bijectors.monotonic import MonotonicNetwork
from jaxgen.bijectors.permutation import Reverse
from jaxgen.nn.condition import Condition


class UMNN(Bijector):
    """The flow: actnorm, then `depth` times (monotonic network given a MADE, reversal).

    Events of any shape to noise of that shape. A sample is a search for a root in every element
    of every layer.

    Attributes:
        depth: number of flows.
        hidden: widths of the hidden layers of each MADE.
        embedding: numbers that the MADE gives the monotonic network of an element.
        integrand: widths of the hidden layers of the network that is integrated.
        nodes: of the quadrature, beside one.
        memory: "store" or "remat", see `Repeat`.
        given: the first element of a MADE, too, depends on the condition.
    """

    depth: int = 5
    hidden: Sequence[int] = (512, 512)
    embedding: int = 30
    integrand: Sequence[int] = (50, 50, 50, 50)
    nodes: int = 50
    memory: str = "store"
    given: bool = False

    def conditioned(self) -> Bijector:
        """See `Bijector`."""
        return self.clone(given=True)

    def setup(self) -> None:
        """Builds the layers."""
        network = MonotonicNetwork(self.integrand, self.embedding, self.nodes)
        net = MADE(self.hidden, given=self.given)
        step = Chain((MaskedAutoregressive(network, net), Reverse()))
        self.flow = Flatten(Chain((ActNorm(), Repeat(step, self.depth, self.memory))))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Data to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to data."""
        return self.flow.inverse(y, cond)
