"""The two games against exact results, and the verdicts of Mescheder et al. 2018."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.dynamics import (
    Rule,
    bilinear,
    consensus,
    dirac,
    dirac_with_noise,
    trajectory,
    wasserstein_with_penalty,
)

H = 0.2


def radii(field, rule, steps=500, start=(1.0, 1.0)):
    with jax.enable_x64(True):
        path = jax.jit(lambda p: trajectory(field, rule, p, steps))(np.array(start))
        return np.linalg.norm(path, axis=1)


def path_of(rule, steps, start=(1.0, 1.0)):
    with jax.enable_x64(True):
        return np.asarray(jax.jit(lambda p: trajectory(bilinear, rule, p, steps))(np.array(start)))


def test_simultaneous_steps_of_the_bilinear_game_grow():
    r = radii(bilinear, Rule("simultaneous", 0.1), 100)
    np.testing.assert_allclose(r / r[0], (1 + 0.1**2) ** (np.arange(101) / 2), rtol=1e-10)
    assert r[-1] / r[0] == pytest.approx(1.64463, abs=1e-5)


def test_alternating_steps_conserve_a_quadratic_form():
    x, y = path_of(Rule("alternating", 0.1), 20_000).T
    np.testing.assert_allclose(x**2 - 0.1 * x * y + y**2, 1.9, rtol=1e-9)
    r = np.hypot(x, y)
    assert 1.345 < r.min() < 1.346 and 1.414 < r.max() < 1.41422


def test_extragradient_contracts():
    r = radii(bilinear, Rule("extragradient", 0.1), 1000)
    expected = (1 - 0.1**2 + 0.1**4) ** (np.arange(1001) / 2)
    np.testing.assert_allclose(r / r[0], expected, rtol=1e-9)
    assert r[-1] / r[0] == pytest.approx(0.0069108, abs=1e-6)


def test_optimistic_steps_converge():
    assert radii(bilinear, Rule("optimistic", 0.1), 1000)[-1] < 0.01


SATURATING, NOT = functools.partial(dirac), functools.partial(dirac, saturating=False)
TOGETHER = Rule("simultaneous", H)
# field, rule, |(theta, psi)| after 500 steps over that before: the reference's table
MEASURED = {
    "minimax": (SATURATING, TOGETHER, 2.19),
    "minimax, alternating": (SATURATING, Rule("alternating", H), 1.005),
    "minimax, five critic steps": (SATURATING, Rule("alternating", H, 5), 1.31),
    "non-saturating": (NOT, TOGETHER, 0.453),
    "non-saturating, alternating": (NOT, Rule("alternating", H), 0.201),
    "WGAN, clipped": (bilinear, Rule("simultaneous", H, bound=1.0), 0.709),
    "WGAN, clipped, alternating": (bilinear, Rule("alternating", H, bound=1.0), 0.724),
    "WGAN, alternating": (bilinear, Rule("alternating", H), 0.988),
    "WGAN-GP, five critic steps": (
        functools.partial(wasserstein_with_penalty, weight=0.7),
        Rule("alternating", H, 5),
        0.51,
    ),
    "WGAN, not clipped": (bilinear, TOGETHER, 1.8e4),
    "WGAN-GP": (functools.partial(wasserstein_with_penalty, weight=0.7), TOGETHER, 1.27),
    "R1 0.3": (functools.partial(dirac, r1=0.3), TOGETHER, 1.9e-6),
    "R1 1": (functools.partial(dirac, r1=1.0), TOGETHER, 6.7e-22),
    "R1 2": (functools.partial(dirac, r1=2.0), TOGETHER, 9.4e-7),
    "non-saturating, R1 0.3": (functools.partial(NOT, r1=0.3), TOGETHER, 1.6e-6),
    "non-saturating, R1 1": (functools.partial(NOT, r1=1.0), TOGETHER, 1.0e-23),
    "consensus": (consensus(SATURATING, 1.0), TOGETHER, 1.8e-10),
}


@functools.cache
def measured(name):
    """The radii of a row of the table."""
    field, rule, _ = MEASURED[name]
    return radii(field, rule)


@pytest.mark.parametrize("name", MEASURED)
def test_dirac_gan_after_500_steps(name):
    r, expected = measured(name), MEASURED[name][2]
    assert r[-1] / r[0] == pytest.approx(expected, rel=0.03)


def test_verdicts():
    """Who comes to rest: Mescheder et al., table 1 and figure 3."""
    tails = {name: measured(name)[-100:] for name in MEASURED}
    for name in ("minimax", "minimax, alternating", "WGAN, clipped", "WGAN-GP"):
        assert tails[name].min() > 0.5, name
    for name in tails:
        if "R1" in name or name == "consensus":
            assert tails[name].max() < 1e-4, name
    slow = measured("non-saturating")
    assert 0.1 < slow[-1] / slow[0] < 0.6 and slow[-1] < slow[250]
    assert radii(functools.partial(dirac_with_noise, deviation=0.7), TOGETHER)[-1] < 0.05


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.0])
def test_eigenvalues_at_the_equilibrium(gamma):
    """-gamma / 2 +- sqrt(gamma^2 / 4 - f'(0)^2), section 4 there; f'(0) = 1/2."""
    with jax.enable_x64(True):
        jacobian = jax.jit(jax.jacobian(functools.partial(dirac, r1=gamma)))(np.zeros(2))
    expected = np.roots([1.0, gamma, 0.25])
    np.testing.assert_allclose(
        sorted(np.linalg.eigvals(jacobian), key=lambda v: (v.real, v.imag)),
        sorted(expected, key=lambda v: (v.real, v.imag)),
        atol=1e-6,
    )


def test_the_field_with_noise_is_that_of_the_mean_loss():
    """Against a derivative of the loss by sampling the noise on a fine grid."""
    with jax.enable_x64(True):
        point = jnp.array([0.7, -0.4])
        x = np.linspace(-9, 9, 20_001)
        weight = np.exp(-(x**2) / 2)
        weight /= weight.sum()

        def loss(p):
            fake, real = p[1] * (p[0] + 0.7 * x), -p[1] * 0.7 * x
            return -jnp.sum(weight * (jax.nn.softplus(-fake) + jax.nn.softplus(-real)))

        both = jax.jit(lambda p: (jax.grad(loss)(p), dirac_with_noise(p, 0.7)))
        slope, field = map(np.asarray, both(point))
        np.testing.assert_allclose(field, slope * [-1, 1], atol=1e-8)


def test_unknown_rule():
    with pytest.raises(ValueError, match="rule 'jacobi', expected one of simultaneous"):
        trajectory(bilinear, Rule("jacobi", 0.1), jnp.ones(2), 3)
