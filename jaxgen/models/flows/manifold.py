"""Flows on circles, tori and spheres.

Source: Rezende et al. 2020, "Normalizing Flows on Tori and Spheres" (ICML), sections 2.1 to 2.3;
there is no official code. The flow of a sphere is the recursive one: heights by splines, the last
angle by a map of the circle. The slope of our splines at the poles is 1.
"""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.bijectors.base import Bijector, Chain, Event, Invert, LogDet
from jaxgen.bijectors.circle import Conditionals, Moebius, NonCompactProjection
from jaxgen.bijectors.permutation import Reverse
from jaxgen.bijectors.sphere import Cylinder, UnitCube
from jaxgen.bijectors.transforms import CircularSpline, RationalQuadraticSpline
from jaxgen.nn.arrays import Features, Wide
from jaxgen.nn.condition import Condition, added

SPACES = ("torus", "sphere")
CIRCLES = ("moebius", "projection", "spline")


class Mlp(nn.Module):
    """Dense network; its last layer starts small, not at zero, where all components are alike.

    Attributes:
        width: of the two hidden layers.
        scale: standard deviation of the last layer's kernel at initialisation.
    """

    width: int = 64
    scale: float = 0.01

    @nn.compact
    def __call__(self, x: Features, cond: Condition | None, features: int) -> Wide:
        """[B, D] -> [B, features]; a condition [B, E] is added after the first layer."""
        h = nn.Dense(self.width)(x)
        h = added(h, cond)
        h = nn.relu(nn.Dense(self.width)(nn.relu(h)))
        last = nn.initializers.normal(self.scale)
        return nn.Dense(features, kernel_init=last, bias_init=nn.initializers.normal(0.1))(h)


class ManifoldFlow(Bijector):
    """The flow: points to the unit cube, on which the base density is uniform.

    D angles [B, D] on a torus, unit vectors [B, D + 1] on a sphere S^D, to [B, D] in [0, 1].
    Sampling, and so the fit by reverse KL, is in closed form on tori and S^2; the other direction
    is with splines only. Densities are with respect to length, area or surface.

    Attributes:
        dims: D.
        space: "torus" (the circle for D = 1) or "sphere" (D >= 2).
        depth: number of layers; their order of elements alternates on a torus.
        circle: map of the angles: "moebius", "projection" or "spline".
        components: K of a Moebius map or projection.
        bins: of a spline.
        width: of the conditioners' hidden layers.
    """

    dims: int = 2
    space: str = "sphere"
    depth: int = 1
    circle: str = "moebius"
    components: int = 12
    bins: int = 32
    width: int = 64

    @property
    def per(self) -> str:
        """See `Bijector`."""
        return "area of the sphere" if self.space == "sphere" else "unit of x"

    def setup(self) -> None:
        """Builds the layers."""
        if self.space not in SPACES:
            raise ValueError(f"space={self.space!r}, expected one of {SPACES}")
        if self.circle not in CIRCLES:
            raise ValueError(f"circle={self.circle!r}, expected one of {CIRCLES}")
        if self.dims < 1 + (self.space == "sphere"):
            raise ValueError(f"a {self.space} of dims={self.dims}: write S^1 as a torus of dims=1")
        sphere = self.space == "sphere"
        steps: list[Bijector] = [Cylinder()] if sphere else []
        for i in range(self.depth):
            if i and not sphere:
                steps.append(Reverse())
            steps.append(Invert(self._layer(sphere)))
        self.flow = Chain((*steps, UnitCube(sphere)))

    def _layer(self, sphere: bool) -> Conditionals:
        circle = {
            "moebius": Moebius(self.components),
            "projection": NonCompactProjection(self.components),
            "spline": CircularSpline(self.bins),
        }[self.circle]
        heights = self.dims - 1 if sphere else 0
        height = RationalQuadraticSpline(self.bins, 1.0)
        return Conditionals(
            transforms=[height] * heights + [circle] * (self.dims - heights),
            nets=[Mlp(self.width) for _ in range(self.dims)],
            angles=[False] * heights + [True] * (self.dims - heights),
        )

    def _check(self, size: int) -> None:
        wanted = self.dims + (self.space == "sphere")
        if size != wanted:
            raise ValueError(
                f"points of a {self.space} of dims={self.dims} have {wanted} numbers, got {size}"
            )

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Points to the unit cube."""
        self._check(jnp.shape(x)[-1])
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """The unit cube to points."""
        return self.flow.inverse(y, cond)
