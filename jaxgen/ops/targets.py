"""Densities known up to their constant: what a model is fitted to without data.

Angles are in radians, densities with respect to the length, area or surface of the space.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.ops.roots import norm

X = Float[Array, "b d"]
LogDensity = Callable[[X], Float[Array, " b"]]


@dataclasses.dataclass(frozen=True)
class Target:
    """A density on the plane, a torus or a sphere.

    Attributes:
        log_density: [B, D] -> [B], unnormalised, in nats.
        space: "plane", "torus" (D angles in [0, 2 pi)) or "sphere" (unit vectors).
        dims: D.
        peak: log_density is never above it.
        log_z: logarithm of its integral.
        entropy: differential, of the normalised density, in nats.
    """

    log_density: LogDensity
    space: str
    dims: int
    peak: float
    log_z: float
    entropy: float


def _squares(offset: Float[Array, " b"], std: float) -> Float[Array, " b"]:
    return -0.5 * jnp.square(offset / std)


def _two_modes(x: X) -> Float[Array, " b"]:
    """-U1: two arcs of a ring of radius 2."""
    modes = jnp.logaddexp(_squares(x[:, 0] - 2, 0.6), _squares(x[:, 0] + 2, 0.6))
    return _squares(norm(x) - 2, 0.4) + modes


def _wall(x: X) -> Float[Array, " b"]:
    """Zero where |x_1| <= 4; without it, U2 to U4 would have an infinite integral."""
    return _squares(jnp.maximum(jnp.abs(x[:, 0]) - 4, 0.0), 0.4)


def _from_wave(x: X) -> Float[Array, " b"]:
    """x_2 - w_1(x_1)."""
    return x[:, 1] - jnp.sin(2 * math.pi * x[:, 0] / 4)


def _wave(x: X) -> Float[Array, " b"]:
    """-U2."""
    return _squares(_from_wave(x), 0.4) + _wall(x)


def _wave_with_bump(x: X) -> Float[Array, " b"]:
    """-U3: the wave, and a second one that leaves it by w_2."""
    bump = 3 * jnp.exp(_squares(x[:, 0] - 1, 0.6))
    offset = _from_wave(x)
    return jnp.logaddexp(_squares(offset, 0.35), _squares(offset + bump, 0.35)) + _wall(x)


def _wave_with_step(x: X) -> Float[Array, " b"]:
    """-U4: the wave, and a second one that leaves it by w_3."""
    step = 3 * jax.nn.sigmoid((x[:, 0] - 1) / 0.3)
    offset = _from_wave(x)
    return jnp.logaddexp(_squares(offset, 0.4), _squares(offset + step, 0.35)) + _wall(x)


def _von_mises(modes: tuple[tuple[float, ...], ...], concentration: float) -> LogDensity:
    """Mean of products of von Mises densities, each of exp(concentration * cos(offset))."""

    def log_density(x: X) -> Float[Array, " b"]:
        offsets = x[:, None, :] - jnp.asarray(modes, x.dtype)[None]
        each = concentration * jnp.sum(jnp.cos(offsets), axis=-1)
        return jax.nn.logsumexp(each, axis=-1) - math.log(len(modes))

    return log_density


def _correlated(x: X) -> Float[Array, " b"]:
    return jnp.cos(x[:, 0] + x[:, 1] - 1.94)


def _poles(angles: tuple[tuple[float, float], ...]) -> list[list[float]]:
    """Unit vectors of (latitude, longitude)."""
    return [[math.cos(a) * math.cos(b), math.cos(a) * math.sin(b), math.sin(a)] for a, b in angles]


def _fisher(angles: tuple[tuple[float, float], ...], concentration: float) -> LogDensity:
    """Sum of exp(concentration * x mode)."""

    def log_density(x: X) -> Float[Array, " b"]:
        modes = jnp.asarray(_poles(angles), x.dtype)
        products = jnp.einsum("bd,kd->bk", x, modes, precision=jax.lax.Precision.HIGHEST)
        return jax.nn.logsumexp(concentration * products, axis=-1)

    return log_density


MODES_T2 = ((0.21, 2.85), (1.89, 6.18), (3.77, 1.56))
MODES_S1 = ((0.21,), (1.89,), (3.77,))
MODES_S2 = ((-0.7, 1.5), (1.0, 1.0), (-0.6, 5.0), (0.7, 4.0))

# log Z of U2 to U4 is closed, since every slice along x_2 is; of U1 and all entropies by
# quadrature on two grids that agree. Peaks are rounded up.
TARGETS = {
    # Rezende & Mohamed 2015, Table 1, of which U2 to U4 have a wall added
    "u1": Target(_two_modes, "plane", 2, 1e-3, 1.87750162611, 2.66001253594),
    "u2": Target(_wave, "plane", 2, 1e-3, 2.20016692527, 2.75585337115),
    "u3": Target(_wave_with_bump, "plane", 2, 0.694, 2.75978271320, 2.78062967224),
    "u4": Target(_wave_with_step, "plane", 2, 0.694, 2.82877558469, 2.99021748174),
    # the first angles of the three modes of t2, sharper
    "s1": Target(_von_mises(MODES_S1, 10.0), "torus", 1, 8.902, 9.78084914953, 1.37822028582),
    # Rezende et al. 2020, the multi-modal and the correlated target
    "t2": Target(_von_mises(MODES_T2, 1.0), "torus", 2, 1.055, 4.14758284983, 3.60237958959),
    "t2_correlated": Target(_correlated, "torus", 2, 1.0, 3.91166849133, 3.46527852543),
    # as well; its third mode has longitude 5.0, as its picture shows, where the text has 0.5
    "s2": Target(_fisher(MODES_S2, 10.0), "sphere", 3, 10.001, 10.92158633247, 1.87090552715),
}
