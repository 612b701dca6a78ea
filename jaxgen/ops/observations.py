"""What a decoder says about the data: log-densities and masses of an example given parameters.

All take integer data as they are, values 0 .. levels - 1, and theta [B, ..., width]; events are
[..., C]. A mass sums to one over all values, at every bit depth and at the edges, so that bits/dim
need no constant. All log-probabilities are [B], in nats, float32 or wider.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from jaxgen.ops.densities import logistic_mass, sum_event

X = Num[Array, "b *event c"]
Theta = Float[Array, "b *event width"]
PerExample = Float[Array, " b"]
# log p of each level of a channel, given theta and the channels of the position before it
Masses = Float[Array, "b *event levels"]

LEAST_LOG_SCALE = -7.0  # PixelCNN++ and all that follow it


@runtime_checkable
class Observation(Protocol):
    """A distribution of an example, elementwise or across the channels of a pixel."""

    @property
    def is_mass(self) -> bool:
        """Whether it is of integers, so that nats become bits/dim."""
        ...

    def width(self, channels: int) -> int:
        """Parameters per position of an event with so many channels."""
        ...

    def log_prob(self, x: X, theta: Theta) -> PerExample:
        """[B], in nats."""
        ...

    def sample(self, rng: Any, theta: Theta, temperature: Any = 1.0) -> X:
        """A draw, in the units of the data."""
        ...

    def mean(self, theta: Theta) -> Float[Array, "b *event c"]:
        """The expected example, in the units of the data, not rounded."""
        ...


@runtime_checkable
class Enumerable(Observation, Protocol):
    """Says the probability of each level of an element."""

    def log_masses(self, theta: Theta, seen: X, channel: int) -> Masses:
        """Of a channel; of `seen` the channels before it are looked at."""
        ...


@dataclasses.dataclass(frozen=True)
class Bernoulli:
    """Binary data; theta are logits."""

    is_mass = True

    def width(self, channels: int) -> int:
        """One logit an element."""
        return channels

    def log_prob(self, x: X, theta: Theta) -> PerExample:
        """x log p + (1 - x) log(1 - p), summed."""
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
        return sum_event(x * theta - jax.nn.softplus(theta))

    def sample(self, rng: Any, theta: Theta, temperature: Any = 1.0) -> X:
        """0 or 1; the temperature divides the logits."""
        noise = jax.random.logistic(rng, theta.shape, theta.dtype)
        return (theta + temperature * noise > 0).astype(jnp.uint8)

    def log_masses(self, theta: Theta, seen: X, channel: int) -> Masses:
        """See `Masses`."""
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))[..., channel]
        return jnp.stack([jax.nn.log_sigmoid(-theta), jax.nn.log_sigmoid(theta)], axis=-1)

    def mean(self, theta: Theta) -> Float[Array, "b *event c"]:
        """The probabilities."""
        return jax.nn.sigmoid(theta)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """A density of continuous data, or of grey levels brought to [0, 1]: never bits/dim.

    Attributes:
        levels: of integer data; None for continuous data.
        std: the standard deviation; None learns one per element, theta are means, then log-stds.
        log_volume: nats by which a density per unit of the data is below one per unit of x,
            where continuous data are modelled in other units than their own.
    """

    levels: int | None = None
    std: float | None = 1.0
    log_volume: float = 0.0
    is_mass = False

    def width(self, channels: int) -> int:
        """Means, and log-stds where they are learned."""
        return channels * (1 if self.std else 2)

    def _split(self, theta: Theta) -> tuple[Array, Array]:
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
        if self.std:
            return theta, jnp.full_like(theta, math.log(self.std))
        mean, log_std = jnp.split(theta, 2, axis=-1)
        return mean, jnp.maximum(log_std, LEAST_LOG_SCALE)

    @property
    def _unit(self) -> float:
        return 1.0 if self.levels is None else float(self.levels - 1)

    def log_prob(self, x: X, theta: Theta) -> PerExample:
        """With its constant, -log(2 pi) / 2 an element."""
        mean, log_std = self._split(theta)
        z = (x / self._unit - mean) * jnp.exp(-log_std)
        each = -0.5 * (jnp.square(z) + math.log(2 * math.pi)) - log_std
        return sum_event(each) - self.log_volume

    def sample(self, rng: Any, theta: Theta, temperature: Any = 1.0) -> X:
        """Mean and noise; the temperature multiplies the noise."""
        mean, log_std = self._split(theta)
        noise = jax.random.normal(rng, mean.shape, mean.dtype)
        return self._units(mean + temperature * jnp.exp(log_std) * noise)

    def mean(self, theta: Theta) -> Float[Array, "b *event c"]:
        """The means."""
        return self._units(self._split(theta)[0])

    def _units(self, x: Array) -> Array:
        return x if self.levels is None else self._unit * jnp.clip(x, 0.0, 1.0)


def _to_levels(x: Array, levels: int) -> Array:
    """[-1, 1] to the nearest of 0 .. levels - 1."""
    value = jnp.clip(jnp.rint((x + 1) * 0.5 * (levels - 1)), 0, levels - 1)
    return value.astype(jnp.uint8 if levels <= 256 else jnp.uint16)


@dataclasses.dataclass(frozen=True)
class LogisticMixture:
    """A mixture of discretised logistics per pixel; means of a channel depend on those before it.

    theta of a pixel of C channels: M logits, then for each channel M means and M log-scales, then
    M coefficients for each pair of channels: (1 + 2 C + C (C - 1) / 2) M numbers, 10 M for RGB.
    The coefficients pass tanh. With `mixtures=1` this is the discretised logistic.

    Source: Salimans et al. 2017, PixelCNN++, section 2.1 and 2.2.

    Attributes:
        levels: number of grey levels.
        mixtures: M.
    """

    levels: int
    mixtures: int = 10
    is_mass = True

    def width(self, channels: int) -> int:
        """See above."""
        return self.mixtures * (1 + 2 * channels + channels * (channels - 1) // 2)

    def _split(self, theta: Theta) -> tuple[Array, Array, Array, Array]:
        """Logits [..., M], means and log-scales [..., C, M], coefficients [..., pairs, M]."""
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
        theta = theta.reshape(*theta.shape[:-1], -1, self.mixtures)
        rest = theta.shape[-2]
        channels = next(c for c in range(1, rest) if self.width(c) == rest * self.mixtures)
        logits, theta = theta[..., 0, :], theta[..., 1:, :]
        means, log_scales, pairs = jnp.split(theta, [channels, 2 * channels], axis=-2)
        return logits, means, jnp.maximum(log_scales, LEAST_LOG_SCALE), jnp.tanh(pairs)

    def _shifted(self, means: Array, pairs: Array, seen: Array, channel: int) -> Array:
        """Means [..., M] of a channel, given the channels before it, `seen` [..., C] in [-1, 1]."""
        mean, first = means[..., channel, :], channel * (channel - 1) // 2
        for k in range(channel):
            mean = mean + pairs[..., first + k, :] * seen[..., k, None]
        return mean

    def log_prob(self, x: X, theta: Theta) -> PerExample:
        """Of the integers, summed over pixels."""
        logits, means, log_scales, pairs = self._split(theta)
        seen = x.astype(means.dtype) * (2.0 / (self.levels - 1)) - 1
        total = jax.nn.log_softmax(logits)
        for c in range(x.shape[-1]):
            mean = self._shifted(means, pairs, seen, c)
            value = jnp.broadcast_to(x[..., c, None].astype(mean.dtype), mean.shape)
            total = total + logistic_mass(value, mean, log_scales[..., c, :], self.levels)
        return sum_event(jax.nn.logsumexp(total, axis=-1, keepdims=True))

    def sample(self, rng: Any, theta: Theta, temperature: Any = 1.0) -> X:
        """Picks a component, then draws channel by channel; the temperature multiplies scales."""
        pick, noise = jax.random.split(rng)
        logits, means, log_scales, pairs = self._split(theta)
        chosen = jax.random.categorical(pick, logits)

        def of_chosen(values: Array) -> Array:
            return jnp.take_along_axis(values, chosen[..., None, None], axis=-1)

        means, log_scales, pairs = of_chosen(means), of_chosen(log_scales), of_chosen(pairs)
        draws = jax.random.logistic(noise, means.shape[:-1], means.dtype)
        seen, levels = jnp.zeros_like(draws), []
        for c in range(draws.shape[-1]):
            mean = self._shifted(means, pairs, seen, c)[..., 0]
            spread = temperature * jnp.exp(log_scales[..., c, 0])
            levels.append(_to_levels(mean + spread * draws[..., c], self.levels))
            seen = seen.at[..., c].set(levels[c] * (2.0 / (self.levels - 1)) - 1)
        return jnp.stack(levels, axis=-1)

    def log_masses(self, theta: Theta, seen: X, channel: int) -> Masses:
        """See `Masses`; components weigh by how well they say the channels before."""
        logits, means, log_scales, pairs = self._split(theta)
        real = seen.astype(means.dtype) * (2.0 / (self.levels - 1)) - 1
        weights = jax.nn.log_softmax(logits)
        for c in range(channel):
            mean = self._shifted(means, pairs, real, c)
            value = jnp.broadcast_to(seen[..., c, None].astype(mean.dtype), mean.shape)
            weights = weights + logistic_mass(value, mean, log_scales[..., c, :], self.levels)
        weights = jax.nn.log_softmax(weights)
        mean = self._shifted(means, pairs, real, channel)[..., None, :]
        shape = (*mean.shape[:-2], self.levels, self.mixtures)
        values = jnp.arange(self.levels, dtype=mean.dtype)[:, None]
        values = jnp.broadcast_to(values.reshape(*(1,) * (mean.ndim - 2), self.levels, 1), shape)
        scales = jnp.broadcast_to(log_scales[..., channel, None, :], shape)
        masses = logistic_mass(values, jnp.broadcast_to(mean, shape), scales, self.levels)
        return jax.nn.logsumexp(weights[..., None, :] + masses, axis=-1)

    def mean(self, theta: Theta) -> Float[Array, "b *event c"]:
        """Of the logistics, before they are cut at the edges; channel by channel."""
        logits, means, _, pairs = self._split(theta)
        weights = jax.nn.softmax(logits)
        out = jnp.zeros(means.shape[:-1], means.dtype)
        for c in range(means.shape[-2]):
            mean = jnp.sum(weights * self._shifted(means, pairs, out, c), axis=-1)
            out = out.at[..., c].set(jnp.clip(mean, -1.0, 1.0))
        return (out + 1) * 0.5 * (self.levels - 1)


@dataclasses.dataclass(frozen=True)
class Categorical:
    """Any mass on the grey levels of each element; theta are logits, those of an element together.

    Attributes:
        levels: number of grey levels.
    """

    levels: int
    is_mass = True

    def width(self, channels: int) -> int:
        """A logit for each level."""
        return channels * self.levels

    def logits(self, theta: Theta) -> Float[Array, "b *event c levels"]:
        """Of each element's levels, in float32 or wider."""
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
        return theta.reshape(*theta.shape[:-1], -1, self.levels)

    def log_prob(self, x: X, theta: Theta) -> PerExample:
        """Of the integers, summed."""
        log_p = jax.nn.log_softmax(self.logits(theta))
        return sum_event(jnp.take_along_axis(log_p, x[..., None].astype(jnp.int32), -1))

    def sample(self, rng: Any, theta: Theta, temperature: Any = 1.0) -> X:
        """The temperature multiplies the Gumbel noise."""
        logits = self.logits(theta)
        noise = jax.random.gumbel(rng, logits.shape, logits.dtype)
        value = jnp.argmax(logits + temperature * noise, axis=-1)
        return value.astype(jnp.uint8 if self.levels <= 256 else jnp.uint16)

    def log_masses(self, theta: Theta, seen: X, channel: int) -> Masses:
        """See `Masses`."""
        return jax.nn.log_softmax(self.logits(theta)[..., channel, :])

    def mean(self, theta: Theta) -> Float[Array, "b *event c"]:
        """The expected level."""
        values = jnp.arange(self.levels, dtype=jnp.float32)
        return jnp.tensordot(jax.nn.softmax(self.logits(theta)), values, axes=1)


@dataclasses.dataclass(frozen=True)
class LogitLaplace:
    """A density of grey levels brought to [0, 1], whose logit is Laplace: never bits/dim.

    Levels x are mapped to y = (1 - 2 eps) x + eps first, away from the ends where a logit has no
    value. theta are means of logits, then logarithms of their scales b. What lies beyond [0, 1] in
    x, up to eps / (1 - 2 eps), has density, too: with it the density integrates to one.

    Source: Ramesh et al. 2021, Zero-shot text-to-image generation, appendix A.3; openai/DALL-E for
    eps, and for the middle of an element, its median, as what stands for it.

    Attributes:
        levels: number of grey levels.
        eps: see above.
    """

    levels: int
    eps: float = 0.1
    is_mass = False

    def width(self, channels: int) -> int:
        """Means, then log-scales."""
        return 2 * channels

    def _split(self, theta: Theta) -> tuple[Array, Array]:
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
        mean, log_scale = jnp.split(theta, 2, axis=-1)
        return mean, jnp.maximum(log_scale, LEAST_LOG_SCALE)

    def log_prob(self, x: X, theta: Theta) -> PerExample:
        """Of x / (levels - 1): -|logit y - mean| / b - log(2 b y (1 - y)) + log(1 - 2 eps)."""
        mean, log_scale = self._split(theta)
        y = x / (self.levels - 1.0) * (1 - 2 * self.eps) + self.eps
        logit = jnp.log(y) - jnp.log1p(-y)
        each = -jnp.abs(logit - mean) * jnp.exp(-log_scale) - log_scale
        each = each - jnp.log(y) - jnp.log1p(-y) + math.log((1 - 2 * self.eps) / 2)
        return sum_event(each)

    def sample(self, rng: Any, theta: Theta, temperature: Any = 1.0) -> X:
        """The temperature multiplies the noise of the logits."""
        mean, log_scale = self._split(theta)
        noise = jax.random.laplace(rng, mean.shape, mean.dtype)
        return self._levels(mean + temperature * jnp.exp(log_scale) * noise)

    def mean(self, theta: Theta) -> Float[Array, "b *event c"]:
        """The medians."""
        return self._levels(self._split(theta)[0])

    def _levels(self, logit: Array) -> Array:
        x = (jax.nn.sigmoid(logit) - self.eps) / (1 - 2 * self.eps)
        return (self.levels - 1) * jnp.clip(x, 0.0, 1.0)


NAMES = ("bernoulli", "gaussian", "learned_gaussian", "logistic", "logistic_mixture", "categorical")
NAMES += ("logit_laplace",)


def observation(
    name: str, levels: int | None, mixtures: int = 10, log_volume: float = 0.0
) -> Observation:
    """The observation model called `name`, fit for data of so many grey levels.

    Args:
        name: one of `NAMES`.
        levels: of the data, None for continuous ones.
        mixtures: components of "logistic_mixture".
        log_volume: of the Gaussians, see there.

    Raises:
        ValueError: for an unknown name, or one that does not fit the data.
    """
    if name not in NAMES:
        raise ValueError(f"observation={name!r}, expected one of {NAMES}")
    if name.endswith("gaussian"):
        return Gaussian(levels, 1.0 if name == "gaussian" else None, log_volume)
    if levels is None:
        raise ValueError(
            f"observation={name!r} is of integers, and these data are continuous: type "
            "--config.method.observation=gaussian"
        )
    if name == "bernoulli":
        if levels != 2:
            raise ValueError(
                f"observation='bernoulli' is no likelihood of {levels} levels: type "
                "--config.method.observation=logistic_mixture, or, for grey images, "
                "--config.data.binarize=dynamic"
            )
        return Bernoulli()
    if name == "categorical":
        return Categorical(levels)
    if name == "logit_laplace":
        return LogitLaplace(levels)
    return LogisticMixture(levels, 1 if name == "logistic" else mixtures)
