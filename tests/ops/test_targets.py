"""Targets: log Z and entropy by quadrature, the formulas of the papers, finite far away."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxgen.ops.targets import MODES_S2, TARGETS

TURN = 2 * math.pi


def nodes(target):
    """Points and weights of a quadrature over the target's space, float64."""
    if target.space == "plane":
        axis = np.linspace(-8, 8, 1201)  # the wall begins at a node
        weight = (axis[1] - axis[0]) ** 2
    elif target.space == "torus":
        axis = np.arange(400) * TURN / 400
        weight = (TURN / 400) ** target.dims
    else:
        height, weights = np.polynomial.legendre.leggauss(200)
        angle = np.arange(200) * TURN / 200
        r, a = (v.ravel() for v in np.meshgrid(height, angle, indexing="ij"))
        s = np.sqrt(1 - r**2)
        return np.stack([s * np.cos(a), s * np.sin(a), r], -1), np.repeat(weights, 200) * TURN / 200
    grid = np.meshgrid(*[axis] * target.dims, indexing="ij")
    x = np.stack(grid, -1).reshape(-1, target.dims)
    return x, np.full(len(x), weight)


@pytest.mark.parametrize("name", TARGETS)
def test_constants_are_those_of_quadrature(name):
    target = TARGETS[name]
    with jax.enable_x64(True):
        x, weights = nodes(target)
        log_p = np.asarray(jax.jit(target.log_density)(jnp.asarray(x)))
    assert log_p.max() <= target.peak < log_p.max() + 0.01
    mass = np.exp(log_p) * weights
    assert math.log(mass.sum()) == pytest.approx(target.log_z, abs=1e-8)
    entropy = target.log_z - (mass * np.maximum(log_p, -1e3)).sum() / mass.sum()
    assert entropy == pytest.approx(target.entropy, abs=1e-8)


def test_constants_in_closed_form():
    assert TARGETS["s2"].log_z == pytest.approx(math.log(16 * math.pi * math.sinh(10) / 10))
    bessel = {k: math.log(TURN * scipy.special.i0(k)) for k in (1, 10)}
    assert TARGETS["s1"].log_z == pytest.approx(bessel[10])
    assert TARGETS["t2"].log_z == pytest.approx(2 * bessel[1])
    length = 8 + 0.4 * math.sqrt(TURN)
    stds = {"u2": 0.4, "u3": 0.7, "u4": 0.75}
    for name, std in stds.items():
        assert TARGETS[name].log_z == pytest.approx(math.log(length * std * math.sqrt(TURN)))


def test_energies_are_those_of_the_table():
    """Rezende & Mohamed 2015, Table 1, inside of the wall."""
    with jax.enable_x64(True):
        x = np.random.RandomState(0).uniform(-4, 4, size=(500, 2))
        a, b = x.T
        w1 = np.sin(2 * np.pi * a / 4)
        w2 = 3 * np.exp(-0.5 * ((a - 1) / 0.6) ** 2)
        w3 = 3 / (1 + np.exp(-(a - 1) / 0.3))
        ring = 0.5 * ((np.hypot(a, b) - 2) / 0.4) ** 2

        def bump(offset, std):
            return np.exp(-0.5 * (offset / std) ** 2)

        energies = {
            "u1": ring - np.log(bump(a - 2, 0.6) + bump(a + 2, 0.6)),
            "u2": 0.5 * ((b - w1) / 0.4) ** 2,
            "u3": -np.log(bump(b - w1, 0.35) + bump(b - w1 + w2, 0.35)),
            "u4": -np.log(bump(b - w1, 0.4) + bump(b - w1 + w3, 0.35)),
        }
        for name, energy in energies.items():
            found = jax.jit(TARGETS[name].log_density)(jnp.asarray(x))
            np.testing.assert_allclose(found, -energy, atol=1e-9, rtol=1e-9)


def test_modes_of_the_sphere_are_high():
    latitude, longitude = np.array(MODES_S2).T
    x = np.stack(
        [
            np.cos(latitude) * np.cos(longitude),
            np.cos(latitude) * np.sin(longitude),
            np.sin(latitude),
        ],
        -1,
    )
    found = TARGETS["s2"].log_density(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, 10, atol=0.01)


@pytest.mark.parametrize("name", TARGETS)
def test_values_and_gradients_are_finite_far_away(name):
    target = TARGETS[name]
    x = jnp.array([0.0, 1.0, -1.0, 2.0, 1e4, -1e4, 1e6])[:, None] * jnp.ones((1, target.dims))
    value, grad = jax.jit(jax.value_and_grad(lambda x: jnp.sum(target.log_density(x))))(x)
    assert np.isfinite(value) and np.isfinite(grad).all()
