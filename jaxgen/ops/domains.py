"""Second domains made from images: the same picture in another look, as pure functions.

Images are [B, H, W, C] in [-1, 1].

Source: Liu & Tuzel 2016, "Coupled Generative Adversarial Networks" (NIPS), its two experiments on
digits; outlines as in the official code (mingyuliutw/CoGAN, `dataset_mnistedge.py`).
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Images = Float[Array, "b h w c"]


def negatives(x: Images) -> Images:
    """Black for white."""
    return -x


def edges(x: Images) -> Images:
    """Outlines: what a 3x3 dilation adds to an image, from -1 where it adds nothing."""
    low = jnp.array(-jnp.inf, x.dtype)
    window, stride = (1, 3, 3, 1), (1, 1, 1, 1)
    grown = lax.reduce_window(x, low, lax.max, window, stride, "SAME")
    return grown - x - 1


DOMAINS = {"negatives": negatives, "edges": edges}
