"""Masses of grey levels under a normal distribution of x in [-1, 1]."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

LEAST = 1e-12  # of a mass


def normal_mass(
    x: Num[Array, "*shape"],
    mean: Float[Array, "*shape"],
    log_std: Float[Array, "*shape"],
    levels: int,
    exact: bool = True,
) -> Float[Array, "*shape"]:
    """Log mass of the integers 0 .. levels - 1, in nats.

    A level has what lies nearer to it than to others, the first and the last all that is beyond.
    Both kinds sum to one over the levels, but for masses below 1e-12, which count as that.

    Source: Ho et al. 2020, Denoising diffusion probabilistic models, equation 13; `exact=False`
    is the published code's, which has the cumulative distribution in an approximation by tanh
    (Page 1977), off by 0.4 nats four standard deviations away.

    Args:
        x: integers.
        mean: of x in [-1, 1].
        log_std: logarithm of the standard deviation there.
        levels: number of grey levels.
        exact: with the error function.
    """
    mean = mean.astype(jnp.promote_types(mean.dtype, jnp.float32))
    value, scale = 2 * x.astype(mean.dtype), jnp.exp(-log_std)
    # the same numbers for the edge that two levels share, so that masses add up
    above = ((value + 1) / (levels - 1) - 1 - mean) * scale
    below = ((value - 1) / (levels - 1) - 1 - mean) * scale
    # the upper tail is the lower one of the mirror image: there, too, masses are differences of
    # small numbers
    flip = above + below > 0
    first, last = jnp.where(flip, x == levels - 1, x == 0), jnp.where(flip, x == 0, x == levels - 1)
    upper, lower = jnp.where(flip, -below, above), jnp.where(flip, -above, below)
    cdf = jax.scipy.stats.norm.cdf if exact else _tanh_cdf
    mass = jnp.where(last, 1.0, cdf(upper)) - jnp.where(first, 0.0, cdf(lower))
    return jnp.log(jnp.maximum(mass, LEAST))


def _tanh_cdf(z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jax.nn.sigmoid(2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))
