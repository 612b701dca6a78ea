"""Neural spline flow: rational-quadratic splines in coupling or autoregressive form.

Source: Durkan et al. 2019, "Neural Spline Flows" (NeurIPS), and the official code
(bayesiains/nsf). As there, a linear map with LU factors mixes the elements between the splines
and the conditioner of a coupling is a residual network. Ours starts the linear map as a random
rotation instead of a permutation, puts one actnorm in front, so that the spline's interval covers
the data, and has no spline for the half that conditions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn

from jaxgen.bijectors.affine import ActNorm, InvertibleConv
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Bijector, Chain, LogDet, Repeat
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.transforms import RationalQuadraticSpline

FORMS = ("coupling", "autoregressive")


class ResidualNet(nn.Module):
    """Dense residual network with activations first; its last layer starts at zero.

    Attributes:
        width: of all hidden layers.
        blocks: of two layers each.
        dropout: between the two; active when a random stream "dropout" is given.
    """

    width: int = 64
    blocks: int = 2
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Any, cond: Any, features: int) -> Any:
        """[B, D] -> [B, features]; a condition [B, E] is added after the first layer."""
        h = nn.Dense(self.width)(x)
        if cond is not None:
            h = h + nn.Dense(self.width, use_bias=False, name="cond")(cond)
        for _ in range(self.blocks):
            r = nn.Dense(self.width)(nn.relu(h))
            r = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(nn.relu(r))
            h = h + nn.Dense(self.width)(r)
        return nn.Dense(features, kernel_init=nn.initializers.zeros)(nn.relu(h))


class SplineFlow(Bijector):
    """The flow: actnorm, then `depth` times (linear map, splines).

    Points [B, D] to noise [B, D].

    Attributes:
        depth: number of spline layers.
        form: "coupling", or "autoregressive", whose sampling takes D passes a layer.
        bins: of each spline.
        bound: half the width of the splines' interval, in units of the normalised data.
        width: of the conditioner's hidden layers.
        blocks: of the conditioner, two layers each.
        dropout: in the conditioner of the coupling form.
        memory: "store", "remat" or "invert" (coupling form), see `Repeat`.
        unroll: layers that one round of the loop plays, see `Repeat`.
    """

    depth: int = 5
    form: str = "coupling"
    bins: int = 8
    bound: float = 3.0
    width: int = 64
    blocks: int = 2
    dropout: float = 0.0
    memory: str = "store"
    unroll: int = 1

    def setup(self) -> None:
        """Builds the layers."""
        if self.form not in FORMS:
            raise ValueError(f"form={self.form!r}, expected one of {FORMS}")
        step = Chain((InvertibleConv(lu=True), self._layer()))
        self.flow = Chain((ActNorm(), Repeat(step, self.depth, self.memory, self.unroll)))

    def _layer(self) -> Bijector:
        spline = RationalQuadraticSpline(self.bins, self.bound)
        if self.form == "coupling":
            return Coupling(spline, ResidualNet(self.width, self.blocks, self.dropout))
        hidden: Sequence[int] = (self.width,) * (2 * self.blocks)
        return MaskedAutoregressive(spline, MADE(hidden))

    def forward(self, x: Any, cond: Any = None) -> tuple[Any, LogDet]:
        """Points to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Any, cond: Any = None) -> tuple[Any, LogDet]:
        """Noise to points."""
        return self.flow.inverse(y, cond)
