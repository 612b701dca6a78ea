"""Games of two numbers that show which ways of training converge: Dirac-GAN and min max x y.

A point of the plane is (theta, psi), generator and discriminator; a field says where each wants
to go. The Dirac-GAN has its data at 0, its generator at theta and the discriminator psi x; the
equilibrium of all games is (0, 0).

Source: Mescheder et al. 2018, "Which Training Methods for GANs do actually Converge?" (ICML),
sections 2 and 3 and appendix D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

Array = jax.Array
Point = Float[Array, "2"]
Field = Callable[[Point], Point]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(64)  # for means over standard normals
WEIGHTS = WEIGHTS / WEIGHTS.sum()


def bilinear(point: Point) -> Point:
    """Of min over x, max over y of x y; also that of a Wasserstein Dirac-GAN."""
    x, y = point
    return jnp.stack([-y, x])


def dirac(point: Point, saturating: bool = True, r1: float = 0.0) -> Point:
    """Of the GAN of Goodfellow et al. 2014.

    Args:
        point: (theta, psi).
        saturating: minimax; else the generator's loss is the non-saturating one.
        r1: weight of the penalty psi^2 / 2.
    """
    theta, psi = point
    product = theta * psi
    slope = jax.nn.sigmoid(-product)  # of f(t) = -log(1 + exp(-t))
    back = slope if saturating else jax.nn.sigmoid(product)
    return jnp.stack([-back * psi, slope * theta - r1 * psi])


def dirac_with_noise(point: Point, deviation: float) -> Point:
    """Of the minimax game with normal noise on real and generated points."""
    theta, psi = point
    noise, weights = deviation * jnp.asarray(NODES), jnp.asarray(WEIGHTS)
    slope = jax.nn.sigmoid(-psi * (theta + noise))
    of_real = jax.nn.sigmoid(psi * noise)
    up = jnp.sum(weights * (slope * (theta + noise) - of_real * noise))
    return jnp.stack([-psi * jnp.sum(weights * slope), up])


def wasserstein_with_penalty(point: Point, weight: float, target: float = 1.0) -> Point:
    """Of a WGAN whose critic's slope is brought to `target` (Gulrajani et al. 2017)."""
    theta, psi = point
    return jnp.stack([-psi, theta - weight * (jnp.abs(psi) - target) * jnp.sign(psi)])


def consensus(field: Field, weight: float) -> Field:
    """The field, and down the gradient of half its squared length (Mescheder et al. 2017)."""

    def moved(point: Point) -> Point:
        return field(point) - weight * jax.grad(lambda p: 0.5 * jnp.sum(field(p) ** 2))(point)

    return moved


class Rule(NamedTuple):
    """How both players follow a field.

    Attributes:
        name: "simultaneous", "alternating" (the generator first), "extragradient"
            (Korpelevich 1976) or "optimistic" (Daskalakis et al. 2018).
        rate: of a step.
        critic_steps: moves of the discriminator a step; of alternating steps.
        bound: psi is clipped to it after its move; 0 leaves it.
    """

    name: str
    rate: float
    critic_steps: int = 1
    bound: float = 0.0


def trajectory(field: Field, rule: Rule, start: Point, steps: int) -> Float[Array, "n 2"]:
    """All points of a game, [steps + 1, 2], the first among them.

    Raises:
        ValueError: for an unknown rule.
    """
    names = ("simultaneous", "alternating", "extragradient", "optimistic")
    if rule.name not in names:
        raise ValueError(f"rule {rule.name!r}, expected one of {', '.join(names)}")
    rate, psi_only = rule.rate, jnp.array([0.0, 1.0])

    def clipped(point: Point) -> Point:
        if not rule.bound:
            return point
        return jnp.stack([point[0], jnp.clip(point[1], -rule.bound, rule.bound)])

    def body(carry: tuple[Point, Point], _: object) -> tuple[tuple[Point, Point], Point]:
        point, last = carry
        now = field(point)
        if rule.name == "simultaneous":
            new = clipped(point + rate * now)
        elif rule.name == "optimistic":
            new = clipped(point + rate * (2 * now - last))
        elif rule.name == "extragradient":
            new = clipped(point + rate * field(point + rate * now))
        else:
            new = point + rate * now * (1 - psi_only)
            for _ in range(rule.critic_steps):
                new = clipped(new + rate * field(new) * psi_only)
        return (new, now), new

    _, points = jax.lax.scan(body, (start, field(start)), None, steps)
    return jnp.concatenate([start[None], points])
