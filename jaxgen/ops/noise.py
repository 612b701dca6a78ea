"""How data become noise: z_t = alpha(t) x + sigma(t) eps, from data at t = 0 on.

A path gives alpha, sigma, the logarithm of their ratio (half the log-SNR) and their rates. Chains
of discrete steps are in `ops.chain`, and have the first three.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

Time = Any  # a real array, or a number


@runtime_checkable
class Noising(Protocol):
    """What samplers need of a path or a chain.

    Attributes:
        by_time: whether an ODE solver counts by t, and z is what it moves. Else it counts by
            sigma / alpha and moves z / alpha, whose slope is the noise.
    """

    @property
    def by_time(self) -> bool:
        """See the class."""
        ...

    def alpha(self, t: Time) -> Any:
        """What is left of x."""
        ...

    def sigma(self, t: Time) -> Any:
        """Standard deviation of the noise."""
        ...

    def log_ratio(self, t: Time) -> Any:
        """log(alpha / sigma): half the logarithm of the signal-to-noise ratio."""
        ...


@runtime_checkable
class Path(Noising, Protocol):
    """A path in continuous time.

    Attributes:
        first: the time that stands for data where an ODE begins: 0, unless rates are infinite.
    """

    first: ClassVar[float]

    def rates(self, t: Time) -> tuple[Any, Any]:
        """Derivatives of alpha and sigma."""
        ...


@dataclasses.dataclass(frozen=True)
class Linear:
    """Straight lines: alpha = 1 - t, sigma = t.

    Source: Lipman et al. 2023, Flow matching for generative modeling, section 4.1, with a last
    standard deviation of zero; Liu et al. 2023, Flow straight and fast, equation 1.
    """

    by_time: ClassVar[bool] = True
    first: ClassVar[float] = 0.0

    def alpha(self, t: Time) -> Any:
        """See `Noising`."""
        return 1 - t

    def sigma(self, t: Time) -> Any:
        """See `Noising`."""
        return t

    def log_ratio(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.log1p(-t) - jnp.log(t)

    def rates(self, t: Time) -> tuple[Any, Any]:
        """See `Path`."""
        return -jnp.ones_like(t), jnp.ones_like(t)


@dataclasses.dataclass(frozen=True)
class Trigonometric:
    """A quarter of a circle: alpha = cos(pi t / 2), sigma = sin(pi t / 2).

    Source: Albergo & Vanden-Eijnden 2023, Building normalizing flows with stochastic interpolants,
    equation 5; Ma et al. 2024, SiT, table 1, "GVP".
    """

    by_time: ClassVar[bool] = True
    first: ClassVar[float] = 0.0

    def alpha(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.sin((1 - t) * (math.pi / 2))  # exactly zero at the end

    def sigma(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.sin(t * (math.pi / 2))

    def log_ratio(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.log(self.alpha(t)) - jnp.log(self.sigma(t))

    def rates(self, t: Time) -> tuple[Any, Any]:
        """See `Path`."""
        return -self.sigma(t) * (math.pi / 2), self.alpha(t) * (math.pi / 2)


@dataclasses.dataclass(frozen=True)
class Preserving:
    """The variance-preserving process whose rate rises linearly.

    Source: Song et al. 2021, Score-based generative modeling through SDEs, equation 33.

    Attributes:
        slow: rate of the noise at t = 0.
        fast: at t = 1.
    """

    slow: float = 0.1
    fast: float = 20.0
    by_time: ClassVar[bool] = False
    first: ClassVar[float] = 1e-3

    def _log_alpha(self, t: Time) -> Any:
        return -0.25 * t**2 * (self.fast - self.slow) - 0.5 * t * self.slow

    def alpha(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.exp(self._log_alpha(t))

    def sigma(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.sqrt(-jnp.expm1(2 * self._log_alpha(t)))

    def log_ratio(self, t: Time) -> Any:
        """See `Noising`."""
        return self._log_alpha(t) - jnp.log(self.sigma(t))

    def rates(self, t: Time) -> tuple[Any, Any]:
        """See `Path`."""
        rate = 0.5 * (self.slow + t * (self.fast - self.slow))
        return -rate * self.alpha(t), rate * self.alpha(t) ** 2 / self.sigma(t)


@dataclasses.dataclass(frozen=True)
class Exploding:
    """Noise is added and nothing is taken away; t is its standard deviation.

    Source: Karras et al. 2022, Elucidating the design space of diffusion-based generative models,
    equation 1 and section 3.
    """

    by_time: ClassVar[bool] = False

    def alpha(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.ones_like(t)

    def sigma(self, t: Time) -> Any:
        """See `Noising`."""
        return t

    def log_ratio(self, t: Time) -> Any:
        """See `Noising`."""
        return -jnp.log(t)

    @staticmethod
    def ladder(share: Any, low: float, high: float, rho: float = 7.0) -> Any:
        """The standard deviation after a share of the way from `low` to `high`.

        Source: the same, equation 5, read from its other end.
        """
        a, b = low ** (1 / rho), high ** (1 / rho)
        return (a + share * (b - a)) ** rho


@dataclasses.dataclass(frozen=True)
class LogLinear:
    """A log-SNR that falls linearly: -gamma(t), gamma(t) = low + (high - low) t.

    alpha^2 = sigmoid(-gamma), sigma^2 = sigmoid(gamma).

    Source: Kingma et al. 2021, Variational diffusion models, section 3.2, whose end points are
    learnt.

    Attributes:
        low: gamma at t = 0; a number, or a scalar array.
        high: at t = 1.
    """

    low: Any
    high: Any
    by_time: ClassVar[bool] = False
    first: ClassVar[float] = 0.0

    def gamma(self, t: Time) -> Any:
        """Negative log-SNR."""
        return self.low + (self.high - self.low) * t

    def alpha(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.exp(0.5 * jax.nn.log_sigmoid(-self.gamma(t)))

    def sigma(self, t: Time) -> Any:
        """See `Noising`."""
        return jnp.exp(0.5 * jax.nn.log_sigmoid(self.gamma(t)))

    def log_ratio(self, t: Time) -> Any:
        """See `Noising`."""
        return -0.5 * self.gamma(t)

    def rates(self, t: Time) -> tuple[Any, Any]:
        """See `Path`."""
        alpha, sigma, half = self.alpha(t), self.sigma(t), 0.5 * (self.high - self.low)
        return -half * alpha * sigma**2, half * sigma * alpha**2


PATHS: dict[str, Any] = {"linear": Linear, "trigonometric": Trigonometric, "preserving": Preserving}
