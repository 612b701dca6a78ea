"""Standing statistics: batch normalisation with the moments of many batches of samples.

Source: Brock et al. 2019, BigGAN, appendix B: a generator is evaluated with moments averaged over
many passes, made with the latents that it will be given, not with those of training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

STATISTICS = "batch_stats"


def standing_statistics(
    run: Callable[[Any, Any], Any], variables: dict[str, Any], rng: Any, passes: int
) -> dict[str, Any]:
    """Variables whose running moments are the mean of those of so many batches.

    A running moment moves from m to k m + (1 - k) b, b the batch's and k the share that is kept.
    What a pass makes of zeros and of ones tells k and b, whatever the layer keeps.

    Args:
        run: (variables, rng) -> what a training pass moved, with `STATISTICS` in it.
        variables: of the network; the others stay.
        rng: a key; each pass folds its number in.
        passes: at least 1.
    """
    if STATISTICS not in variables:
        return variables
    zeros = jax.tree.map(jnp.zeros_like, variables[STATISTICS])
    ones = jax.tree.map(jnp.ones_like, zeros)

    def moved(start: Any, key: Any) -> Any:
        return run({**variables, STATISTICS: start}, key)[STATISTICS]

    def body(total: Any, i: Any) -> Any:
        key = jax.random.fold_in(rng, i)
        of_zeros, of_ones = moved(zeros, key), moved(ones, key)
        batch = jax.tree.map(lambda a, b: a / (1 - (b - a)), of_zeros, of_ones)
        return jax.tree.map(jnp.add, total, batch), None

    total, _ = jax.lax.scan(body, zeros, jnp.arange(passes))
    return {**variables, STATISTICS: jax.tree.map(lambda t: t / passes, total)}
