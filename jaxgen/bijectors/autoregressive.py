"""Autoregressive form of the elementwise transforms: element i is changed by what precedes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.bijectors.base import COLLECTIONS, Bijector, LogDet
from jaxgen.bijectors.transforms import Transform
from jaxgen.ops.densities import sum_event

X = Float[Array, "b d"]


class MaskedDense(nn.Module):
    """Dense layer whose output j sees input i only where `mask[i, j]`."""

    features: int
    mask: Any
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: X) -> Float[Array, "b _"]:
        """[B, D] -> [B, features]."""
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), x.dtype)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)
        return x @ (kernel * jnp.asarray(self.mask, x.dtype)) + bias[None]


class MADE(nn.Module):
    """Masked network: the parameters of element i are a function of the elements before it.

    Starts at zero. A condition enters the first layer, unmasked.

    Source: Germain et al. 2015, MADE, section 4; degrees of hidden units are sequential, as in
    the official code of MAF (gpapamak/maf).

    Attributes:
        hidden: widths of the hidden layers.
        activation: between them.
    """

    hidden: Sequence[int] = (64, 64)
    activation: Callable[[Array], Array] = nn.relu

    @nn.compact
    def __call__(self, x: X, cond: Any, features: int) -> Float[Array, "b d features"]:
        """[B, D] -> [B, D, features]."""
        d = x.shape[-1]
        degrees, h = np.arange(1, d + 1), x
        for i, width in enumerate(self.hidden):
            following = np.arange(width) % max(d - 1, 1) + 1
            h = MaskedDense(width, degrees[:, None] <= following[None])(h)
            if i == 0 and cond is not None:
                h = h + nn.Dense(width, use_bias=False, name="cond")(cond)
            h, degrees = self.activation(h), following
        before = degrees[:, None] < np.arange(1, d + 1)[None]
        mask = np.repeat(before, features, axis=1)
        out = MaskedDense(d * features, mask, nn.initializers.zeros)(h)
        return out.reshape(len(x), d, features)


class MaskedAutoregressive(Bijector):
    """Transforms every element with parameters from the elements before it.

    Forward is one pass of the network, inverse is as many as there are elements; `Invert` of it
    has them the other way round (an inverse autoregressive flow).

    Source: Papamakarios et al. 2017, MAF; Kingma et al. 2016, IAF.

    Attributes:
        transform: elementwise.
        net: (x, cond, features) -> [B, D, features], element i from those before i.
    """

    transform: Transform
    net: nn.Module

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """All elements at once."""
        y, log_slope = self.transform.forward(x, self.net(x, cond, self.transform.features))
        return y, sum_event(log_slope)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Element by element: after pass i, the first i elements are right."""

        def body(net: nn.Module, x: X, _: None) -> tuple[X, None]:
            return self.transform.inverse(y, net(x, cond, self.transform.features))[0], None

        scan = nn.scan(
            body,
            variable_broadcast=COLLECTIONS,
            split_rngs={"params": False, "dropout": False},
            length=y.shape[-1],
        )
        x, _ = scan(self.net, jnp.zeros_like(y), None)
        theta = self.net(x, cond, self.transform.features)
        return x, sum_event(self.transform.inverse(y, theta)[1])
