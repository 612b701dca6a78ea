"""Elementwise transforms: the spline against the equations of its paper, and its tails."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.bijectors import transforms
from jaxgen.bijectors.autoregressive import MADE
from jaxgen.bijectors.transforms import CircularSpline, RationalQuadraticSpline, Scale, Shift
from jaxgen.data.limits import load_npz

KEY = jax.random.key(0)
SPLINE = RationalQuadraticSpline(bins=8, bound=3.0)
CIRCLE = CircularSpline(bins=6)
TURN = 2 * np.pi
RANDOM = np.random.RandomState(0)


def normals(*shape):
    """Of JAX's float type: float64 where that is enabled."""
    return jnp.asarray(RANDOM.randn(*shape))


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
        x = jnp.asarray(np.linspace(-3.5, 3.5, 141))
        theta = 2 * normals(141, SPLINE.features)
        y, log_slope = jax.jit(SPLINE.forward)(x, theta)
        pairs = zip(np.asarray(x), np.asarray(theta), strict=True)
        expected = np.array([spline_by_hand(*pair) for pair in pairs])
        np.testing.assert_allclose(y, expected[:, 0], atol=1e-12)
        np.testing.assert_allclose(log_slope, expected[:, 1], atol=1e-12)


def test_spline_equals_another_library():
    """Recorded from zuko 1.6.0, `MonotonicRQSTransform` of random numbers, in float64."""
    recorded = load_npz(pathlib.Path(__file__).parent / "zuko_splines.npz")
    inside = np.abs(recorded["x"]) < 3
    with jax.enable_x64(True):
        x, y, log_slope, *knots = (
            jnp.asarray(recorded[k][inside]) for k in ("x", "y", "log_slope", "xs", "ys", "slopes")
        )
        got, got_log_slope = jax.jit(transforms._spline)(x, *knots)
        np.testing.assert_allclose(got, y, rtol=0, atol=1e-12)
        np.testing.assert_allclose(got_log_slope, log_slope, rtol=0, atol=1e-12)
        back, back_log_slope = jax.jit(transforms._spline_inverse)(y, *knots)
        np.testing.assert_allclose(back, x, rtol=0, atol=1e-12)
        np.testing.assert_allclose(back_log_slope, -log_slope, rtol=0, atol=1e-12)
    assert inside.sum() > 30


@pytest.mark.parametrize(
    "transform", [Shift(), Scale(), SPLINE, CIRCLE], ids=lambda t: type(t).__name__
)
def test_zero_parameters_are_the_identity(transform):
    x = np.linspace(-5.0, 5.0, 101)
    x = jnp.asarray(x % TURN if transform is CIRCLE else x)
    y, log_slope = jax.jit(transform.forward)(x, jnp.zeros((101, transform.features)))
    np.testing.assert_allclose(y, x, atol=1e-6)
    np.testing.assert_allclose(log_slope, 0, atol=1e-6)


def test_spline_and_its_slope_are_continuous_at_the_bound():
    edges = np.array([-3.0, -3.0, 3.0, 3.0])
    x = jnp.asarray(edges + [-1e-5, 1e-5, -1e-5, 1e-5])
    theta = jnp.asarray(np.repeat(normals(1, SPLINE.features), 4, 0))
    y, log_slope = jax.jit(SPLINE.forward)(x, theta)
    np.testing.assert_allclose(y, edges, atol=1e-3)
    np.testing.assert_allclose(log_slope, 0, atol=1e-3)


@pytest.mark.parametrize(
    ("transform", "rows"),
    [
        (SPLINE, 20),
        (CIRCLE, 20),
        pytest.param(SPLINE, 1000, marks=pytest.mark.slow),
        pytest.param(CIRCLE, 1000, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_spline_is_finite_for_many_numbers_and_their_gradients(direction, transform, rows):
    special = np.array([0.0, -3.0, 3.0, 3.0000002, -30.0, 1e4, -1e30, TURN, -1e-9])
    x = np.concatenate([special, 2 * RANDOM.randn(rows * 1000 - len(special))])
    # the second half has bins and slopes at their least beside the greatest
    scale = np.where(np.arange(1000) < 500, 5.0, 500.0)[:, None]
    theta = jnp.asarray(scale * normals(1000, transform.features), jnp.float32)

    def total(x, theta):
        theta = jnp.repeat(theta, rows, 0)
        return sum(jnp.sum(out) for out in getattr(transform, direction)(x, theta))

    @jax.jit
    def found(x, special, theta):
        single = getattr(transform, direction)(special, theta[: len(special)])
        return jax.value_and_grad(total, (0, 1))(jnp.clip(x, -1e5, 1e5), theta), single

    found = found(*(jnp.asarray(v, jnp.float32) for v in (x, special)), theta)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_circular_spline_is_the_spline_of_its_knots():
    """Pieces by the equations of Durkan et al. 2019, from the knots, in float64."""
    with jax.enable_x64(True):
        x = np.linspace(0.0, TURN, 101)[:-1]
        theta = 2 * np.asarray(normals(100, CIRCLE.features))
        both = jax.jit(lambda x, theta: (CIRCLE.forward(x, theta), CIRCLE.knots(theta)))
        (y, log_slope), knots = both(x, theta)
        y, log_slope, xs, ys, slopes = map(np.asarray, (y, log_slope, *knots))
        assert (xs[:, 0] == 0).all() and (ys[:, 0] == 0).all()
        np.testing.assert_allclose([xs[:, -1], ys[:, -1]], TURN, rtol=1e-15)
        for i in range(100):
            k = np.searchsorted(xs[i], x[i], side="right") - 1
            width, height = xs[i, k + 1] - xs[i, k], ys[i, k + 1] - ys[i, k]
            s, t, (d0, d1) = height / width, (x[i] - xs[i, k]) / width, slopes[i, k : k + 2]
            below = s + (d1 + d0 - 2 * s) * t * (1 - t)
            value = ys[i, k] + height * (s * t**2 + d0 * t * (1 - t)) / below + theta[i, -1]
            slope = s**2 * (d1 * t**2 + 2 * s * t * (1 - t) + d0 * (1 - t) ** 2) / below**2
            np.testing.assert_allclose(np.exp(1j * y[i]), np.exp(1j * value), atol=1e-12)
            np.testing.assert_allclose(log_slope[i], np.log(slope), atol=1e-12)


@pytest.mark.parametrize("rotate", [False, True])
def test_circular_spline_is_a_smooth_map_of_the_circle(rotate):
    """Once around, no jump of value or slope at the seam, and back."""
    circle = CircularSpline(bins=6, rotate=rotate)
    with jax.enable_x64(True):
        theta = 2 * np.asarray(normals(1, circle.features))
        grid = np.linspace(0.0, TURN, 2001)
        seam = np.array([-1e-7, 1e-7, TURN - 1e-7, TURN + 1e-7])

        @jax.jit
        def there_and_back(x, theta):
            out = circle.forward(x, jnp.repeat(theta, len(x), 0))
            return *out, *circle.inverse(out[0], jnp.repeat(theta, len(x), 0))

        found = map(np.asarray, there_and_back(np.concatenate([grid, seam]), theta))
        (y, _, _, _), (at_seam, log_slope, back, inverse) = zip(
            *(np.split(v, [2001]) for v in found), strict=True
        )
        assert (y >= 0).all() and (y < TURN).all()
        steps = np.diff(np.unwrap(y))
        assert (steps > 0).all()
        np.testing.assert_allclose(steps.sum(), TURN, atol=1e-9)
        np.testing.assert_allclose(y[0], theta[0, -1] % TURN if rotate else 0, atol=1e-12)

        np.testing.assert_allclose(np.exp(1j * at_seam), np.exp(1j * at_seam[0]), atol=1e-4)
        np.testing.assert_allclose(log_slope, log_slope[0], atol=1e-4)
        np.testing.assert_allclose(np.exp(1j * back), np.exp(1j * seam), atol=1e-10)
        np.testing.assert_allclose(inverse + log_slope, 0, atol=1e-9)


def test_circular_spline_has_its_slope_at_the_seam_itself():
    theta = normals(3, CIRCLE.features)
    x = jnp.array([0.0, TURN, -1e-9])  # the last rounds to the seam

    def total(x):
        return jnp.sum(CIRCLE.forward(x, theta)[0])

    log_slope = jax.jit(CIRCLE.forward)(x, theta)[1]
    np.testing.assert_allclose(jax.jit(jax.grad(total))(x), np.exp(log_slope), rtol=1e-5)


def test_circular_spline_takes_any_turn():
    theta = normals(50, CIRCLE.features)
    x = (RANDOM.rand(50) * TURN).astype(np.float32)
    forward = jax.jit(CIRCLE.forward)
    y, log_slope = forward(x, theta)
    for turns in (-2, 1):
        again, same = map(np.asarray, forward(x + np.float32(turns * TURN), theta))
        np.testing.assert_allclose(np.exp(1j * again), np.exp(1j * np.asarray(y)), atol=1e-4)
        np.testing.assert_allclose(same, log_slope, atol=1e-4)


def test_scale_refuses_an_unknown_kind():
    with pytest.raises(ValueError, match="kind='softplus', expected one of"):
        Scale("softplus")


@pytest.mark.parametrize("hidden", [(16,), (16, 12), (9, 16, 16)])
def test_made_sees_all_that_precedes_and_nothing_else(hidden):
    net = MADE(hidden, jax.nn.tanh)
    x, cond = normals(1, 5), jnp.ones((1, 3))
    shapes = jax.eval_shape(lambda: net.init(KEY, x, cond, 2))
    variables = jax.tree.map(lambda v: normals(*v.shape), shapes)

    def theta(x, cond):
        return net.apply(variables, x[None], cond[None], 2)[0]

    of_x, of_cond = jax.device_get(jax.jit(jax.jacrev(theta, (0, 1)))(x[0], cond[0]))
    seen = np.abs(of_x).max(axis=1) > 0  # [element, input]
    np.testing.assert_array_equal(seen, np.tril(np.ones((5, 5), bool), -1))
    assert (np.abs(of_cond[1:]).max(axis=1) > 0).all()
