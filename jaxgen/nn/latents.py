"""What models with latent variables owe to the methods that train them.

Such a model is a Flax module with two methods:

    bottom_up(x, cond=None) -> h
        x: [B, *shape], integer data brought to [0, 1]. What the posterior needs of it: a pytree
        of [B, ...].
    top_down(h, size, cond=None, given=None, temperature=1.0) -> Draw
        From the top of the latents to the data. With `h` they are drawn from the posterior, with
        None from the prior. `size`, [B, *theta], is the shape of theta. `given`, as `Draw.z`,
        are latents to take instead; a group that is None is drawn. `temperature` multiplies the
        standard deviations of prior draws.

    __call__(x, size, cond=None) is top_down(bottom_up(x, cond), size, cond), to initialise it.

Latents are drawn from the stream of random keys "latent". A model trains where the collections
that it moves are mutable and a stream "dropout" is given, as flows do.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.nn.arrays import Batched, Channels, Examples, Features, PerExample
from jaxgen.ops.densities import sum_event

GivenLatents = Sequence[Batched | None]  # an entry a group, None to be drawn
Temperature = Float[Array, ""] | float  # of draws from the prior


class Normal(NamedTuple):
    """Independent normals.

    Attributes:
        mean: [B, ...].
        log_std: of the same shape.
    """

    mean: Batched
    log_std: Batched

    def sample(self, rng: Array, temperature: Temperature = 1.0) -> Batched:
        """A draw; the temperature multiplies the standard deviation."""
        noise = jax.random.normal(rng, self.mean.shape, self.mean.dtype)
        return self.mean + temperature * jnp.exp(self.log_std) * noise

    def log_prob(self, z: Examples) -> Examples:
        """Elementwise, in nats."""
        scaled = (z - self.mean) * jnp.exp(-self.log_std)
        return -0.5 * (jnp.square(scaled) + math.log(2 * math.pi)) - self.log_std

    def kl(self, other: Normal) -> Batched:
        """KL(self || other), elementwise, in nats."""
        ratio = self.log_std - other.log_std
        distance = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return 0.5 * (jnp.exp(2 * ratio) + jnp.square(distance) - 1) - ratio


class Law(NamedTuple):
    """What a group of latents is drawn from, given the groups before it.

    Attributes:
        prior: of the group.
        posterior: of it, given the data too; None in draws from the prior.
    """

    prior: Normal
    posterior: Normal | None


class Draw(NamedTuple):
    """One draw of all latents, and what they say about the data.

    Attributes:
        theta: [B, ...], parameters of the observation model.
        z: the latents, one entry a group, the first drawn first.
        kl: the divergence of posterior and prior, in nats, one entry a group: [B, K], K the
            dimensions or channels of the group. Analytic where it is known, else the one draw's
            log q - log p. Empty in draws from the prior.
        log_q: [B], log-density of the latents under the posterior.
        log_p: [B], under the prior.
        posterior: of a model with one group of normal latents, for methods that look at it.
        laws: of the groups, where all are normal; () of other models.
    """

    theta: Batched
    z: tuple[Batched, ...]
    kl: tuple[Channels, ...]
    log_q: PerExample
    log_p: PerExample
    posterior: Normal | None = None
    laws: tuple[Law, ...] = ()


def standard_normal(shape: tuple[int, ...], dtype: Any = jnp.float32) -> Normal:
    """Mean 0 and standard deviation 1."""
    return Normal(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def channels(x: Features) -> Channels:
    """[B, ..., K] -> [B, K]: sums over positions."""
    return jnp.sum(x.reshape(x.shape[0], -1, x.shape[-1]), axis=1)


class Group(NamedTuple):
    """One group of latents: see `Draw`."""

    z: Batched
    kl: Channels | None
    log_q: PerExample
    log_p: PerExample
    law: Law | None = None


def draw_group(
    rng: Array | None,
    prior: Normal,
    posterior: Normal | None,
    given: Batched | None = None,
    temperature: Temperature = 1.0,
) -> Group:
    """Draws one group of normal latents, with the analytic divergence.

    Args:
        rng: a key; None where they are given.
        prior: of the group.
        posterior: None draws from the prior.
        given: the latents to take instead.
        temperature: of draws from the prior.

    Raises:
        ValueError: where nothing is given, nor a key.
    """
    if given is not None:
        z = given
    elif rng is None:
        raise ValueError("rng=None: expected a key, or given latents")
    elif posterior is None:
        z = prior.sample(rng, temperature)
    else:
        z = posterior.sample(rng)
    log_p = sum_event(prior.log_prob(z))
    law = Law(prior, posterior)
    if posterior is None:
        return Group(z, None, jnp.zeros_like(log_p), log_p, law)
    return Group(z, channels(posterior.kl(prior)), sum_event(posterior.log_prob(z)), log_p, law)


def joined(theta: Batched, groups: Sequence[Group]) -> Draw:
    """The draw of all groups, the first drawn first."""
    return Draw(
        theta,
        tuple(group.z for group in groups),
        tuple(group.kl for group in groups if group.kl is not None),
        functools.reduce(jnp.add, [group.log_q for group in groups]),
        functools.reduce(jnp.add, [group.log_p for group in groups]),
        laws=tuple(group.law for group in groups if group.law is not None),
    )


def descended(down: Callable[..., Draw], z: Sequence[Array], temperatures: Sequence[float]) -> Draw:
    """A draw of the prior whose first groups are z; a pass for each temperature keeps its groups.

    Args:
        down: (given=groups or None each, temperature=) -> a draw, always of the same noise.
        z: groups, the first first.
        temperatures: of the groups, from the first on; the last one is that of all that follow.
    """
    groups, found = len(jax.eval_shape(down).z), tuple(z)
    own = [temperatures[min(i, len(temperatures) - 1)] for i in range(groups)]
    while True:
        start = min(len(found), groups - 1)
        end = next((i for i in range(start, groups) if own[i] != own[start]), groups)
        kept = (*found, *[None] * (groups - len(found)))
        draw = down(given=kept, temperature=own[start])
        if end == groups:
            return draw
        found = draw.z[:end]
