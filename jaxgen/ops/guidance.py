"""Classifier-free guidance of what a network says of noised data."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.ops.prediction import Estimate


def guided(own: Any, null: Any, scale: Any) -> Any:
    """null + scale (own - null), of pytrees: 1 is the condition's own bit by bit, 0 ignores it.

    Source: Ho & Salimans 2022, Classifier-free diffusion guidance, equation 6, with w = scale - 1.
    """

    def one(own: Any, null: Any) -> Any:
        return jnp.where(scale == 1, own, null + scale * (own - null))

    return jax.tree.map(one, own, null)


def guided_estimate(own: Estimate, null: Estimate, scale: Any) -> Estimate:
    """Of data and noise alike, which stay those of one z; variances are of the condition."""
    x, eps = guided((own.x, own.eps), (null.x, null.eps), scale)
    return Estimate(x, eps, own.between)


def within(t: Any, interval: Any, scale: Any) -> Any:
    """The scale at times from the first to the second of the interval, 1 at others; None is all.

    Source: Kynkaanniemi et al. 2024, Applying guidance in a limited interval, equation 4.
    """
    if interval is None:
        return scale
    low, high = interval[0], interval[1]
    return jnp.where((t >= low) & (t <= high), scale, 1.0)
