"""Paths between latents against sines of the angle, in float64."""

import jax.numpy as jnp
import numpy as np

from jaxgen.ops.paths import linear, spherical


def test_great_circles():
    random = np.random.RandomState(0)
    a, b, t = random.randn(50, 6), random.randn(50, 6), random.rand(50, 1)
    lengths = [np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    angle = np.arccos((a / lengths[0] * b / lengths[1]).sum(1))[:, None]
    between = np.sin((1 - t) * angle) * a / lengths[0] + np.sin(t * angle) * b / lengths[1]
    expected = between / np.sin(angle) * (lengths[0] + t * (lengths[1] - lengths[0]))
    trees = ({"x": jnp.asarray(z[:, :2]), "y": jnp.asarray(z[:, 2:, None])} for z in (a, b))
    found = spherical(*trees, jnp.asarray(t[:, 0]))
    found = np.concatenate([found["x"], found["y"][..., 0]], axis=1)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_ends_and_parallel_latents():
    a, b = map(jnp.asarray, np.random.RandomState(1).randn(2, 5, 30).astype(np.float32))
    for path in (linear, spherical):
        for t, end in ((0.0, a), (1.0, b)):
            np.testing.assert_allclose(path(a, b, jnp.full(5, t)), end, atol=2e-6)
        np.testing.assert_allclose(path(a, a, jnp.full(5, 0.3)), a, atol=1e-6)
