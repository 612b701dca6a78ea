"""Losses of games against NumPy, and against what theory says of their optima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.games import GAMES, smoothed

REAL, FAKE = (4 * np.random.RandomState(0).randn(2, 50)).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def log_loss(p):
    return -np.log(p)


EXPECTED = {  # name -> (discriminator, generator), from the papers' formulas
    "minimax": lambda r, f: (
        log_loss(sigmoid(r)) + log_loss(1 - sigmoid(f)),
        np.log(1 - sigmoid(f)),
    ),
    "non_saturating": lambda r, f: (
        log_loss(sigmoid(r)) + log_loss(1 - sigmoid(f)),
        log_loss(sigmoid(f)),
    ),
    "least_squares": lambda r, f: ((r - 1) ** 2 / 2 + f**2 / 2, (f - 1) ** 2 / 2),
    "wasserstein": lambda r, f: (f - r, -f),
    "hinge": lambda r, f: (np.maximum(0, 1 - r) + np.maximum(0, 1 + f), -f),
    "relativistic": lambda r, f: (log_loss(sigmoid(r - f)), log_loss(sigmoid(f - r))),
    "exponential": lambda r, f: (np.exp(-r) + np.exp(f), -f),
    "square_root": lambda r, f: (np.exp(np.arcsinh(-r)) + np.exp(np.arcsinh(f)), -f),
}


@pytest.mark.parametrize("name", GAMES)
def test_losses(name):
    game, (discriminator, generator) = GAMES[name], EXPECTED[name](REAL, FAKE)

    @jax.jit
    def found(real, fake):
        return game.discriminator(real, fake), game.generator(real if game.paired else None, fake)

    of_discriminator, of_generator = found(REAL, FAKE)
    np.testing.assert_allclose(of_discriminator, discriminator, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(of_generator, generator, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("name", "best"),
    [
        ("exponential", lambda p, q: 0.5 * np.log(p / q)),
        ("square_root", lambda p, q: (p - q) / (2 * np.sqrt(p * q))),
    ],
)
def test_best_critic_without_a_bound(name, best):
    """The slope of p phi(-f) + q phi(f) is zero there, by hand; it is -p + q at zero."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])

    def loss(logits):
        return jnp.sum(p * discriminator(logits, far) + q * discriminator(-far, logits))

    discriminator, far = GAMES[name].discriminator, jnp.full(3, -30.0)
    slope = jax.jit(jax.grad(loss))
    np.testing.assert_allclose(slope(jnp.asarray(best(p, q))), 0, atol=1e-6)
    np.testing.assert_allclose(slope(jnp.zeros(3)), q - p, rtol=1e-6)


def test_far_logits_keep_their_precision():
    """x + sqrt(x^2 + 1) is -1 / 2x far below zero, with a slope of 1 / 2x^2."""

    def loss(logit):
        return GAMES["square_root"].discriminator(jnp.full(1, 1e5), logit)[0]

    value, slope = jax.jit(jax.value_and_grad(loss))(jnp.full(1, -1e4))
    np.testing.assert_allclose(value, 0.5e-4 + 0.5e-5, rtol=1e-5)
    np.testing.assert_allclose(slope, 0.5e-8, rtol=1e-5)


def test_saturation():
    """Where D(G(z)) = 0.001 the minimax gradient is 999 times smaller."""
    logit = jnp.log(jnp.array([1e-3 / (1 - 1e-3)]))
    slopes = [
        jax.grad(lambda f, name=name: GAMES[name].generator(None, f)[0])(logit)[0]
        for name in ("non_saturating", "minimax")
    ]
    np.testing.assert_allclose(slopes[0] / slopes[1], 999, rtol=1e-4)


@pytest.mark.parametrize("target", [0.7, 0.9, 1.0])
def test_smoothing_scales_the_best_discriminator(target):
    """The minimum over a table of logits is target p / (p + q) in probability."""
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.2, 0.6])

    def loss(logits):
        one, zero = jnp.zeros(3), jnp.zeros(3)
        real = smoothed(logits, zero, jnp.full(3, target)) - jnp.log(2)
        fake = smoothed(one, logits, jnp.ones(3)) - jnp.log(2)
        return jnp.sum(p * real + q * fake)

    gradient, logits = jax.jit(jax.grad(loss)), jnp.zeros(3)
    for _ in range(400):
        logits = logits - 2 * gradient(logits)
    np.testing.assert_allclose(sigmoid(logits), target * p / (p + q), atol=1e-4)


def test_value_of_the_best_discriminator_is_the_jensen_shannon_divergence():
    """Goodfellow et al., theorem 1: -log 4 + 2 JSD, between N(0, 1) and N(1, 1) on a grid."""
    x = np.linspace(-8, 9, 20_001)
    p, q = (np.exp(-((x - m) ** 2) / 2) / np.sqrt(2 * np.pi) for m in (0, 1))
    logits = np.log(p) - np.log(q)
    weight = x[1] - x[0]
    judged, zero = jax.jit(GAMES["minimax"].discriminator), np.zeros(len(x), np.float32)
    own = logits.astype(np.float32)
    real, fake = (np.asarray(judged(*pair)) for pair in ((own, zero), (zero, own)))
    loss = weight * np.sum(p * (real - np.log(2)) + q * (fake - np.log(2)))
    m = (p + q) / 2
    jsd = 0.5 * weight * np.sum(p * np.log(p / m) + q * np.log(q / m))
    np.testing.assert_allclose(-loss, -np.log(4) + 2 * jsd, atol=1e-5)
