"""How networks are given a number that says how noisy their input is.

Sources: Vaswani et al. 2017, "Attention Is All You Need", section 3.5 (`sinusoids`); Tancik et al.
2020, "Fourier Features Let Networks Learn High Frequency Functions", section 5, as Song et al. 2021
give it the time (`FourierTime`), and Kingma et al. 2021, "Variational Diffusion Models", appendix C
the input (`fourier_channels`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Batched

Times = Float[Array, "*times"]
Embedded = Float[Array, "*times width"]


def sinusoids(
    time: Times, width: int, order: str = "cos_sin", endpoint: bool = False, period: float = 1e4
) -> Embedded:
    """Cosines and sines of time, at frequencies from 1 down to 1 / period.

    Networks whose first layer is linear can take either order; copied weights need their own. DDPM
    has "sin_cos" with the endpoint, as has EDM's DDPM++; ADM and DiT have "cos_sin" without.

    Args:
        time: in units of 1 rad at the highest frequency, so for times in 0 .. 1000.
        width: of the result, even.
        order: "cos_sin" or "sin_cos", the half that comes first.
        endpoint: whether the lowest frequency is 1 / period, or the next after the last is.
        period: the longest one over 2 pi.

    Raises:
        ValueError: for an odd width, and for an order that there is not.
    """
    half = width // 2
    if width % 2 or half < 1 + endpoint:
        raise ValueError(f"width={width} of sinusoids, expected an even number, at least 4")
    if order not in ("cos_sin", "sin_cos"):
        raise ValueError(f"order={order!r} of sinusoids, expected 'cos_sin' or 'sin_cos'")
    exponent = np.arange(half) / (half - 1 if endpoint else half)
    return _waves(time, np.exp(-math.log(period) * exponent), order)


class FourierTime(nn.Module):
    """Cosines and sines at random frequencies, which are not trained.

    The frequencies are drawn once and for all, the same in every run.

    Attributes:
        width: of the result, even.
        scale: standard deviation of the frequencies, in periods per unit of time.
        order: as of `sinusoids`.
    """

    width: int
    scale: float = 16.0
    order: str = "cos_sin"

    @nn.compact
    def __call__(self, time: Times) -> Embedded:
        """[...] -> [..., width]."""
        return _waves(time, 2 * math.pi * self.frequencies(), self.order)

    def frequencies(self) -> np.ndarray:
        """[width / 2], in periods per unit of time."""
        return self.scale * np.random.RandomState(0).randn(self.width // 2)


def fourier_channels(z: Batched, exponents: Sequence[int]) -> Batched:
    """z [B, ..., C] with sines, then cosines, of 2^n 2 pi z behind it.

    Args:
        z: the input.
        exponents: the n, a whole number each.

    Returns:
        [B, ..., C (1 + 2 len(exponents))]; of the further channels those of one input channel lie
        side by side, by exponent.
    """
    rates = jnp.asarray([2 * math.pi * 2.0**n for n in exponents], z.dtype)
    angle = z[..., None] * rates.reshape(*(1,) * z.ndim, -1)
    angle = angle.reshape(*z.shape[:-1], -1)
    return jnp.concatenate([z, jnp.sin(angle), jnp.cos(angle)], axis=-1)


def _waves(time: Array, rates: np.ndarray, order: str) -> Array:
    """Of time [...] in radians, [..., 2 len(rates)]."""
    angle = time[..., None] * jnp.asarray(rates, time.dtype).reshape(*(1,) * time.ndim, -1)
    parts = [jnp.cos(angle), jnp.sin(angle)]
    return jnp.concatenate(parts if order == "cos_sin" else parts[::-1], axis=-1)
