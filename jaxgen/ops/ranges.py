"""Grey levels 0 .. levels - 1 to [-1, 1], where adversarial and diffusion models live, and back."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Num


def symmetric(x: Num[Array, "*shape"], levels: int | None) -> Float[Array, "*shape"]:
    """Integer data to [-1, 1]; continuous data, of `levels` None, as they are."""
    if levels is None:
        return x
    return x.astype(jnp.result_type(float)) * (2 / (levels - 1)) - 1


def to_levels(x: Float[Array, "*shape"], levels: int | None) -> Num[Array, "*shape"]:
    """The nearest of the grey levels, as the data have them; what lies beyond is cut off."""
    if levels is None:
        return x
    return nearest_levels((x + 1) * ((levels - 1) / 2), levels)


def nearest_levels(x: Float[Array, "*shape"], levels: int | None) -> Num[Array, "*shape"]:
    """Real grey levels to the nearest whole ones, as the data have them; continuous data as is."""
    if levels is None:
        return x
    dtype = jnp.uint8 if levels <= 256 else jnp.uint16
    return jnp.round(jnp.clip(x, 0, levels - 1)).astype(dtype)


def real_levels(x: Float[Array, "*shape"], levels: int | None) -> Float[Array, "*shape"]:
    """Images in [-1, 1] in the units of the data, neither rounded nor cut off."""
    return x if levels is None else (x + 1) * ((levels - 1) / 2)
