"""How groups of latents build an image, one after the other."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxgen.abilities import Descends
from jaxgen.config import ConfigError
from jaxgen.evaluate.sampling import chunk_key, chunk_size
from jaxgen.evaluate.validation import check_count, check_seed
from jaxgen.progress import track
from jaxgen.views.latents import check_images, given_to_all, moving_rows
from jaxgen.views.picture import Picture
from jaxgen.views.walks import check_temperatures


def reveal(
    run: Any,
    num: int = 16,
    seed: int = 0,
    label: int | None = None,
    temperatures: str | Sequence[float] = "",
    **places: Any,
) -> Picture:
    """Samples, group by group of their latents: a column, or frame, for each number of groups.

    Column k has the first k groups as they were drawn, and all others at the mean of their prior
    given those before: what a sample owes to its groups. The last column is the expected data, to
    which `run.sample(num, seed, mean=True)` has the nearest grey levels. Arrays: "x" [num,
    groups + 1, ...].

    Args:
        run: with images, and with latents in several groups.
        num: of samples.
        seed: of the latents, as of `run.sample`.
        label: class of all images, of a conditional run; None takes the first.
        temperatures: of the groups that are drawn, see `walks.walk`.
        **places: of the data.

    Raises:
        ConfigError: for what the run cannot do, or was not given.
    """
    check_images(run)
    num, seed = check_count(num, "num"), check_seed(seed)
    warm = check_temperatures(temperatures) or [1.0]
    method = run.method
    if not isinstance(method, Descends):
        raise ConfigError(f"{type(method).__name__} has no groups of latents: nothing to reveal")
    given = given_to_all(run, label, **places)
    size = chunk_size(run.spec)
    descend = _descending(run, method, size, {"given": given} if given else {})
    columns = []
    for number in range(-(-num // size)):
        key = chunk_key(jax.random.key(seed), number)
        latent = jax.random.split(key, 3)[0]  # of the three that a sample of the prior takes
        z, x = descend(warm)((), latent)
        if len(z) < 2:
            raise ConfigError(f"{type(method).__name__} has one group of latents here: see walk")
        shares = track(range(len(z)), "drawing", len(z), "frames")
        columns.append([*(descend([0.0])(tuple(z[:k]), latent)[1] for k in shares), x])
    whole = [np.concatenate(parts)[:num] for parts in zip(*columns, strict=True)]
    return dataclasses.replace(moving_rows(run, np.stack(whole, axis=1)), milliseconds=400)


def _descending(
    run: Any, method: Descends, num: int, told: dict[str, Any]
) -> Callable[[Sequence[float]], Callable[..., Any]]:
    """Temperatures -> (groups that are there, key) -> all groups and the expected data."""
    state = run.state.averaged()

    @functools.cache
    def at(temperatures: tuple[float, ...]) -> Callable[..., Any]:
        call = functools.partial(method.descend, num=num, temperatures=temperatures, **told)
        return functools.partial(jax.jit(lambda state, z, key: call(state, z, key)), state)

    return lambda temperatures: at(tuple(temperatures))
