"""The flow of CaloFlow over cells: rational-quadratic splines between fixed random orders.

Source: Krause & Shih 2021, CaloFlow: fast and accurate generation of calorimeter showers with
normalizing flows (arXiv:2106.05285), section 3.2. There the splines are autoregressive, and
sampling takes as many passes as there are cells; here they are couplings, which sample at once. No
linear map mixes cells, since most of them hold nothing but noise.
"""

from __future__ import annotations

from jaxgen.bijectors.base import Bijector, Chain, Event, LogDet, Repeat
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.permutation import Permute
from jaxgen.bijectors.transforms import RationalQuadraticSpline
from jaxgen.models.flows.spline import ResidualNet
from jaxgen.nn.condition import Condition


class CellFlow(Bijector):
    """`depth` times a fixed random order and a coupling of splines, [B, D] to noise [B, D].

    Attributes:
        depth: number of couplings.
        bins: of each spline.
        bound: half the width of the splines' interval.
        width: of the conditioner's hidden layers.
        blocks: of the conditioner, two layers each.
        memory: see `Repeat`.
    """

    depth: int = 6
    bins: int = 8
    bound: float = 8.0
    width: int = 128
    blocks: int = 1
    memory: str = "store"

    def setup(self) -> None:
        """Builds the couplings."""
        spline = RationalQuadraticSpline(self.bins, self.bound)
        step = Chain((Permute(), Coupling(spline, ResidualNet(self.width, self.blocks))))
        self.flow = Repeat(step, self.depth, self.memory)

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Cells to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to cells."""
        return self.flow.inverse(y, cond)
