"""Maps of the circle, tori and spheres: numbers by hand, the seam, the poles, total probability."""

import math

import checks
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from checks import Dense

from jaxgen.bijectors.circle import Conditionals, Moebius, NonCompactProjection
from jaxgen.bijectors.sphere import Cylinder, UnitCube
from jaxgen.bijectors.transforms import RationalQuadraticSpline

KEY = jax.random.key(0)
TURN = 2 * math.pi
RANDOM = np.random.RandomState(0)
TRANSFORMS = {"moebius": Moebius(3), "projection": NonCompactProjection(3)}
CASES = {
    "torus": (
        Conditionals((Moebius(2), NonCompactProjection(2)), (Dense(), Dense()), (True, True)),
        (2,),
        None,
    ),
    "height and angle": (
        Conditionals(
            (RationalQuadraticSpline(4, 1.0), Moebius(2)), (Dense(), Dense()), (False, True)
        ),
        (2,),
        (3,),
    ),
    "cube of S^3": (UnitCube(sphere=True), (3,), None),
}


@pytest.mark.parametrize("name", checks.names(CASES, {"height and angle"}))
def test_logdet_is_that_of_the_jacobian_and_inverse(name):
    checks.exact(CASES[name])


def test_float32():
    checks.single(CASES["torus"])


def one_centre(a, b):
    """Parameters of one Moebius map with centre a + i b."""
    size = math.hypot(a, b)
    raw = np.array([a, b]) / (0.99 - size)  # inverse of 0.99 w / (1 + |w|)
    return jnp.asarray([*raw, 0.0])


def test_moebius_by_hand():
    theta = one_centre(0.5, 0.0)
    _, log_slope = jax.jit(Moebius(1).forward)(jnp.array([0.0, math.pi]), jnp.stack([theta, theta]))
    np.testing.assert_allclose(jnp.exp(log_slope), [3, 1 / 3], rtol=1e-5)


def test_moebius_equals_the_formula_of_the_paper():
    """(1 - |w|^2) / |z - w|^2 (z - w) - w in complex numbers, rotated so that 1 stays."""
    with jax.enable_x64(True):
        x, w = np.linspace(0, TURN, 200, endpoint=False)[1:], 0.3 - 0.6j
        y, log_slope = jax.jit(Moebius(1).forward)(
            jnp.asarray(x), jnp.broadcast_to(one_centre(w.real, w.imag)[None], (199, 3))
        )

        def h(z):
            return (1 - abs(w) ** 2) / abs(z - w) ** 2 * (z - w) - w

        z = np.exp(1j * x)
        np.testing.assert_allclose(y, np.angle(h(z) / h(1)) % TURN, atol=1e-12)
        slope = (1 - abs(w) ** 2) / abs(z - w) ** 2
        np.testing.assert_allclose(log_slope, np.log(slope), atol=1e-12)


def test_projection_equals_the_formula_of_the_paper():
    with jax.enable_x64(True):
        x = np.linspace(0, TURN, 200, endpoint=False)[1:]
        raw = jnp.array([0.4, -0.7, 0.0])
        y, _ = jax.jit(NonCompactProjection(1).forward)(
            jnp.asarray(x), jnp.broadcast_to(raw[None], (199, 3))
        )
        alpha, beta = np.exp(5 * np.tanh(0.4 / 5)), 5 * np.tanh(-0.7 / 5)
        expected = 2 * np.arctan(alpha * np.tan(x / 2 - np.pi / 2) + beta) + np.pi
        np.testing.assert_allclose(y, expected, atol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_zero_parameters_are_the_identity(name):
    transform, x = TRANSFORMS[name], jnp.asarray(np.linspace(0.0, 6.2831, 101))
    y, log_slope = jax.jit(transform.forward)(x, jnp.zeros((101, transform.features)))
    np.testing.assert_allclose(y, x, atol=2e-6)
    np.testing.assert_allclose(log_slope, 0, atol=2e-6)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_maps_go_round_once_and_meet_at_the_seam(name):
    with jax.enable_x64(True):
        transform, tiny = TRANSFORMS[name], 1e-9
        theta = np.repeat(RANDOM.randn(50, 1, transform.features), 203, 1)
        x = np.sort(np.concatenate([[0.0, tiny, TURN - tiny], np.linspace(0.1, 6.2, 200)]))
        x = np.broadcast_to(x, (50, 203))
        y, log_slope = map(np.asarray, jax.jit(transform.forward)(x, theta))
        np.testing.assert_allclose(y[:, 0], 0, atol=1e-12)
        np.testing.assert_allclose(y[:, -1], TURN, atol=1e-6)
        assert (np.diff(y, axis=1) > 0).all()
        np.testing.assert_allclose(log_slope[:, 0], log_slope[:, -1], atol=1e-6)
        slope = (y[:, 1] - y[:, 0]) / tiny
        np.testing.assert_allclose(np.log(slope), log_slope[:, 0], atol=1e-5)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("moebius", "forward"),
        ("projection", "forward"),
        pytest.param("projection", "inverse", marks=pytest.mark.slow),
        pytest.param("moebius", "inverse", marks=pytest.mark.slow),
    ],
)
def test_values_and_gradients_are_finite_for_any_angle(name, direction):
    transform = TRANSFORMS[name]
    count = 1_000_000
    special = np.array([0.0, TURN, math.pi, 6.283185, -1e-7, 1e-30, 1e4, -1e4])
    x = TURN * RANDOM.rand(count).astype(np.float32)
    x[: len(special)] = special
    theta = 5 * RANDOM.randn(1000, transform.features).astype(np.float32)
    theta[0] = 0

    def total(x, theta):
        theta = jnp.tile(theta, (count // 1000, 1))
        return sum(jnp.sum(out) for out in getattr(transform, direction)(x, theta))

    value, grads = jax.jit(jax.value_and_grad(total, (0, 1)))(x, theta)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)


def there_and_back(x):
    """Heights, their log-det; places in the cube, theirs; points again, and theirs."""
    heights, first = Cylinder().apply({}, x)
    cube = UnitCube(sphere=True).apply({}, heights)
    return heights, first, *cube, *Cylinder().apply({}, heights, method="inverse")


@pytest.mark.parametrize(("dim", "expected"), [(2, -2.531024), (3, -2.982607), (4, -3.270289)])
def test_chart_of_a_sphere_takes_uniform_to_uniform(dim, expected):
    """The density of points that are uniform in the cube is one over the sphere's area."""
    x = np.random.RandomState(0).randn(2000, dim + 1)
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    with jax.enable_x64(True):
        found = map(np.asarray, jax.jit(there_and_back)(x))
        heights, first, u, second, back, third = found
        np.testing.assert_allclose(first + second, expected, atol=1e-6)
        assert (u >= 0).all() and (u <= 1).all()
        for column in u.T:
            assert scipy.stats.kstest(column, "uniform").pvalue > 0.01
        np.testing.assert_allclose(back, x, atol=1e-10)
        np.testing.assert_allclose(first + third, 0, atol=1e-10)
    back = jax.jit(there_and_back)(x.astype(np.float32))[4]
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, x, atol=5e-5)


def test_poles_have_finite_values_and_gradients():
    pole = jnp.array([[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, -1.0]])
    near = jnp.array([[1e-8, 0.0, 0.0, 1.0], [1e-25, 1e-25, 0.0, 1.0], [0.0, 0.0, 1e-9, 1.0]])
    flat = jnp.array([[1.0, 1.0, 0.0], [-1.0, 0.3, 6.2], [0.9999999, -1.0, 3.0]])

    def total(y, method):
        return sum(jnp.sum(v) for v in Cylinder().apply({}, y, method=method))

    both = jax.jit(jax.value_and_grad(total), static_argnums=1)
    for x, method in ((pole, "forward"), (near, "forward"), (flat, "inverse")):
        value, grad = both(x, method)
        assert np.isfinite(value) and np.isfinite(grad).all()


def test_conditionals_refuse_another_number_of_elements():
    with pytest.raises(ValueError, match="expected 2 elements, got shape"):
        CASES["torus"][0].init(KEY, jnp.zeros((2, 3)))
