"""Neural spline flow: rational-quadratic splines in coupling or autoregressive form.

Source: Durkan et al. 2019, "Neural Spline Flows" (NeurIPS), and the official code
(bayesiains/nsf). As there, a linear map with LU factors mixes the elements between the splines
and the conditioner of a coupling is a residual network. Ours starts the linear map as a random
rotation instead of a permutation, puts one actnorm in front, so that the spline's interval covers
the data, and has no spline for the half that conditions.

The flow of images is that of the paper's section 5.3 and the code's `images.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn

from jaxgen.bijectors.affine import ActNorm, InvertibleConv
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Bijector, Chain, Event, LogDet, Repeat
from jaxgen.bijectors.coupling import Coupling
from jaxgen.bijectors.image import Multiscale, Squeeze
from jaxgen.bijectors.permutation import Permute
from jaxgen.bijectors.transforms import RationalQuadraticSpline
from jaxgen.nn.arrays import Features, Wide
from jaxgen.nn.batch_norm import BatchNorm
from jaxgen.nn.condition import Condition, added
from jaxgen.nn.conv import Conv
from jaxgen.ops.activations import relu

FORMS = ("coupling", "autoregressive")
MIXERS = ("linear", "order")


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
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, D] -> [B, features]; a condition [B, E] is added after the first layer."""
        h = nn.Dense(self.width)(x)
        h = added(h, cond)
        for _ in range(self.blocks):
            r = nn.Dense(self.width)(nn.relu(h))
            r = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(nn.relu(r))
            h = h + nn.Dense(self.width)(r)
        return nn.Dense(features, kernel_init=nn.initializers.zeros)(nn.relu(h))


class SplineFlow(Bijector):
    """The flow: actnorm, then `depth` times a linear map and splines.

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
        given: the first element of the autoregressive form, too, depends on the condition.
        mixer: before the splines of a layer: "linear", or "order", a fixed random one, without
            actnorm: for elements that mean something each, in the splines' interval already.
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
    given: bool = False
    mixer: str = "linear"

    def conditioned(self) -> Bijector:
        """See `Bijector`."""
        return self.clone(given=True)

    def setup(self) -> None:
        """Builds the layers."""
        for name, chosen, choices in (
            ("form", self.form, FORMS),
            ("mixer", self.mixer, MIXERS),
        ):
            if chosen not in choices:
                raise ValueError(f"{name}={chosen!r}, expected one of {choices}")
        linear = self.mixer == "linear"
        step = Chain((InvertibleConv(lu=True) if linear else Permute(), self._layer()))
        layers = Repeat(step, self.depth, self.memory, self.unroll)
        self.flow = Chain((ActNorm(), layers) if linear else (layers,))

    def _layer(self) -> Bijector:
        spline = RationalQuadraticSpline(self.bins, self.bound)
        if self.form == "coupling":
            return Coupling(spline, ResidualNet(self.width, self.blocks, self.dropout))
        hidden: Sequence[int] = (self.width,) * (2 * self.blocks)
        return MaskedAutoregressive(spline, MADE(hidden, given=self.given))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Points to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to points."""
        return self.flow.inverse(y, cond)


class ConvResidualNet(nn.Module):
    """The conditioner of images: residual blocks of two 3x3 convolutions between two 1x1.

    Attributes:
        width: channels of all hidden layers.
        blocks: number of them.
        dropout: before the second convolution of a block; active when a random stream "dropout"
            is given.
        norm: batch normalisation before each convolution of the blocks, by the batch's moments
            where the collection "batch_stats" may move, else by the running ones.
    """

    width: int = 96
    blocks: int = 3
    dropout: float = 0.0
    norm: bool = True

    @property
    def reversible(self) -> bool:
        """Not with moments of the batch."""
        return not self.norm

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, H, W, C] -> [B, H, W, features]; a condition [B, E] enters after the first layer."""
        h = Conv(self.width, (1, 1))(x)
        h = added(h, cond)
        still = not self.has_rng("dropout")
        small = nn.initializers.variance_scaling(1e-4, "fan_in", "uniform")
        for _ in range(self.blocks):
            r = Conv(self.width, (3, 3))(relu(self._norm(h)))
            r = nn.Dropout(self.dropout, deterministic=still)(relu(self._norm(r)))
            h = h + Conv(self.width, (3, 3), kernel_init=small)(r)
        return Conv(features, (1, 1), kernel_init=nn.initializers.zeros)(h)

    def _norm(self, x: Features) -> Features:
        return BatchNorm(eps=1e-3)(x) if self.norm else x


class ImageSplineFlow(Bijector):
    """The flow of images: `levels` times (squeeze, `depth` steps of flow, 1x1 convolution).

    A step is actnorm, an LU 1x1 convolution and a coupling of splines. Images [B, H, W, C] to
    noises: one array, or with `multiscale` a tuple, finest level first; H and W divisible by
    2**levels. The log-determinant is [B], in nats.

    Attributes:
        levels: number of them.
        depth: steps of flow per level.
        bins: of each spline.
        bound: half the width of the splines' interval.
        width: channels inside the conditioners.
        blocks: residual blocks of a conditioner.
        dropout: inside the conditioners.
        norm: batch normalisation inside the conditioners.
        multiscale: half of the channels leave after each level but the last.
        memory: "store" or "remat", without `norm` also "invert", see `Repeat`.
    """

    levels: int = 3
    depth: int = 7
    bins: int = 4
    bound: float = 3.0
    width: int = 96
    blocks: int = 3
    dropout: float = 0.0
    norm: bool = True
    multiscale: bool = False
    memory: str = "store"

    def setup(self) -> None:
        """Builds the levels."""
        levels = [self._level() for _ in range(self.levels)]
        if self.multiscale:
            self.flow = Multiscale(levels, priors=[Chain(()) for _ in levels])
        else:
            self.flow = Chain(tuple(levels))

    def _level(self) -> Bijector:
        net = ConvResidualNet(self.width, self.blocks, self.dropout, self.norm)
        spline = RationalQuadraticSpline(self.bins, self.bound)
        step = Chain((ActNorm(), InvertibleConv(lu=True), Coupling(spline, net)))
        return Chain((Squeeze(), Repeat(step, self.depth, self.memory), InvertibleConv(lu=True)))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Images to noises."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noises to images."""
        return self.flow.inverse(y, cond)
