"""Inverse autoregressive flow: a masked autoregressive flow whose samples take one pass.

Source: Kingma et al. 2016, "Improving Variational Inference with Inverse Autoregressive Flow"
(NeurIPS), section 4, Algorithm 1, in its numerically stable form with gates (equations 13 and
14). Batch normalisation is left out: the direction that trains by likelihood is not the one that
the paper runs. There the flow is the posterior of an autoencoder; here it is a density.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxgen.bijectors.affine import ActNorm
from jaxgen.bijectors.autoregressive import MADE, MaskedAutoregressive
from jaxgen.bijectors.base import Bijector, Chain, Event, Invert, LogDet, Repeat
from jaxgen.bijectors.image import Flatten
from jaxgen.bijectors.permutation import Reverse
from jaxgen.bijectors.transforms import Theta, X
from jaxgen.nn.condition import Condition


@dataclasses.dataclass(frozen=True)
class Gate:
    """x -> g x + (1 - g) m with the gate g = sigmoid(raw + open).

    Source: Kingma et al. 2016, equation 14; the gates start rather open, as the text below it
    asks for. The bound of raw is ours: a closed gate cannot be inverted.

    Attributes:
        open: zero parameters give sigmoid(open) x.
        bound: of raw, by bound * tanh(raw / bound).
    """

    open: float = 2.0
    bound: float = 5.0
    features: int = dataclasses.field(default=2, init=False)

    def _gate(self, theta: Theta) -> X:
        return self.bound * jnp.tanh(theta[..., 1] / self.bound) + self.open

    def forward(self, x: X, theta: Theta) -> tuple[X, X]:
        """Mixes m in."""
        raw = self._gate(theta)
        y = jax.nn.sigmoid(raw) * x + jax.nn.sigmoid(-raw) * theta[..., 0]
        return y, jax.nn.log_sigmoid(raw)

    def inverse(self, y: X, theta: Theta) -> tuple[X, X]:
        """Takes m out: y + (y - m) (1 - g) / g."""
        raw = self._gate(theta)
        return y + (y - theta[..., 0]) * jnp.exp(-raw), -jax.nn.log_sigmoid(raw)


class IAF(Bijector):
    """The flow: actnorm, then `depth` times (inverse of a gated MADE, reversal).

    Events of any shape to noise of that shape. A sample, and its density, is one pass a layer;
    the density of other data as many as there are elements.

    Attributes:
        depth: number of MADEs.
        hidden: widths of the hidden layers of each.
        memory: "store" or "remat", see `Repeat`.
        given: the first element of a MADE, too, depends on the condition.
    """

    depth: int = 4
    hidden: Sequence[int] = (64, 64)
    memory: str = "store"
    given: bool = False

    def conditioned(self) -> Bijector:
        """See `Bijector`."""
        return self.clone(given=True)

    def setup(self) -> None:
        """Builds the layers."""
        layer = MaskedAutoregressive(Gate(), MADE(self.hidden, nn.elu, given=self.given))
        step = Chain((Invert(layer), Reverse()))
        self.flow = Flatten(Chain((ActNorm(), Repeat(step, self.depth, self.memory))))

    def forward(self, x: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Data to noise."""
        return self.flow.forward(x, cond)

    def inverse(self, y: Event, cond: Condition | None = None) -> tuple[Event, LogDet]:
        """Noise to data."""
        return self.flow.inverse(y, cond)
