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

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.ops.densities import sum_event

Array = jax.Array


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
    """

    theta: Array
    z: tuple[Array, ...]
    kl: tuple[Array, ...]
    log_q: Array
    log_p: Array
    posterior: Any = None


class Normal(NamedTuple):
    """Independent normals.

    Attributes:
        mean: [B, ...].
        log_std: of the same shape.
    """

    mean: Array
    log_std: Array

    def sample(self, rng: Any, temperature: Any = 1.0) -> Array:
        """A draw; the temperature multiplies the standard deviation."""
        noise = jax.random.normal(rng, self.mean.shape, self.mean.dtype)
        return self.mean + temperature * jnp.exp(self.log_std) * noise

    def log_prob(self, z: Array) -> Array:
        """Elementwise, in nats."""
        scaled = (z - self.mean) * jnp.exp(-self.log_std)
        return -0.5 * (jnp.square(scaled) + math.log(2 * math.pi)) - self.log_std

    def kl(self, other: Normal) -> Array:
        """KL(self || other), elementwise, in nats."""
        ratio = self.log_std - other.log_std
        distance = (self.mean - other.mean) * jnp.exp(-other.log_std)
        return 0.5 * (jnp.exp(2 * ratio) + jnp.square(distance) - 1) - ratio


def standard_normal(shape: tuple[int, ...], dtype: Any = jnp.float32) -> Normal:
    """Mean 0 and standard deviation 1."""
    return Normal(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))


def channels(x: Array) -> Array:
    """[B, ..., K] -> [B, K]: sums over positions."""
    return jnp.sum(x.reshape(len(x), -1, x.shape[-1]), axis=1)


class Group(NamedTuple):
    """One group of latents: see `Draw`."""

    z: Array
    kl: Array | None
    log_q: Array
    log_p: Array


def draw_group(
    rng: Any,
    prior: Normal,
    posterior: Normal | None,
    given: Array | None = None,
    temperature: Any = 1.0,
) -> Group:
    """Draws one group of normal latents, with the analytic divergence.

    Args:
        rng: a key.
        prior: of the group.
        posterior: None draws from the prior.
        given: the latents to take instead.
        temperature: of draws from the prior.
    """
    if given is not None:
        z = given
    elif posterior is None:
        z = prior.sample(rng, temperature)
    else:
        z = posterior.sample(rng)
    log_p = sum_event(prior.log_prob(z))
    if posterior is None:
        return Group(z, None, jnp.zeros_like(log_p), log_p)
    return Group(z, channels(posterior.kl(prior)), sum_event(posterior.log_prob(z)), log_p)
