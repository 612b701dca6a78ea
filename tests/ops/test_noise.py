"""Paths and chains against numerical derivatives, published numbers and Gaussian conditioning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.chain import Chain, chain, spaced
from jaxgen.ops.noise import Exploding, Linear, LogLinear, Preserving, Trigonometric
from jaxgen.ops.prediction import KINDS, along, estimate, target

PATHS = [Linear(), Trigonometric(), Preserving(), Exploding(), LogLinear(-13.3, 5.0)]
TIMES = np.linspace(0.01, 0.99, 25)


@pytest.fixture(autouse=True, scope="module")
def _wide():
    with jax.enable_x64(True):
        yield


def wide(t):
    return jnp.asarray(t, jnp.float64)


@pytest.mark.parametrize("path", PATHS, ids=lambda p: type(p).__name__)
def test_the_log_ratio_is_that_of_alpha_and_sigma(path):
    t = wide(TIMES)
    np.testing.assert_allclose(
        path.log_ratio(t), np.log(path.alpha(t) / path.sigma(t)), rtol=1e-9, atol=1e-12
    )
    assert (np.diff(path.log_ratio(t)) < 0).all()


@pytest.mark.parametrize("path", [p for p in PATHS if hasattr(p, "rates")])
def test_rates_are_numerical_derivatives(path):
    t, h = wide(TIMES), 1e-6
    for rate, of in zip(path.rates(t), (path.alpha, path.sigma), strict=True):
        np.testing.assert_allclose(rate, (of(t + h) - of(t - h)) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("path", [Trigonometric(), Preserving(), LogLinear(-13.3, 5.0)])
def test_these_paths_keep_the_variance(path):
    t = wide(TIMES)
    np.testing.assert_allclose(path.alpha(t) ** 2 + path.sigma(t) ** 2, 1, rtol=1e-12)


def test_the_variance_preserving_path_solves_its_equation():
    """d log alpha / dt = -beta / 2, beta linear: the process of Song et al., equation 33."""
    t = wide(TIMES)
    rate = jax.vmap(jax.grad(lambda t: jnp.log(Preserving().alpha(t))))(t)
    np.testing.assert_allclose(-2 * rate, 0.1 + 19.9 * TIMES, rtol=1e-9)


def test_the_ladder_of_sigmas_is_that_of_the_paper():
    """Equation 5 of Karras et al. at 18 steps, i from the noise on."""
    i = np.arange(18)
    paper = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(Exploding.ladder(1 - i / 17, 0.002, 80.0), paper, rtol=1e-12)


@pytest.mark.parametrize("path", [Linear(), Trigonometric(), LogLinear(-6.0, 5.0)])
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_network_ought_to_say_is_read_as_data_and_noise(path, kind):
    random = np.random.RandomState(0)
    x, eps = wide(random.randn(len(TIMES), 2, 3)), wide(random.randn(len(TIMES), 2, 3))
    t = wide(TIMES)
    parts = path.alpha(t), path.sigma(t), path.rates(t)
    z = along(parts[0], x) * x + along(parts[1], x) * eps
    found = estimate(kind, target(kind, x, eps, *parts), z, *parts)
    np.testing.assert_allclose(found.x, x, atol=1e-8)
    np.testing.assert_allclose(found.eps, eps, atol=1e-8)


@pytest.mark.parametrize("path", [Linear(), Trigonometric(), Preserving(), Exploding()])
def test_predictions_of_gaussian_data_are_linear(path):
    """N(0, v): x, eps and the score as conditional expectations of a joint normal."""
    v, t, z = 0.25, wide(0.6), wide(np.linspace(-2, 2, 5)[:, None])
    alpha, sigma = path.alpha(t), path.sigma(t)
    total = alpha**2 * v + sigma**2
    found = estimate("x", alpha * v / total * z, z, alpha, sigma)
    np.testing.assert_allclose(found.eps, sigma / total * z, rtol=1e-10)
    of_score = estimate("score", -z / total, z, alpha, sigma)
    np.testing.assert_allclose(of_score.x, found.x, rtol=1e-10)
    if hasattr(path, "rates"):
        d_alpha, d_sigma = path.rates(t)
        velocity = (d_alpha * alpha * v + d_sigma * sigma) / total * z
        of_velocity = estimate("velocity", velocity, z, alpha, sigma, (d_alpha, d_sigma))
        np.testing.assert_allclose(of_velocity.x, found.x, atol=1e-6)


def test_published_numbers_of_the_schedules():
    """As the official codes of DDPM and of improved DDPM compute them."""
    linear, cosine = chain("linear", 1000), chain("cosine", 4000)
    np.testing.assert_allclose(linear.alphas_bar[-1], 4.035829765e-05, rtol=1e-9)
    np.testing.assert_allclose(linear.betas[[0, -1]], [1e-4, 0.02])
    np.testing.assert_allclose(cosine.betas[0], 9.8658e-06, rtol=1e-4)
    assert (cosine.betas == 0.999).sum() == 1
    np.testing.assert_allclose(chain("linear", 4000).betas[[0, -1]], [2.5e-5, 0.005])


def chosen(count, spacing, steps=1000):
    number = jnp.arange(count)
    return np.asarray(jax.jit(spaced, static_argnums=(2, 3))(number, count, steps, spacing))


def test_respacings_are_the_published_ones():
    assert chosen(10, "ends").tolist() == [0, 111, 222, 333, 444, 555, 666, 777, 888, 999]
    assert chosen(10, "stride").tolist() == list(range(0, 1000, 100))
    assert chosen(3, "ends").tolist() == [0, round(499.5), 999]  # half to even, as Python
    assert chosen(7, "ends").tolist() == [round(166.5 * i) for i in range(7)]
    assert chosen(1, "ends").tolist() == [999]
    quadratic = [int(s) for s in np.linspace(0, np.sqrt(1000 * 0.8), 20) ** 2]
    assert chosen(20, "quadratic").tolist() == quadratic
    for spacing in ("ends", "stride"):
        assert chosen(1000, spacing).tolist() == list(range(1000))


def test_a_respaced_chain_has_the_noise_of_its_steps():
    base = chain("cosine", 1000)
    steps = chosen(25, "ends")
    np.testing.assert_allclose(base.respaced(steps).alphas_bar, base.alphas_bar[steps], rtol=1e-10)
    np.testing.assert_allclose(base.respaced(range(1000)).betas, base.betas, rtol=1e-9)


def test_the_marginal_is_that_of_all_steps_one_after_another():
    table, mean, variance = chain("linear", 50), 1.0, 0.0
    for t, beta in enumerate(table.betas):
        mean, variance = np.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
        np.testing.assert_allclose(table.alpha(t), mean, rtol=1e-12)
        np.testing.assert_allclose(table.sigma(t) ** 2, variance, rtol=1e-10)
    assert table.alpha(-1) == 1 and table.sigma(-1) == 0


@pytest.mark.parametrize("table", [chain("linear", 1000), chain("cosine", 300)])
def test_the_posterior_is_that_of_the_joint_normal_distribution(table):
    """Of (z_{t-1}, z_t) given x, for every t, by the rule for conditioning."""
    before, beta = table.alphas_bar_before, table.betas
    variance, across = 1 - before, np.sqrt(1 - beta) * (1 - before)
    of_z = (1 - beta) * (1 - before) + beta
    gain = across / of_z
    np.testing.assert_allclose(table.posterior_of_noised, gain, rtol=1e-10)
    of_x = np.sqrt(before) - gain * np.sqrt(table.alphas_bar)
    np.testing.assert_allclose(table.posterior_of_data, of_x, rtol=1e-7, atol=1e-12)
    left = variance - gain * across
    np.testing.assert_allclose(table.posterior_variance, left, rtol=1e-8, atol=1e-15)
    assert table.posterior_log_variance[0] == np.log(table.posterior_variance[1])


def test_float32_tables_keep_small_noise():
    with jax.enable_x64(False):
        table = Chain(np.full(10, 1e-7))
        np.testing.assert_allclose(table.sigma(jnp.arange(10)) ** 2, 1e-7 * np.arange(1, 11), 1e-5)
