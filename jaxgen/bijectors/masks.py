"""Masks, and the coupling that keeps what its mask names."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxgen.bijectors.base import Bijector, LogDet
from jaxgen.bijectors.reversible import are_reversible
from jaxgen.bijectors.transforms import Transform
from jaxgen.ops.densities import sum_event

X = Float[Array, "b *event c"]


@runtime_checkable
class Mask(Protocol):
    """Which elements of an event stay as they are, and condition the others."""

    def kept(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
        """Of an event of this shape: True where an element is kept."""
        ...


@dataclasses.dataclass(frozen=True)
class Checkerboard:
    """Keeps the pixels whose row + column is even; of a vector, the elements of even index.

    Source: Dinh et al. 2017, RealNVP, section 3.4 and figure 3; the pixel (0, 0) is kept first,
    as in the official code.

    Attributes:
        swap: keep the others.
    """

    swap: bool = False

    def kept(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
        """[*event]."""
        places = shape[:-1] or shape
        even = np.indices(places).sum(0) % 2 == int(self.swap)
        return np.broadcast_to(even.reshape(places + (1,) * (len(shape) - len(places))), shape)


@dataclasses.dataclass(frozen=True)
class ChannelMask:
    """Keeps the first half of the channels: the half that conditions a `Coupling`.

    Source: RealNVP, section 3.4.

    Attributes:
        swap: keep the others.
    """

    swap: bool = False

    def kept(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "..."]:
        """[*event]."""
        first = np.arange(shape[-1]) < shape[-1] // 2
        return np.broadcast_to(first != self.swap, shape)


class MaskedCoupling(Bijector):
    """Transforms the elements that the mask does not keep, by a network of those that it keeps.

    The network sees the whole event, with zeros for what it may not see.

    Source: RealNVP, section 3.4, equation 9.

    Attributes:
        transform: elementwise, see `transforms.py`.
        net: (x, cond, features) -> [B, ..., features]; the parameters of one element stand next
            to each other, those of kept elements are ignored.
        mask: what is kept.
    """

    transform: Transform
    net: nn.Module
    mask: Mask

    @property
    def reversible(self) -> bool:
        """Whether the transform and the network are."""
        return are_reversible(self.transform, self.net)

    def _theta(self, x: X, cond: Any) -> tuple[Bool[Array, "1 *event c"], Float[Array, "..."]]:
        kept = self.mask.kept(x.shape[1:])
        if kept.all() or not kept.any():
            raise ValueError(
                f"a coupling divides the data in two, and {self.mask} leaves one part of "
                f"{x.shape[1:]} empty: points of one number take configs/maf.py"
            )
        kept = jnp.asarray(kept)[None]
        features = self.transform.features
        theta = self.net(jnp.where(kept, x, 0), cond, x.shape[-1] * features).astype(x.dtype)
        # zeros where the result is not used: it cannot overflow there
        return kept, jnp.where(kept[..., None], 0, theta.reshape(*x.shape, features))

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms what is not kept."""
        kept, theta = self._theta(x, cond)
        y, log_slope = self.transform.forward(x, theta)
        self.watch(jnp.where(kept, jnp.inf, log_slope))
        return jnp.where(kept, x, y), sum_event(jnp.where(kept, 0, log_slope))

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms it back."""
        kept, theta = self._theta(y, cond)
        x, log_slope = self.transform.inverse(y, theta)
        return jnp.where(kept, y, x), sum_event(jnp.where(kept, 0, log_slope))
