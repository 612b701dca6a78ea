"""Planar and radial flows: many simple steps from noise to samples.

Source: Rezende & Mohamed 2015, "Variational Inference with Normalizing Flows" (ICML), section
4.1; there is no official code. As in common implementations of its Figure 3, a diagonal affine
map of the noise is learned with the flow.
"""

from __future__ import annotations

from jaxgen.bijectors.affine import ActNorm
from jaxgen.bijectors.base import Bijector, Chain, Event, Invert, LogDet, Repeat
from jaxgen.bijectors.planar import Planar, Radial
from jaxgen.nn.condition import Condition

KINDS = {"planar": Planar, "radial": Radial}


class PlanarFlow(Bijector):
    """The flow: `depth` steps from noise, then an affine map that starts at the data's scale.

    Points [B, D] to noise [B, D]; that direction needs a numerical inverse of each planar step,
    sampling is in closed form.

    Attributes:
        depth: K of the paper.
        kind: "planar" or "radial".
        memory: "store" or "remat", see `Repeat`.
    """

    depth: int = 32
    kind: str = "planar"
    memory: str = "store"

    def setup(self) -> None:
        """Builds the steps."""
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r}, expected one of {sorted(KINDS)}")
        steps = Repeat(Invert(KINDS[self.kind]()), self.depth, self.memory)
        self.flow = Chain((ActNorm(), steps))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Points to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to points."""
        return self.flow.inverse(y, cond)
