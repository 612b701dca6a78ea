"""Diffusion in discrete steps: tables in float64, and what they say inside of a program.

Steps count as in the code of DDPM: 0 adds the least noise, T - 1 the most, and -1 is the data.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

SPACINGS = ("ends", "stride", "quadratic")


def linear_betas(steps: int) -> np.ndarray:
    """From 1e-4 to 0.02 at 1,000 steps; of other numbers so that they end at the same noise.

    Source: Ho et al. 2020, Denoising diffusion probabilistic models, section 4; the scaling is of
    openai/improved-diffusion.
    """
    scale = 1000 / steps
    return np.minimum(np.linspace(1e-4 * scale, 0.02 * scale, steps), 0.999)


def cosine_betas(steps: int) -> np.ndarray:
    """Those of a share of the signal that falls as a squared cosine; at most 0.999.

    Source: Nichol & Dhariwal 2021, Improved denoising diffusion probabilistic models, equation 17.
    """
    left = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - left[1:] / left[:-1], 0.999)


BETAS = {"linear": linear_betas, "cosine": cosine_betas}


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """q(z_t | z_{t-1}) = N(sqrt(1 - beta_t) z_{t-1}, beta_t), and what follows of it.

    Arrays are float64 [T]. `alpha`, `sigma` and `log_ratio` are as those of `ops.noise.Noising`, of
    steps in a program.

    Source: Ho et al. 2020, equations 2 to 7.

    Attributes:
        betas: variances of the steps.
    """

    betas: np.ndarray
    by_time: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.betas)

    @functools.cached_property
    def alphas_bar(self) -> np.ndarray:
        """alpha(t)^2, the share of the variance of x."""
        return np.cumprod(1 - self.betas)

    @functools.cached_property
    def alphas_bar_before(self) -> np.ndarray:
        """Of the step before each."""
        return np.append(1.0, self.alphas_bar[:-1])

    @functools.cached_property
    def posterior_variance(self) -> np.ndarray:
        """Of q(z_{t-1} | z_t, x)."""
        return self.betas * (1 - self.alphas_bar_before) / (1 - self.alphas_bar)

    @functools.cached_property
    def posterior_log_variance(self) -> np.ndarray:
        """The first, which is log 0, is that of the second."""
        small = self.posterior_variance
        return np.log(np.append(small[1], small[1:])) if len(self) > 1 else np.log(self.betas)

    @functools.cached_property
    def large_log_variance(self) -> np.ndarray:
        """log beta, the first as that of the posterior: "fixedlarge" of the code of DDPM."""
        return np.append(self.posterior_log_variance[0], np.log(self.betas[1:]))

    @functools.cached_property
    def posterior_of_data(self) -> np.ndarray:
        """Factor of x in the mean of q(z_{t-1} | z_t, x)."""
        return self.betas * np.sqrt(self.alphas_bar_before) / (1 - self.alphas_bar)

    @functools.cached_property
    def posterior_of_noised(self) -> np.ndarray:
        """Factor of z_t there."""
        return (1 - self.alphas_bar_before) * np.sqrt(1 - self.betas) / (1 - self.alphas_bar)

    def respaced(self, steps: Any) -> Chain:
        """The chain of these steps alone, rising, with the same noise at each of them.

        Source: Nichol & Dhariwal 2021, equation 19.
        """
        left = self.alphas_bar[np.asarray(steps)]
        return Chain(1 - left / np.append(1.0, left[:-1]))

    @functools.cached_property
    def _log_alphas(self) -> np.ndarray:
        """[T + 1], from the data on."""
        return np.append(0.0, 0.5 * np.cumsum(np.log1p(-self.betas)))

    def log_alpha(self, t: Any) -> Any:
        """Of steps t, integers of any real type, from -1 on."""
        table = jnp.asarray(self._log_alphas, jnp.result_type(float))
        return table[jnp.asarray(t).astype(jnp.int32) + 1]

    def alpha(self, t: Any) -> Any:
        """See `ops.noise.Noising`."""
        return jnp.exp(self.log_alpha(t))

    def sigma(self, t: Any) -> Any:
        """See `ops.noise.Noising`; small ones keep their precision in float32."""
        return jnp.sqrt(-jnp.expm1(2 * self.log_alpha(t)))

    def log_ratio(self, t: Any) -> Any:
        """See `ops.noise.Noising`."""
        return self.log_alpha(t) - jnp.log(self.sigma(t))


@functools.cache
def chain(betas: str, steps: int) -> Chain:
    """The chain of a schedule in `BETAS`."""
    return Chain(BETAS[betas](steps))


def spaced(number: Any, count: Any, steps: int, spacing: str) -> Any:
    """The step of a chain that is number `number` of `count`, from the least noise on.

    Args:
        number: 0 .. count - 1.
        count: of steps that are taken.
        steps: T, of the chain.
        spacing: "ends" are even and hold 0 and T - 1 (openai/guided-diffusion); "stride" are
            multiples of T / count, without T - 1 (Song et al. 2021, Denoising diffusion implicit
            models, appendix D.2); "quadratic" are denser near the data (same place).
    """
    if spacing == "stride":
        return number * steps // count
    if spacing == "quadratic":
        root = math.sqrt(0.8 * steps) * number / jnp.maximum(count - 1, 1)
        return jnp.floor(root**2 + 1e-3).astype(jnp.int32)
    # round half to even, in integers: float32 would miss
    whole, parts = (number * (steps - 1)) // jnp.maximum(count - 1, 1), jnp.maximum(count - 1, 1)
    rest = 2 * (number * (steps - 1) - whole * parts) - parts
    found = whole + ((rest > 0) | ((rest == 0) & (whole % 2 == 1)))
    return jnp.where(count == 1, steps - 1, found)
