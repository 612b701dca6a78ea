"""Penalties of a critic: pure functions of it, of real and of generated examples.

All are `penalty(critic, real, fake, rng, **options)`, a scalar. `critic` maps [B, ...] to logits
[B] or to a tree of maps (see `ops.games`); each row's logits must depend on that row alone, or the
gradients of rows mix. The slope of a critic is that of the sum of its logits over patches and
scales, as in the code of CycleGAN (`cal_gradient_penalty`); what is of logits themselves is
averaged as losses are. Norms are over all axes but the first. Two further ones, `lecam` and
`history`, remember.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from jaxgen.config import ConfigError, check_named
from jaxgen.ops.augment.shift import random_shift
from jaxgen.ops.densities import sum_event
from jaxgen.ops.games import Maps, mean_over
from jaxgen.schedules import Scheduled

Array = jax.Array
Critic = Callable[[Array], Any]
LECAM_DECAY = 0.99
TINY = 1e-12  # below the root: the norm of a zero gradient has a finite derivative


def squared_slope(critic: Critic, x: Float[Array, "b ..."]) -> Float[Array, " b"]:
    """||d critic(x) / dx||^2 of every example, logits summed over patches and scales."""

    def total(x: Array) -> Array:
        return functools.reduce(jnp.add, map(jnp.sum, jax.tree.leaves(critic(x))))

    slope = jax.grad(total)(x)
    return sum_event(jnp.square(slope))


def r1(critic: Critic, real: Array, fake: Array, rng: Array) -> Float[Array, ""]:
    """Half the mean squared slope at real examples.

    Source: Mescheder et al. 2018, Which training methods for GANs do actually converge?,
    equation 9; their code leaves out the half.
    """
    return 0.5 * jnp.mean(squared_slope(critic, real))


def r2(critic: Critic, real: Array, fake: Array, rng: Array) -> Float[Array, ""]:
    """Half the mean squared slope at generated examples (Mescheder et al. 2018, equation 10)."""
    return 0.5 * jnp.mean(squared_slope(critic, fake))


def gradient_penalty(
    critic: Critic,
    real: Array,
    fake: Array,
    rng: Array,
    target: float = 1.0,
    one_sided: bool = False,
) -> Float[Array, ""]:
    """Mean of (||slope|| - target)^2 at points between real and generated examples.

    Args:
        critic: penalised.
        real: examples.
        fake: as many.
        rng: of the points: one draw an example.
        target: of the norm.
        one_sided: slopes below the target cost nothing.

    Source: Gulrajani et al. 2017, Improved training of Wasserstein GANs, equation 3; one-sided:
    section 4 there and Petzka et al. 2018, equation 8.
    """
    slope = jnp.sqrt(squared_slope(critic, between(real, fake, rng)) + TINY) - target
    return jnp.mean(jnp.square(jax.nn.relu(slope) if one_sided else slope))


def largest_slope(critic: Critic, real: Array, fake: Array, rng: Array) -> Float[Array, ""]:
    """The largest squared slope at points between real and generated examples.

    Source: Zhou et al. 2019, Lipschitz generative adversarial nets, section 4.1.
    """
    return jnp.max(squared_slope(critic, between(real, fake, rng)))


def between(real: Array, fake: Array, rng: Array) -> Array:
    """A point on the line from each real example to its generated one, uniformly drawn."""
    t = jax.random.uniform(rng, (len(real),) + (1,) * (real.ndim - 1), real.dtype)
    return real + t * (fake - real)


def drift(critic: Critic, real: Array, fake: Array, rng: Array) -> Float[Array, ""]:
    """Mean squared logit of real examples (Karras et al. 2018, Progressive growing, appendix A)."""
    return mean_over(jax.tree.map(jnp.square, critic(real)))


def consistency(
    critic: Critic, real: Array, fake: Array, rng: Array, fraction: float = 0.125
) -> Float[Array, ""]:
    """Mean squared change of the logit of real images [B, H, W, C] that are flipped and shifted.

    Source: Zhang et al. 2020, Consistency regularization for GANs, equation 3 and section 3.2.
    """
    flip, move = jax.random.split(rng)
    mirrored = jax.random.bernoulli(flip, 0.5, (len(real), 1, 1, 1))
    moved = jnp.where(mirrored, real[:, :, ::-1], real)
    moved = random_shift(move, moved, fraction)
    change = jax.tree.map(jnp.subtract, critic(real), critic(moved))
    return mean_over(jax.tree.map(jnp.square, change))


def orthogonality(params: Any, skip: str = "\0") -> Float[Array, ""]:
    """Sum over kernels of the squared products of different columns.

    Kernels are all leaves of two axes or more, read as matrices [fan in, fan out].

    Args:
        params: of a network.
        skip: kernels whose path holds this are left out.

    Source: Brock et al. 2019, BigGAN, equation 3, where kernels are [fan out, fan in].
    """
    total = jnp.float32(0)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if leaf.ndim < 2 or skip in jax.tree_util.keystr(path):
            continue
        kernel = leaf.reshape(-1, leaf.shape[-1])
        products = kernel.T @ kernel
        total += jnp.sum(jnp.square(products)) - jnp.sum(jnp.square(jnp.diagonal(products)))
    return total


def lecam(real: Maps, fake: Maps, means: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """Mean squared distances of logits from the moving mean of the other side's, and the means.

    Source: Tseng et al. 2021, Regularizing GANs under limited data, equation 4, with decay 0.99.

    Args:
        real: logits.
        fake: logits.
        means: "real" and "fake", before this batch: a scalar for each scale.
    """

    def away(logits: Maps, mean: Any) -> Array:
        return mean_over(jax.tree.map(lambda v, m: jnp.square(v - m), logits, mean))

    value = away(real, means["fake"]) + away(fake, means["real"])
    now = jax.tree.map(jnp.mean, jax.lax.stop_gradient({"real": real, "fake": fake}))
    return value, jax.tree.map(lambda m, v: LECAM_DECAY * m + (1 - LECAM_DECAY) * v, means, now)


def history(params: Any, kept: dict[str, Any]) -> tuple[Array, dict[str, Any]]:
    """Squared distance of parameters from their mean over all moves, this one among them.

    Source: Salimans et al. 2016, Improved techniques for training GANs, section 3.3.

    Args:
        params: of a player.
        kept: "mean" of its params, and the number of "moves" it is of.
    """
    moves = kept["moves"] + 1
    still = jax.lax.stop_gradient(params)
    mean = jax.tree.map(lambda m, p: m + (p - m) / moves, kept["mean"], still)
    squares = jax.tree.map(lambda p, m: jnp.sum(jnp.square(p - m)), params, mean)
    total = functools.reduce(jnp.add, jax.tree.leaves(squares), jnp.float32(0))
    return total, {"mean": mean, "moves": moves}


PENALTIES = {
    "r1": r1,
    "r2": r2,
    "gradient_penalty": gradient_penalty,
    "largest_slope": largest_slope,
    "drift": drift,
    "consistency": consistency,
}


def check_penalties(sections: Mapping[str, Any], where: str = "config.method.penalties") -> None:
    """Refuses sections that name no penalty, miss its weight, or have options it does not take.

    Raises:
        ConfigError: naming the first.
    """
    for name, options in sections.items():
        own = {"weight": Scheduled, "every": int}
        check_named(PENALTIES, name, options, where.removeprefix("config."), own)
        if "weight" not in options:
            raise ConfigError(f"{where}.{name} misses weight")
