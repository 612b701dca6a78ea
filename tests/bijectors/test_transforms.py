"""Elementwise transforms: the spline against the equations of its paper, and its tails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors.autoregressive import MADE
from jaxgen.bijectors.transforms import RationalQuadraticSpline, Scale, Shift

KEY = jax.random.key(0)
SPLINE = RationalQuadraticSpline(bins=8, bound=3.0)


def spline_by_hand(x, theta, bins=8, bound=3.0, least=1e-3):
    """Durkan et al. 2019, equations 4 and 5, one number at a time in float64."""

    def sizes(raw):
        e = np.exp(raw - raw.max())
        return 2 * bound * (least + (1 - least * bins) * e / e.sum())

    if abs(x) >= bound:
        return x, 0.0
    widths, heights = sizes(theta[:bins]), sizes(theta[bins : 2 * bins])
    unit = np.log(np.exp(1 - least) - 1)
    slopes = [1.0, *(least + np.log1p(np.exp(theta[2 * bins :] + unit))), 1.0]
    x0, y0 = -bound, -bound
    for k in range(bins):
        if x < x0 + widths[k] or k == bins - 1:
            break
        x0, y0 = x0 + widths[k], y0 + heights[k]
    s, t = heights[k] / widths[k], (x - x0) / widths[k]
    d0, d1 = slopes[k], slopes[k + 1]
    below = s + (d1 + d0 - 2 * s) * t * (1 - t)
    y = y0 + heights[k] * (s * t**2 + d0 * t * (1 - t)) / below
    slope = s**2 * (d1 * t**2 + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2) / below**2
    return y, np.log(slope)


def test_spline_equals_the_equations():
    with jax.enable_x64(True):
        x = jnp.linspace(-3.5, 3.5, 141)
        theta = 2 * jax.random.normal(KEY, (141, SPLINE.features))
        y, log_slope = jax.jit(SPLINE.forward)(x, theta)
        pairs = zip(np.asarray(x), np.asarray(theta), strict=True)
        expected = np.array([spline_by_hand(*pair) for pair in pairs])
        np.testing.assert_allclose(y, expected[:, 0], atol=1e-12)
        np.testing.assert_allclose(log_slope, expected[:, 1], atol=1e-12)


@pytest.mark.parametrize("transform", [Shift(), Scale(), SPLINE], ids=lambda t: type(t).__name__)
def test_zero_parameters_are_the_identity(transform):
    x = jnp.linspace(-5.0, 5.0, 101)
    y, log_slope = transform.forward(x, jnp.zeros((101, transform.features)))
    np.testing.assert_allclose(y, x, atol=1e-6)
    np.testing.assert_allclose(log_slope, 0, atol=1e-6)


def test_spline_and_its_slope_are_continuous_at_the_bound():
    theta = jax.random.normal(KEY, (1, SPLINE.features))
    for edge in (-3.0, 3.0):
        x = jnp.array([edge - 1e-5, edge + 1e-5])
        y, log_slope = SPLINE.forward(x, jnp.repeat(theta, 2, 0))
        np.testing.assert_allclose(y, edge, atol=1e-3)
        np.testing.assert_allclose(log_slope, 0, atol=1e-3)


@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_spline_is_finite_for_a_million_numbers_and_their_gradients(direction):
    special = jnp.array([0.0, -3.0, 3.0, 3.0000002, -30.0, 1e4, -1e30])
    x = jnp.concatenate([special, 2 * jax.random.normal(KEY, (1_000_000 - len(special),))])
    theta = 5 * jax.random.normal(KEY, (1000, SPLINE.features))

    def total(x, theta):
        theta = jnp.repeat(theta, 1000, 0)
        return sum(jnp.sum(out) for out in getattr(SPLINE, direction)(x, theta))

    value, grads = jax.jit(jax.value_and_grad(total, (0, 1)))(jnp.clip(x, -1e5, 1e5), theta)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)
    y, log_slope = getattr(SPLINE, direction)(special, theta[: len(special)])
    assert np.isfinite(y).all() and np.isfinite(log_slope).all()


def test_scale_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="kind='softplus', expected one of"):
        Scale("softplus")


@pytest.mark.parametrize("hidden", [(16,), (16, 12), (9, 16, 16)])
def test_made_sees_all_that_precedes_and_nothing_else(hidden):
    net = MADE(hidden, jax.nn.tanh)
    x, cond = jax.random.normal(KEY, (1, 5)), jnp.ones((1, 3))
    variables = net.init(KEY, x, cond, 2)
    noise = [jax.random.fold_in(KEY, i) for i in range(99)]
    leaves, tree = jax.tree.flatten(variables)
    moved = [p + jax.random.normal(k, p.shape) for p, k in zip(leaves, noise, strict=False)]
    variables = tree.unflatten(moved)

    def theta(x, cond):
        return net.apply(variables, x[None], cond[None], 2)[0]

    of_x, of_cond = jax.jit(jax.jacrev(theta, (0, 1)))(x[0], cond[0])
    seen = np.abs(of_x).max(axis=1) > 0  # [element, input]
    np.testing.assert_array_equal(seen, np.tril(np.ones((5, 5), bool), -1))
    assert (np.abs(of_cond[1:]).max(axis=1) > 0).all()
