"""An ODE on a fixed grid, and how the volume changes on its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.ops.densities import sum_event

MOST_EXACT = 128  # dimensions whose divergence may be taken exactly: a pass each
Velocity = Callable[[Any, Any], Any]  # (z [B, ...], t scalar) -> [B, ...]


def runge_kutta_4(slope: Callable[[Any, Any], Any], y: Any, steps: int) -> Any:
    """y(1) of dy/du = slope(y, u) from y(0), by the classical method; y is a pytree."""
    size = 1.0 / steps

    def add(y: Any, k: Any, share: float) -> Any:
        return jax.tree.map(lambda a, b: a + share * size * b, y, k)

    def step(y: Any, u: Any) -> tuple[Any, None]:
        a = slope(y, u)
        b = slope(add(y, a, 0.5), u + 0.5 * size)
        c = slope(add(y, b, 0.5), u + 0.5 * size)
        d = slope(add(y, c, 1.0), u + size)
        total = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, a, b, c, d)
        return add(y, total, 1.0), None

    nodes = jnp.arange(steps, dtype=jnp.result_type(float)) * size
    return jax.lax.scan(step, y, nodes)[0]


def exact_divergence(velocity: Callable[[Any], Any], z: Any) -> tuple[Any, Any]:
    """A field of single examples at z [B, ...], and its divergence [B]: a pass a dimension."""
    size = z[0].size
    basis = jnp.eye(size, dtype=z.dtype).reshape(size, *z.shape[1:])

    def of(direction: Any) -> tuple[Any, Any]:
        tangent = jnp.broadcast_to(direction[None], z.shape)
        out, moved = jax.jvp(velocity, (z,), (tangent,))
        return out, sum_event(moved * tangent)

    out, parts = jax.vmap(of, out_axes=(None, 0))(basis)
    return out, jnp.sum(parts, axis=0)


def probed_divergence(velocity: Callable[[Any], Any], z: Any, probe: Any) -> tuple[Any, Any]:
    """The same in expectation over probes of mean zero and unit variance, by one pass.

    Source: Hutchinson 1990, A stochastic estimator of the trace of the influence matrix; Grathwohl
    et al. 2019, FFJORD, equation 8.
    """
    out, moved = jax.jvp(velocity, (z,), (probe,))
    return out, sum_event(moved * probe)


def transported(
    velocity: Velocity,
    z: Any,
    time: Callable[[Any], Any],
    steps: int,
    probe: Any = None,
) -> tuple[Any, Any]:
    """Where dz/dt = velocity(z, t) brings z, and the log-determinant [B] of the way there.

    Args:
        velocity: of single examples.
        z: [B, ...] at time(0).
        time: of the share of the way, [0, 1]; differentiable.
        steps: of the classical Runge-Kutta method.
        probe: as z, the same all the way; None takes the divergence itself.
    """

    def slope(y: Any, u: Any) -> Any:
        t, rate = jax.jvp(time, (u,), (jnp.ones_like(u),))

        def field(z: Any) -> Any:
            return velocity(z, t) * rate

        if probe is None:
            return exact_divergence(field, y[0])
        return probed_divergence(field, y[0], probe)

    real = jnp.promote_types(z.dtype, jnp.float32)
    return runge_kutta_4(slope, (z.astype(real), jnp.zeros(z.shape[0], real)), steps)
