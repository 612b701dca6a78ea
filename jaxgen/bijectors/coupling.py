"""Coupling layers: one half of the channels is transformed by what a network makes of the other."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.bijectors.base import Bijector, LogDet
from jaxgen.bijectors.reversible import Site, are_reversible
from jaxgen.bijectors.transforms import Transform
from jaxgen.ops.densities import sum_event

X = Float[Array, "b *event c"]
Half = Float[Array, "b *event _"]


class Coupling(Bijector):
    """(a, b) -> (a, t(b)), where the parameters of the elementwise t are a network of a.

    Source: Dinh et al. 2015, NICE, section 3; the first half of the channels conditions, as in
    Glow's official code.

    Attributes:
        transform: elementwise, see `transforms.py`.
        net: (a, cond, features) -> [B, ..., features]; the parameters of one element of b
            stand next to each other.
        swap: the second half of the channels conditions, and the first is transformed.
    """

    transform: Transform
    net: nn.Module
    swap: bool = False

    def _halves(self, x: X) -> tuple[Half, Half]:
        channels = x.shape[-1]
        if channels < 2:
            raise ValueError(
                "a coupling divides the data in two, and these have one number: take an "
                "autoregressive flow, as configs/maf.py or --config.model.form=autoregressive"
                if x.ndim == 2
                else f"a coupling needs at least 2 channels, got {x.shape[1:]}"
            )
        a, b = jnp.split(x, [channels // 2], axis=-1)
        return (b, a) if self.swap else (a, b)

    def _theta(self, net: nn.Module, a: Half, cond: Any, shape: tuple[int, ...]) -> Any:
        theta = net(a, cond, shape[-1] * self.transform.features).astype(a.dtype)
        return theta.reshape(*shape, self.transform.features)

    def _split(self, x: X, cond: Any) -> tuple[Half, Half, Float[Array, "b *event _ features"]]:
        a, b = self._halves(x)
        return a, b, self._theta(self.net, a, cond, b.shape)

    def _join(self, a: Half, b: Half) -> X:
        return jnp.concatenate([b, a] if self.swap else [a, b], axis=-1)

    def forward(self, x: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms the half that does not condition."""
        a, b, theta = self._split(x, cond)
        b, log_slope = self.transform.forward(b, theta)
        self.watch(log_slope)
        return self._join(a, b), sum_event(log_slope)

    def inverse(self, y: X, cond: Any = None) -> tuple[X, LogDet]:
        """Transforms it back."""
        a, b, theta = self._split(y, cond)
        b, log_slope = self.transform.inverse(b, theta)
        return self._join(a, b), sum_event(log_slope)

    @property
    def reversible(self) -> bool:
        """Whether the transform and the network are."""
        return are_reversible(self.transform, self.net)

    def unwind(
        self, site: Site, y: X, cond: Any, ct_y: X, ct_logdet: LogDet
    ) -> tuple[X, X, dict[str, Any], Any]:
        """One step back, with one evaluation of the network for both inverse and gradient."""
        (a, b), (ct_a, ct_b) = self._halves(y), self._halves(ct_y)
        theta, pull_net = site.child("net", lambda coupling: coupling.net).vjp(
            lambda net, a, cond: self._theta(net, a, cond, b.shape), a, cond
        )

        def transform(b: Half, theta: Any) -> tuple[Half, LogDet]:
            out, log_slope = self.transform.forward(b, theta)
            return out, sum_event(log_slope)

        b, _ = self.transform.inverse(b, theta)
        _, pull = jax.vjp(transform, b, theta)
        ct_b, ct_theta = pull((ct_b, ct_logdet))
        ct_net, ct, ct_cond = pull_net(ct_theta)
        return self._join(a, b), self._join(ct_a + ct, ct_b), {"net": ct_net}, ct_cond
