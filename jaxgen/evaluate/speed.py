"""How fast a model samples, without the time that compiling takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

WARM_UPS, CALLS = 3, 20


@dataclasses.dataclass(frozen=True)
class Speed:
    """Of calls that make `batch` images each.

    Attributes:
        images_per_second: batch over the median time.
        median_seconds: of a call.
        p95_seconds: of a call.
        first_seconds: of the first call, which compiles; in no other number.
        batch: images a call.
        calls: that were timed.
    """

    images_per_second: float
    median_seconds: float
    p95_seconds: float
    first_seconds: float
    batch: int
    calls: int


def speed(
    draw: Callable[[int], Any],
    batch: int,
    calls: int = CALLS,
    warm_ups: int = WARM_UPS,
    clock: Callable[[], float] = time.perf_counter,
) -> Speed:
    """Times calls, each until its result is there.

    Args:
        draw: compiled; of the number of the call, to draw from other latents each time, which
            returns arrays. It must not return before the devices know their work.
        batch: images that a call makes.
        calls: to be timed.
        warm_ups: before them, the first included.
        clock: in seconds.
    """
    seconds = []
    for i in range(max(warm_ups, 1) + calls):
        start = clock()
        jax.block_until_ready(draw(i))
        seconds.append(clock() - start)
    timed = np.array(seconds[-calls:])
    median = float(np.median(timed))
    p95 = float(np.quantile(timed, 0.95))
    return Speed(batch / median, median, p95, seconds[0], batch, calls)
