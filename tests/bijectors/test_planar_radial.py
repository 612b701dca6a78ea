"""Planar and radial steps: numbers worked out by hand, Jacobians, and what they are bounded by."""

import checks
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checks import OfCond

from jaxgen.bijectors.base import Invert, Repeat
from jaxgen.bijectors.planar import Planar, Radial
from jaxgen.bijectors.sylvester import Sylvester

RANDOM = np.random.RandomState(0)
CASES = {
    "planar": (Planar(), (5,), None),
    "planar amortised": (Planar(OfCond()), (4,), (3,)),
    "radial": (Radial(), (5,), None),
    "radial amortised": (Radial(OfCond()), (4,), (3,)),
    "sylvester of full rank": (Sylvester(3, 2, OfCond()), (3,), (3,)),
    "repeat inverted": (Repeat(Invert(Planar()), 3), (3,), None),
}
SYLVESTER = (Sylvester(2), (4,), None)
FINITE = {"planar": (Planar(), 5), "radial": (Radial(), 4)}  # and the number of parameters of 2-D


@pytest.mark.parametrize("name", checks.names(CASES, {"repeat inverted"}))
def test_logdet_is_that_of_the_jacobian_and_inverse(name):
    checks.exact(CASES[name])


@pytest.mark.parametrize("case", [CASES["planar"], SYLVESTER], ids=["planar", "sylvester"])
def test_float32(case):
    checks.single(case)


class Given(nn.Module):
    """Passes `cond` as the parameters."""

    @nn.compact
    def __call__(self, x, cond, features):
        return cond


@jax.jit
def planar(x, u, w, b):
    theta = jnp.concatenate([u, w, b[:, None]], axis=-1)
    return Planar(Given()).apply({}, x, theta)


def test_planar_by_hand():
    e, zero = jnp.array([[1.0, 0.0]]), jnp.zeros((1, 2))
    y, logdet = planar(zero, e, e, jnp.zeros(1))
    # û_1 = m(1) = softplus(1) - 1 and the determinant at the plane is 1 + û_1
    np.testing.assert_allclose(logdet, 0.2725139, atol=1e-6)
    y, _ = planar(jnp.array([[50.0, 3.0]]), e, e, jnp.zeros(1))
    np.testing.assert_allclose(y, [[50.3132617, 3.0]], rtol=1e-7)


def test_radial_by_hand():
    theta = jnp.array([[0.5, -1.0, 2.0, 0.0, 0.0]])  # centre, alpha 1, beta softplus(0) - 1
    y, logdet = jax.jit(Radial(Given()).apply)({}, theta[:, :3], theta)
    np.testing.assert_allclose(y, theta[:, :3])
    np.testing.assert_allclose(logdet, -0.3665129 * 3, atol=1e-6)


def test_planar_equals_the_formulas_of_the_paper():
    """With |w|^2 below, not |w|, in float64 and far from their cancellations."""
    with jax.enable_x64(True):
        (x, u, w), b = RANDOM.randn(3, 200, 3), RANDOM.randn(200)
        y, logdet = planar(x, u, w, b)
        wu = (w * u).sum(-1)
        u_hat = u + ((-1 + np.log1p(np.exp(wu)) - wu) / (w * w).sum(-1))[:, None] * w
        h = (w * x).sum(-1) + b
        np.testing.assert_allclose(y, x + u_hat * np.tanh(h)[:, None], atol=1e-12)
        psi = (1 - np.tanh(h) ** 2)[:, None] * w
        np.testing.assert_allclose(logdet, np.log(np.abs(1 + (u_hat * psi).sum(-1))), atol=1e-9)


def test_planar_is_invertible_for_any_parameters():
    u, w, x = RANDOM.randn(3, 100_000, 2).astype(np.float32) * np.float32([[[10]], [[10]], [[1]]])
    b = 10 * RANDOM.randn(100_000).astype(np.float32)
    # at the plane, where the determinant is least, and anywhere
    on_plane = -b[:, None] * w / np.sum(np.square(w), -1, keepdims=True)
    for point in (x, on_plane):
        y, logdet = map(np.asarray, planar(point, u, w, b))
        assert np.isfinite(y).all() and np.isfinite(logdet).all()
        assert logdet.min() > np.log(5e-7)


@pytest.mark.parametrize("along", [1e4, -1e4])
def test_planar_does_not_overflow(along):
    w = jnp.array([[1.0, 0.0]])
    y, logdet = planar(jnp.array([[0.3, 0.2]]), along * w, w, jnp.zeros(1))
    assert np.isfinite(y).all() and np.isfinite(logdet).all()


@pytest.mark.parametrize("direction", ["forward", pytest.param("inverse", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FINITE)
def test_values_and_gradients_are_finite_for_any_input(name, direction):
    bijector, features = type(FINITE[name][0])(Given()), FINITE[name][1]
    count = 1_000_000
    scale = 10.0 ** RANDOM.uniform(-6, 6, (count, 1))
    x = (scale * RANDOM.randn(count, 2)).astype(np.float32)
    theta = 5 * RANDOM.randn(count, features).astype(np.float32)
    theta[:3] = 0
    x[:4] = [[0, 0], [1e6, -1e6], [-1e6, 0], [0, 1]]
    x[4:100] = theta[4:100, :2]  # at the centre of the radial steps

    def total(x, theta):
        return sum(jnp.sum(v) for v in bijector.apply({}, x, theta, method=direction))

    value, grads = jax.jit(jax.value_and_grad(total, (0, 1)))(x, theta)
    assert np.isfinite(value)
    assert all(np.isfinite(g).all() for g in grads)


def test_amortised_parameters_are_those_of_each_example():
    bijector, variables, x, cond = checks.build(CASES["planar amortised"])
    apply, (x, cond) = jax.jit(bijector.apply), map(np.asarray, (x, cond))
    y, logdet = map(np.asarray, apply(variables, x, cond))
    for i in range(len(x)):
        one, ld = apply(variables, x[i : i + 1], cond[i : i + 1])
        np.testing.assert_allclose(one[0], y[i], rtol=1e-6)
        np.testing.assert_allclose(ld[0], logdet[i], rtol=1e-5, atol=1e-6)
    other, _ = apply(variables, x, cond[::-1])
    assert np.abs(other - y).max() > 1e-3


def test_sylvester_directions_are_orthonormal_and_the_rest_stays():
    bijector, variables, x, _ = checks.build(SYLVESTER)
    q, r, s, _ = jax.jit(bijector.apply, static_argnames="method")(
        variables, x, None, method="_params"
    )
    q, r, s = (np.asarray(v) for v in (q, r, s))
    np.testing.assert_allclose(q[0].T @ q[0], np.eye(2), atol=1e-5)
    assert r[0, 1, 0] == s[0, 1, 0] == 0
    moved = np.asarray(jax.jit(bijector.apply)(variables, x)[0] - x).T
    across = np.eye(4) - q[0] @ q[0].T
    np.testing.assert_allclose(across @ moved, 0, atol=1e-5)
    assert np.abs(moved).max() > 1e-2


def test_sylvester_refuses_more_directions_than_dimensions():
    with pytest.raises(ValueError, match="rank=3 is more than the 2 dimensions"):
        Sylvester(3).init(jax.random.key(0), jnp.zeros((4, 2)))
