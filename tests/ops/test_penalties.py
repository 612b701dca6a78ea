"""Penalties against closed forms, and against finite differences in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops import penalties
from jaxgen.ops.penalties import (
    PENALTIES,
    between,
    gradient_penalty,
    history,
    largest_slope,
    lecam,
    orthogonality,
)

RANDOM = np.random.RandomState(0)
X, G = RANDOM.randn(2, 6, 4)
W1, W2 = RANDOM.randn(4, 5), RANDOM.randn(5)
RNG = jax.random.key(0)


def critic(x, w1=W1):
    return jnp.tanh(x.reshape(len(x), -1) @ w1) @ W2


def between_them(rng):
    return np.asarray(between(jnp.asarray(X), jnp.asarray(G), rng))


def slope(x, step=1e-5):
    """[B, D] by central differences."""
    shifts = step * np.eye(4)[:, None]
    return np.stack([(critic(x + s) - critic(x - s)) / (2 * step) for s in shifts], axis=1)


EXPECTED = {
    "r1": lambda rng: (slope(X) ** 2).sum(1).mean() / 2,
    "r2": lambda rng: (slope(G) ** 2).sum(1).mean() / 2,
    "gradient_penalty": lambda rng: (
        (np.linalg.norm(slope(between_them(rng)), axis=1) - 1) ** 2
    ).mean(),
    "largest_slope": lambda rng: (slope(between_them(rng)) ** 2).sum(1).max(),
    "drift": lambda rng: (critic(X) ** 2).mean(),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_values_and_gradients(name):
    """The gradient by the critic's weights too, by differences of the penalty."""
    with jax.enable_x64(True):
        x, g, rng = jnp.asarray(X), jnp.asarray(G), jax.random.key(1)

        def value(w1):
            return PENALTIES[name](lambda x: critic(x, w1), x, g, rng)

        both = jax.jit(jax.value_and_grad(value))
        first, gradient = both(W1)
        np.testing.assert_allclose(first, EXPECTED[name](rng), rtol=1e-7)
        gradient = np.asarray(gradient)
        for i, j in ((0, 0), (2, 3), (3, 4)):
            step = np.zeros_like(W1)
            step[i, j] = 1e-5
            expected = (float(both(W1 + step)[0]) - float(both(W1 - step)[0])) / 2e-5
            np.testing.assert_allclose(gradient[i, j], expected, rtol=1e-6, atol=1e-9)


def test_gradient_penalty_of_known_critics():
    """Of w . x it is (|w| - 1)^2 exactly, at images too; of |x|^2 / 2 the mean (|x| - 1)^2."""
    x, g = map(jnp.asarray, RANDOM.randn(2, 5, 3, 3, 2))
    w = jnp.asarray(RANDOM.randn(3, 3, 2))

    @jax.jit
    def found(x, g):
        critics = (
            lambda x: jnp.einsum("bhwc,hwc->b", x, w),
            lambda x: jnp.sum(x, (1, 2, 3)),
            lambda x: 0.5 * jnp.sum(x**2, (1, 2, 3)),
        )
        return [gradient_penalty(f, x, g, RNG) for f in critics], between(x, g, RNG)

    (linear, ones, quadratic), points = found(x, g)
    np.testing.assert_allclose(linear, (np.linalg.norm(w) - 1) ** 2, rtol=1e-5)
    np.testing.assert_allclose(ones, (np.sqrt(18) - 1) ** 2, rtol=1e-5)
    norms = np.linalg.norm(np.asarray(points).reshape(5, -1), axis=1)
    np.testing.assert_allclose(quadratic, ((norms - 1) ** 2).mean(), rtol=1e-5)


def test_one_sided():
    x, g = map(jnp.asarray, RANDOM.randn(2, 5, 3))
    penalty = jax.jit(lambda w: gradient_penalty(lambda x: x @ w, x, g, RNG, one_sided=True))
    for scale, expected in ((0.3, 0.0), (2.0, 1.0)):
        value = penalty(np.float32(scale) * np.float32([0.6, 0.8, 0.0]))
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_points_between_share_one_draw_an_example():
    x, g = jnp.zeros((7, 4, 4, 2)), jnp.ones((7, 4, 4, 2))
    points = np.asarray(jax.jit(between)(x, g, RNG)).reshape(7, -1)
    assert np.ptp(points, axis=1).max() == 0
    assert len(np.unique(points[:, 0])) == 7 and points.min() >= 0 and points.max() <= 1


def test_a_flat_critic_has_finite_gradients():
    x = jnp.ones((3, 2))

    def value(w, name):
        return PENALTIES[name](lambda x: x @ w, x, x, RNG)

    gradients = jax.jit(lambda w: [jax.grad(value)(w, name) for name in EXPECTED])(jnp.zeros(2))
    assert np.isfinite(gradients).all()


def test_largest_slope_is_of_one_example():
    """Only the steepest example has a gradient."""
    x = jnp.array([[1.0], [3.0], [2.0]])

    def value(scale):
        return largest_slope(lambda x: scale * x[:, 0] ** 2, x, x, RNG)

    np.testing.assert_allclose(jax.jit(value)(0.5), 9.0)

    def per_row(rows):
        return largest_slope(lambda x: rows * x[:, 0] ** 2, x, x, RNG)

    slopes = np.asarray(jax.jit(jax.grad(per_row))(jnp.full(3, 0.5)))
    np.testing.assert_array_equal(slopes != 0, [False, True, False])


def test_consistency():
    """Zero for what flips and shifts leave alone; the mean squared change else."""
    images = RANDOM.randn(16, 8, 8, 1).astype(np.float32)
    level = np.ones_like(images) * np.arange(16, dtype=np.float32).reshape(-1, 1, 1, 1)
    flat = np.tile(images[:, :, :1], (1, 1, 8, 1))  # alike along the axis of flips

    def middle(x):
        return x[:, 4, 4, 0]

    @jax.jit
    def found(images, level, flat):
        return (
            penalties.consistency(middle, images, images, RNG),
            penalties.consistency(lambda x: jnp.mean(x, (1, 2, 3)), level, level, RNG),
            penalties.consistency(middle, flat, flat, RNG, fraction=0.0),
        )

    changed, mean, still = found(images, level, flat)
    assert changed > 0.1 and mean == 0 and still == 0


def test_orthogonality():
    """Brock et al., equation 3 in NumPy; its gradient is 4 W (W^T W * (1 - I))."""
    kernel = jnp.asarray(RANDOM.randn(3, 3, 2, 5))
    params = {"conv": {"kernel": kernel, "bias": jnp.ones(5)}, "embed": {"kernel": kernel[0, 0]}}
    w = np.asarray(kernel, np.float64).reshape(-1, 5)
    off = (w.T @ w) * (1 - np.eye(5))
    both = jax.value_and_grad(lambda p: orthogonality(p, skip="embed"))
    (value, gradient), whole = jax.jit(lambda p: (both(p), orthogonality(p)))(params)
    np.testing.assert_allclose(value, (off**2).sum(), rtol=1e-5)
    expected = (4 * w @ off).reshape(3, 3, 2, 5)
    np.testing.assert_allclose(gradient["conv"]["kernel"], expected, rtol=1e-4, atol=1e-3)
    assert whole > value


def test_lecam():
    means = {"real": jnp.float32(0.5), "fake": jnp.float32(-0.25)}
    real, fake = jnp.array([1.0, 2.0]), jnp.array([-1.0, 0.0])
    value, moved = jax.jit(lecam)(real, fake, means)
    expected = ((1.25**2 + 2.25**2) + (1.5**2 + 0.5**2)) / 2
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(moved["real"], 0.99 * 0.5 + 0.01 * 1.5, rtol=1e-6)
    np.testing.assert_allclose(moved["fake"], -0.99 * 0.25 - 0.01 * 0.5, rtol=1e-6)


def test_history_is_the_mean_of_all_parameters_so_far():
    """With theta_t = t the mean is (t + 1) / 2 and the penalty ((t - 1) / 2)^2."""
    kept = {"mean": {"a": jnp.zeros(3)}, "moves": jnp.float32(0)}
    move = jax.jit(history)
    for t in range(1, 20):
        params = {"a": np.full(3, t, np.float32)}
        value, kept = move(params, kept)
        np.testing.assert_allclose(kept["mean"]["a"], (t + 1) / 2, rtol=1e-6)
        np.testing.assert_allclose(value, 3 * ((t - 1) / 2) ** 2, rtol=1e-5, atol=1e-6)
    gradient = jax.jit(jax.grad(lambda p: history(p, kept)[0]))(params)
    expected = 2 * (19 - (np.asarray(kept["mean"]["a"]) * 19 + 19) / 20)  # the mean has no gradient
    np.testing.assert_allclose(gradient["a"], expected, rtol=1e-5)
