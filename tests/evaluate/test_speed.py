"""Sampling speed, by a clock that is not the machine's."""

import jax.numpy as jnp
import numpy as np

from jaxgen.evaluate.metrics.speed import speed


def test_compiling_and_warm_ups_do_not_count():
    seconds = [60.0, 5.0, 5.0, *np.linspace(1.0, 3.0, 21)]
    ticks = np.repeat(np.cumsum([0.0, *seconds]), 2)[1:-1]
    clock = iter(ticks)
    calls = []

    def draw(i):
        calls.append(i)
        return {"x": jnp.zeros(3)}

    found = speed(draw, 64, calls=21, clock=lambda: next(clock))
    assert calls == list(range(24))
    np.testing.assert_allclose(
        [found.images_per_second, found.median_seconds, found.p95_seconds, found.first_seconds],
        [32, 2, 2.9, 60],
    )
    assert (found.batch, found.calls) == (64, 21)
