"""Optimisers against a transcription of their formulas in NumPy."""

import jax.numpy as jnp
import numpy as np
import optax

from jaxgen.ops.optimizers import adamax_adam


def test_adamax_with_adams_correction():
    b1, b2, rate = 0.9, 1 - 1 / 98, 1e-3
    target = np.array([3.0, -1.0, 0.5])
    x, m, n = np.array([0.1, 0.2, -0.3]), np.zeros(3), np.zeros(3)
    optimizer = adamax_adam(rate, b1, b2)
    params = {"x": jnp.asarray(x, jnp.float32)}
    state = optimizer.init(params)
    for t in range(1, 6):
        g = x - target
        m, n = b1 * m + (1 - b1) * g, np.maximum(b2 * n, np.abs(g))
        x = x - rate * np.sqrt(1 - b2**t) / (1 - b1**t) * m / (n + 1e-8)
        updates, state = optimizer.update({"x": params["x"] - target}, state)
        params = optax.apply_updates(params, updates)
        np.testing.assert_allclose(params["x"], x, rtol=1e-6)
