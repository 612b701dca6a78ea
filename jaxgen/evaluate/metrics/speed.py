"""How fast a model samples, without the time that compiling takes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen.evaluate.comparison import Comparison, model
from jaxgen.evaluate.measurement import Interval, Measurement, NotAvailable, Number, fingerprint
from jaxgen.fields import UNITS

WARM_UPS, CALLS = 3, 20
SECONDS = 20.0  # that the timed calls may take
FEWEST_CALLS = 3
NUMBERS = {
    f"{unit}_per_second": Number(
        "Sampling speed", f"{unit} per second, compilation excluded", "cost", "higher", f"{unit}/s"
    )
    for unit in UNITS.values()
} | {
    "step_seconds": Number("Train step", "median time, of all turns", "cost", unit="s"),
    "parameters": Number("Parameters", "counted", "cost"),
    "peak_bytes": Number("Peak memory", "of the device", "cost", unit="bytes"),
}
NEEDS = (model,)


def measure(c: Comparison) -> list[Measurement]:
    """Samples a second, without the time of compiling, and what training noted of cost."""
    if c.subject.sample is None:
        raise NotAvailable("speed is measured when nothing else runs: with jaxgen eval")
    jax.block_until_ready(c.subject.sample(0))
    once = speed(c.subject.sample, c.subject.sample_size, calls=1, warm_ups=1)
    calls = int(np.clip(SECONDS / once.median_seconds, FEWEST_CALLS, CALLS))
    timed = speed(c.subject.sample, c.subject.sample_size, calls, warm_ups=2)
    device = {"device": jax.devices()[0].device_kind, "devices": jax.device_count()}
    context = c.context(
        median_seconds=timed.median_seconds, p95_seconds=timed.p95_seconds, calls=timed.calls
    )
    found = [
        c.measured(
            f"{c.subject.spec.unit}_per_second",
            Interval(timed.images_per_second),
            fingerprint=fingerprint(device, batch=timed.batch, shape=str(c.subject.spec.shape)),
            context=context,
            notes=("compilation excluded",),
        )
    ]
    costs = c.subject.costs() if c.subject.costs else {}
    for name, (value, print_of) in costs.items():
        found.append(c.measured(name, Interval(value), fingerprint=print_of, settings={}))
    return found


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
