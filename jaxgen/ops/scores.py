"""How near a small set of samples is to data, in the space of the data itself."""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

NEAR = 3  # neighbour whose distance is the radius around an example


def sample_scores(
    x: Float[Array, "b d"], samples: Float[Array, "b d"]
) -> dict[str, Float[Array, " b"]]:
    """`energy_score`, `recall` and `precision` of each of B examples, or of B samples.

    `energy_score` of x is mean |x - g| - mean |g - g'| / 2 over samples g: a proper score, lowest
    in expectation for the true distribution (Gneiting & Raftery 2007, equation 21). `recall` of
    x is 1 where it lies in the ball of a sample, `precision` of a sample where it lies in the
    ball of an example; the radius of a ball is the distance to the third nearest of its own kind
    (Kynkaanniemi et al. 2019, equation 1, but of data and not of features).

    Args:
        x: examples.
        samples: as many.
    """
    across, within, own = distances(x, samples), distances(samples, samples), distances(x, x)
    pairs = len(x) * max(len(x) - 1, 1)
    nth = min(NEAR, len(x) - 1)
    among_samples, among_data = (jnp.sort(d, axis=1)[:, nth] for d in (within, own))
    return {
        "energy_score": jnp.mean(across, axis=1) - 0.5 * jnp.sum(within) / pairs,
        "recall": jnp.any(across <= among_samples[None], axis=1).astype(jnp.float32),
        "precision": jnp.any(across <= among_data[:, None], axis=0).astype(jnp.float32),
    }


def distances(a: Float[Array, "n d"], b: Float[Array, "m d"]) -> Float[Array, "n m"]:
    """Euclidean."""
    squares = jnp.sum(a * a, 1)[:, None] + jnp.sum(b * b, 1)[None] - 2 * a @ b.T
    return jnp.sqrt(jnp.maximum(squares, 0.0))


def deviation(x: Float[Array, "b ..."]) -> Float[Array, ""]:
    """The root of the mean variance of a batch."""
    return jnp.sqrt(jnp.mean(jnp.var(x, axis=0)))
