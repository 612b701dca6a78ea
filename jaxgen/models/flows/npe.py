"""Neural posterior estimation: a conditional spline flow of parameters given an observation.

Source: Papamakarios & Murray 2016, "Fast epsilon-free inference of simulation models with Bayesian
conditional density estimation" (NeurIPS), in the amortised form of one round; in place of its
mixture of Gaussians a neural spline flow, with the sizes that the package sbi gives it (5 layers,
10 bins, width 50). As there, parameters and observations are normalised by their statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jaxgen.bijectors.base import Bijector, Event, LogDet
from jaxgen.models.flows.maf import MAF
from jaxgen.models.flows.spline import SplineFlow
from jaxgen.nn.arrays import Channels, Rows
from jaxgen.nn.condition import Condition


class Standardize(nn.Module):
    """Brings each feature of the first batch to mean zero and unit deviation, for good."""

    @nn.compact
    def __call__(self, x: Rows) -> Rows:
        """[B, E] -> [B, E]; a feature that does not vary is only centred."""
        mean = self.variable("constants", "mean", lambda: jnp.mean(x, axis=0)).value
        std = self.variable("constants", "std", lambda: jnp.std(x, axis=0)).value
        return (x - mean[None]) / jnp.where(std > 0, std, 1.0)[None]


class Embedding(nn.Module):
    """Dense network that summarises an observation, trained with the flow.

    Attributes:
        widths: of its layers, the last of which is the summary.
    """

    widths: Sequence[int]

    @nn.compact
    def __call__(self, x: Rows) -> Channels:
        """[B, E] -> [B, widths[-1]]."""
        for i, width in enumerate(self.widths):
            x = nn.Dense(width)(nn.relu(x) if i else x)
        return x


class PosteriorFlow(Bijector):
    """Parameters [B, D] to noise [B, D], given observations [B, E].

    Attributes:
        embedding: widths of a network between observation and flow; () has none.
        depth: number of spline layers.
        form: "autoregressive"; "coupling" for two parameters and more; or "affine", a masked
            autoregressive flow of Papamakarios et al. 2017 without batch normalisation, whose
            single layer is a Gaussian: less to fit, and no splines.
        bins: of each spline.
        bound: half the width of the splines' interval, in units of the normalised parameters.
        width: of the conditioner's hidden layers.
        blocks: of the conditioner, two layers each.
        given: the first number that a layer of the autoregressive form transforms, too, depends on
            the observation. Without it a posterior of one parameter depends on none: only runs of
            before there was a choice do without.
    """

    embedding: Sequence[int] = ()
    depth: int = 5
    form: str = "autoregressive"
    bins: int = 10
    bound: float = 3.0
    width: int = 50
    blocks: int = 1
    given: bool = False

    def setup(self) -> None:
        """Builds the parts."""
        self.standardize = Standardize()
        self.embed = Embedding(self.embedding)
        if self.form == "affine":
            hidden = (self.width,) * (2 * self.blocks)
            self.flow = MAF(self.depth, hidden, "tanh", norm=False, given=self.given)
            return
        self.flow = SplineFlow(
            depth=self.depth,
            form=self.form,
            bins=self.bins,
            bound=self.bound,
            width=self.width,
            blocks=self.blocks,
            given=self.given,
        )

    def _summary(self, cond: Condition | None) -> Channels:
        if cond is None:
            raise ValueError("a posterior needs cond, the observations [B, E]; got None")
        return self.embed(self.standardize(cond))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Parameters to noise."""
        return self.flow.forward(x, self._summary(cond))

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to parameters."""
        return self.flow.inverse(y, self._summary(cond))
