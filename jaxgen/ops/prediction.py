"""What a denoising network may say of z = alpha x + sigma eps, and how one follows of another.

- "eps": the noise.
- "x": the data, which is also D of EDM.
- "v": alpha eps - sigma x (Salimans & Ho 2022, Progressive distillation, appendix D).
- "velocity": alpha' x + sigma' eps, the rate of the path.
- "score": grad log p(z) = -eps / sigma.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

KINDS = ("eps", "x", "v", "velocity", "score")

Examples = Float[Array, "b *event"]


class Estimate(NamedTuple):
    """Data and noise that together make z.

    Attributes:
        x: data.
        eps: noise.
        between: of a network that learns variances: how far the logarithm of the variance is from
            the smallest (0) to the largest (1); else None.
    """

    x: Any
    eps: Any
    between: Any = None


def along(t: Any, z: Any) -> Any:
    """A number for each example, or one of all, with the rank of z [B, ...]."""
    t = jnp.asarray(t)
    return t.reshape(t.shape + (1,) * (z.ndim - t.ndim)) if t.ndim else t


def estimate(
    kind: str,
    out: Examples,
    z: Examples,
    alpha: Any,
    sigma: Any,
    rates: tuple[Any, Any] | None = None,
) -> Estimate:
    """Data and noise of what a network says of z.

    Args:
        kind: one of `KINDS`.
        out: what it says.
        z: noised data.
        alpha: [B], or a number.
        sigma: as alpha.
        rates: derivatives of both by time, for a velocity.

    Raises:
        ValueError: for an unknown kind.
    """
    check_kind(kind)
    alpha, sigma = along(alpha, z), along(sigma, z)
    if kind == "eps":
        return Estimate((z - sigma * out) / alpha, out)
    if kind == "score":
        return Estimate((z + sigma**2 * out) / alpha, -sigma * out)
    if kind == "x":
        return Estimate(out, (z - alpha * out) / sigma)
    if kind == "v":
        total = alpha**2 + sigma**2
        return Estimate((alpha * z - sigma * out) / total, (sigma * z + alpha * out) / total)
    assert rates is not None
    d_alpha, d_sigma = (along(rate, z) for rate in rates)
    area = alpha * d_sigma - sigma * d_alpha
    return Estimate((d_sigma * z - sigma * out) / area, (alpha * out - d_alpha * z) / area)


def target(
    kind: str,
    x: Examples,
    eps: Examples,
    alpha: Any,
    sigma: Any,
    rates: tuple[Any, Any] | None = None,
) -> Examples:
    """What a network ought to say where data and noise are known: the inverse of `estimate`.

    Raises:
        ValueError: for an unknown kind.
    """
    check_kind(kind)
    alpha, sigma = along(alpha, x), along(sigma, x)
    if kind == "eps":
        return eps
    if kind == "score":
        return -eps / sigma
    if kind == "x":
        return x
    if kind == "v":
        return alpha * eps - sigma * x
    assert rates is not None
    return along(rates[0], x) * x + along(rates[1], x) * eps


def check_kind(kind: str) -> None:
    """Raises ValueError for an unknown kind."""
    if kind not in KINDS:
        raise ValueError(f"prediction={kind!r}, expected one of {KINDS}")
