"""A normal density whose errors are in part one for all columns of an example.

Of a voice that is held, part of what a model does not know stays as it is in every frame, as where
the formants of this utterance are, and part fluctuates. To draw all of it anew for each frame makes
noise of the first part; to draw none makes a voice more even than any real one.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

X = Float[Array, "b h w c"]
Theta = Float[Array, "b h w width"]
PerExample = Float[Array, " b"]
LEAST, MOST = -5.0, 3.0  # of logarithms of deviations


@dataclasses.dataclass(frozen=True)
class SharedGaussian:
    """x = mean + std v + common u, of [H, W, C]: v is normal everywhere, u one for each row.

    theta are means, logarithms of `std`, and of `common`, whose mean over columns counts.

    Attributes:
        log_volume: see `observations.Gaussian`.
    """

    log_volume: float = 0.0
    is_mass = False

    def width(self, channels: int) -> int:
        """Three numbers an element."""
        return 3 * channels

    def _split(self, theta: Theta) -> tuple[Array, Array, Array]:
        """Means, logarithms of deviations, and of those of rows, [B, H, 1, C]."""
        theta = theta.astype(jnp.promote_types(theta.dtype, jnp.float32))
        mean, log_std, log_common = jnp.split(theta, 3, axis=-1)
        log_common = jnp.mean(log_common, axis=2, keepdims=True)
        return mean, jnp.clip(log_std, LEAST, MOST), jnp.clip(log_common, LEAST, MOST)

    def log_prob(self, x: X, theta: Theta) -> PerExample:
        """Of the normal with the covariance diag(std^2) + common^2 1 1^T of each row.

        By the formula of Sherman and Morrison and the lemma of determinants.
        """
        mean, log_std, log_common = self._split(theta)
        error, precision = x - mean, jnp.exp(-2 * log_std)
        common = jnp.exp(2 * log_common)[:, :, 0]
        grown = 1 + common * jnp.sum(precision, axis=2)
        along = jnp.sum(precision * error, axis=2)
        square = jnp.sum(precision * jnp.square(error), axis=2) - common / grown * along**2
        logdet = 2 * jnp.sum(log_std, axis=2) + jnp.log(grown)
        rows = -0.5 * (square + logdet + x.shape[2] * math.log(2 * math.pi))
        return jnp.sum(rows, axis=(1, 2)) - self.log_volume

    def sample(
        self, rng: Any, theta: Theta, temperature: Any = 1.0, of_rows: Any = 1.0
    ) -> Float[Array, "b h w c"]:
        """A draw; the temperature multiplies the noise, and `of_rows` that of rows once more."""
        mean, log_std, log_common = self._split(theta)
        each, row = jax.random.split(rng)
        noise = jnp.exp(log_std) * jax.random.normal(each, mean.shape, mean.dtype)
        shared = jnp.exp(log_common) * jax.random.normal(row, log_common.shape, mean.dtype)
        return mean + temperature * (noise + of_rows * jnp.broadcast_to(shared, mean.shape))

    def mean(self, theta: Theta) -> Float[Array, "b h w c"]:
        """The means."""
        return self._split(theta)[0]
