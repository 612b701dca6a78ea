"""Autoregressive form of the elementwise transforms: element i is changed by what precedes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.bijectors.base import COLLECTIONS, Bijector, LogDet
from jaxgen.bijectors.transforms import Transform
from jaxgen.ops.densities import sum_event

X = Float[Array, "b d"]
ORDERS = ("natural", "reverse", "random")
DEGREES = ("sequential", "random")


class MaskedDense(nn.Module):
    """Dense layer whose output j sees input i only where `mask[i, j]`.

    Attributes:
        features: of the result.
        mask: [D, features].
        kernel_init: as of `flax.linen.Dense`.
    """

    features: int
    mask: Any
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: X, first: Any = 0, count: int | None = None) -> Float[Array, "b _"]:
        """[B, D] -> [B, features], or `count` of them from `first`, an integer, on."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)
        mask = jnp.asarray(self.mask, x.dtype)
        if count is not None:
            kernel, mask, bias = (
                jax.lax.dynamic_slice_in_dim(v, first, count, axis=-1) for v in (kernel, mask, bias)
            )
        return x @ (kernel * mask) + bias[None]


class MADE(nn.Module):
    """Masked network: the parameters of element i are a function of the elements before it.

    Starts at zero. A condition enters the first layer, unmasked.

    Source: Germain et al. 2015, MADE, section 4; degrees of hidden units are sequential by
    default, as in the official code of MAF (gpapamak/maf).

    Attributes:
        hidden: widths of the hidden layers.
        activation: between them.
        order: in which elements precede each other: "natural", "reverse" or "random".
        degrees: of hidden units, that is how many elements they may see: "sequential", as many
            units of each degree as fit, or "random", between the least degree of the layer
            before and D - 1.
        seed: of what is random. It is part of the network and not drawn at initialisation: the
            masks are constants.
        given: some hidden units see no element, so that the parameters of the first element, too,
            are a function of the condition; without, they are constants.
    """

    hidden: Sequence[int] = (64, 64)
    activation: Callable[[Array], Array] = nn.relu
    order: str = "natural"
    degrees: str = "sequential"
    seed: int = 0
    given: bool = False

    def masks(self, d: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Of the hidden layers [inputs, outputs] each, and [units, D] of the last layer.

        Raises:
            ValueError: for an unknown order or kind of degrees.
        """
        for name, choices in (("order", ORDERS), ("degrees", DEGREES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}, expected one of {choices}")
        place, random = self._places(d)
        before, hidden = place, []
        lowest = 0 if self.given else 1
        highest = max(d - 1, lowest)
        for width in self.hidden:
            if self.degrees == "sequential":
                following = np.arange(width) % (highest - lowest + 1) + lowest
            else:
                least = lowest if self.given else min(before.min(), highest)
                following = random.randint(least, highest + 1, size=width)
            hidden.append(before[:, None] <= following[None])
            before = following
        return hidden, before[:, None] < place[None]

    def sequence(self, d: int) -> np.ndarray:
        """The D elements, those that precede first."""
        return np.argsort(self._places(d)[0])

    def _places(self, d: int) -> tuple[np.ndarray, np.random.RandomState]:
        """The place of each element in the order, from 1, and what random degrees are drawn of."""
        random = np.random.RandomState(self.seed)
        place = np.arange(1, d + 1)
        if self.order != "natural":
            place = place[::-1] if self.order == "reverse" else random.permutation(place)
        return place, random

    @nn.compact
    def __call__(
        self, x: X, cond: Any, features: int, element: Any = None
    ) -> Float[Array, "b _ features"]:
        """[B, D] -> [B, D, features], or [B, 1, features] of one element, an integer."""
        d = x.shape[-1]
        masks, last = self.masks(d)
        h = x
        for i, (width, mask) in enumerate(zip(self.hidden, masks, strict=True)):
            h = MaskedDense(width, mask)(h)
            if i == 0 and cond is not None:
                h = h + nn.Dense(width, use_bias=False, name="cond")(
                    cond.reshape(cond.shape[0], -1)
                )
            h = self.activation(h)
        last = np.repeat(last, features, axis=1)
        out = MaskedDense(d * features, last, nn.initializers.zeros)
        if element is None:
            return out(h).reshape(x.shape[0], d, features)
        return out(h, element * features, features)[:, None]


class MaskedAutoregressive(Bijector):
    """Transforms every element with parameters from the elements before it.

    Forward is one pass of the network, inverse is as many as there are elements; `Invert` of it
    has them the other way round (an inverse autoregressive flow).

    Source: Papamakarios et al. 2017, MAF; Kingma et al. 2016, IAF.

    Attributes:
        transform: elementwise.
        net: of the parameters of all elements, or of one.
    """

    transform: Transform
    net: MADE

    @property
    def reversible(self) -> bool:
        """False: the inverse takes as many passes as there are elements."""
        return False

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """All elements at once."""
        y, log_slope = self.transform.forward(x, self.net(x, cond, self.transform.features))
        self.watch(log_slope)
        return y, sum_event(log_slope)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Element by element, each from a pass that ends in its parameters alone."""

        def body(b: MaskedAutoregressive, x: X, i: Array) -> tuple[X, None]:
            theta = b.net(x, cond, b.transform.features, i)
            of_one = jax.lax.dynamic_slice_in_dim(y, i, 1, axis=1)
            found, _ = b.transform.inverse(of_one, theta)
            return jax.lax.dynamic_update_slice_in_dim(x, found, i, axis=1), None

        scan = nn.scan(
            body, variable_broadcast=COLLECTIONS, split_rngs={"params": False, "dropout": False}
        )
        x, _ = scan(self, jnp.zeros_like(y), jnp.asarray(self.net.sequence(y.shape[-1])))
        theta = self.net(x, cond, self.transform.features)
        return x, sum_event(self.transform.inverse(y, theta)[1])
