"""What decoders say about the data: masses that sum to one, draws that follow them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxgen.ops.densities import logistic_mass, nats_to_bits_per_dim
from jaxgen.ops.observations import LogisticMixture, observation

KEY = jax.random.key(0)
RANDOM = np.random.RandomState(0)
SUMMED = jax.jit(
    lambda levels, mean, log_scale, count: logistic_mass(levels, mean, log_scale, count),
    static_argnums=3,
)


@pytest.mark.parametrize("bits", range(1, 9))
def test_logistic_mass_sums_to_one(bits):
    """Log-scales from the least to e, means up to half a range beyond both edges."""
    count = 2**bits
    values = np.arange(count)[:, None, None]
    means, log_scales = np.linspace(-1.5, 1.5, 13)[None, :, None], np.linspace(-7, 1, 9)
    grid = np.broadcast_arrays(values, means, log_scales[None, None, :])
    mass = np.exp(SUMMED(*[jnp.asarray(g, jnp.float32) for g in grid], count))
    np.testing.assert_allclose(mass.sum(0), 1, atol=1e-5)


def test_logistic_mass_is_the_difference_of_distribution_functions():
    x, mean, scale, levels = np.arange(32), 0.2, 0.15, 32
    edges = (2 * np.arange(33) - 1) / 31 - 1
    cdf = scipy.stats.logistic.cdf(edges, mean, scale)
    cdf[0], cdf[-1] = 0, 1
    full = lambda v: np.full(32, v, np.float32)  # noqa: E731
    got = np.exp(SUMMED(x, full(mean), full(np.log(scale)), levels))
    np.testing.assert_allclose(got, np.diff(cdf), rtol=2e-4, atol=1e-7)


def test_logistic_mass_has_finite_gradients_everywhere():
    axes = [0, 1, 127, 254, 255], np.linspace(-3, 3, 25), np.linspace(-7, 3, 11)
    grid = [g.ravel().astype(np.float32) for g in np.meshgrid(*axes)]

    @jax.jit
    def both(x, mean, log_scale):
        log_mass, pull = jax.vjp(lambda m, s: logistic_mass(x, m, s, 256), mean, log_scale)
        return log_mass, *pull(jnp.ones_like(log_mass))

    log_mass, *grads = map(np.asarray, both(*grid))
    assert all(np.isfinite(v).all() for v in (log_mass, *grads))
    assert (log_mass <= 0).all()


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_mixture_sums_to_one_over_all_pixels(channels):
    """4 levels: every colour of a pixel, with the coefficients between channels."""
    mixture = LogisticMixture(4, 3)
    x = np.asarray(list(itertools.product(range(4), repeat=channels)))[:, None, None, :]
    theta = 1.5 * RANDOM.randn(1, 1, 1, mixture.width(channels)).astype(np.float32)
    log_mass = jax.jit(mixture.log_prob)(x, np.tile(theta, (len(x), 1, 1, 1)))
    np.testing.assert_allclose(np.exp(log_mass).sum(), 1, atol=1e-5)


@pytest.mark.parametrize(
    "bits", [pytest.param(b, marks=() if b in (1, 5, 8) else pytest.mark.slow) for b in range(1, 9)]
)
def test_mixture_of_extreme_components_sums_to_one(bits):
    """Components at both ends of the log-scales, with means beyond both edges, and gradients."""
    levels, random = 2**bits, np.random.RandomState(bits)
    mixture, x = LogisticMixture(levels, 4), jnp.asarray(np.arange(levels).reshape(-1, 1, 1, 1))
    logits, means = 2 * random.randn(50, 4), random.uniform(-3, 3, (50, 4))
    log_scales = np.concatenate([random.uniform(-7, 1, (50, 2)), np.tile([-7.0, 1.0], (50, 1))], 1)
    theta = jnp.asarray(np.concatenate([logits, means, log_scales], 1)[:, None, None], jnp.float32)

    def log_mass(theta):
        return jax.vmap(lambda t: mixture.log_prob(x, jnp.tile(t[None], (levels, 1, 1, 1))))(theta)

    @jax.jit
    def both(theta):
        found, pull = jax.vjp(log_mass, theta)
        return found, pull(jnp.ones_like(found))[0]

    found, grad = both(theta)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
    assert np.isfinite(found).all() and np.isfinite(grad).all()


def test_a_colour_takes_ten_numbers_a_component():
    assert LogisticMixture(256, 10).width(3) == 100
    assert LogisticMixture(256, 10).width(1) == 30


@pytest.mark.parametrize(
    "name",
    [
        "bernoulli",
        pytest.param("logistic", marks=pytest.mark.slow),
        "logistic_mixture",
        "categorical",
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_draws_follow_the_mass(name, channels):
    levels, draws = (2 if name == "bernoulli" else 3), 40_000
    head = observation(name, levels, mixtures=2)
    theta = RANDOM.randn(1, 1, 1, head.width(channels)).astype(np.float32)
    x = np.asarray(list(itertools.product(range(levels), repeat=channels)))[:, None, None, :]

    @jax.jit
    def found(theta):
        log_mass = head.log_prob(jnp.asarray(x), jnp.tile(theta, (len(x), 1, 1, 1)))
        return log_mass, head.sample(KEY, jnp.tile(theta, (draws, 1, 1, 1)))

    log_mass, drawn = found(theta)
    mass = np.exp(log_mass)
    assert drawn.dtype == jnp.uint8
    code = (
        np.asarray(drawn, np.int64).reshape(draws, channels) @ levels ** np.arange(channels)[::-1]
    )
    counts, mass = np.bincount(code, minlength=len(x)), mass.astype(np.float64)
    assert scipy.stats.chisquare(counts, draws * mass / mass.sum()).pvalue > 1e-4


@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
def test_the_mean_is_that_of_the_mass(name):
    levels = 2 if name == "bernoulli" else 5
    head = observation(name, levels)
    theta = RANDOM.randn(1, head.width(1)).astype(np.float32)
    tiled = np.tile(theta, (levels, 1))
    mass = np.exp(jax.jit(head.log_prob)(np.arange(levels)[:, None], tiled))
    mean = np.asarray(jax.jit(head.mean)(theta))[0, 0]
    np.testing.assert_allclose(mean, mass @ np.arange(levels), rtol=1e-5)


@pytest.mark.parametrize("levels", [256, 32])
def test_who_knows_nothing_pays_every_bit(levels):
    """Exactly 8 and 5 bits/dim."""
    head = observation("categorical", levels)
    x = RANDOM.randint(0, levels, (2, 4, 4, 3))
    nats = -np.asarray(jax.jit(head.log_prob)(x, np.zeros((2, 4, 4, head.width(3)))))
    np.testing.assert_allclose(nats_to_bits_per_dim(nats, 48), np.log2(levels), rtol=1e-6)


def test_gaussians_equal_scipy():
    x, theta = (RANDOM.randn(3, n).astype(np.float32) for n in (4, 8))
    fixed = scipy.stats.norm.logpdf(x, theta[:, :4], 1).sum(1)
    got = jax.jit(observation("gaussian", None).log_prob)(x, theta[:, :4])
    np.testing.assert_allclose(got, fixed, rtol=1e-5)
    learned = scipy.stats.norm.logpdf(x, theta[:, :4], np.exp(theta[:, 4:])).sum(1)
    got = jax.jit(observation("learned_gaussian", None).log_prob)(x, theta)
    np.testing.assert_allclose(got, learned, rtol=1e-5)
    grey = jax.jit(observation("gaussian", 256).log_prob)(np.full((1, 4), 255), np.ones((1, 4)))
    np.testing.assert_allclose(grey, 4 * scipy.stats.norm.logpdf(0), rtol=1e-6)


def test_temperature_zero_is_the_likeliest_or_the_mean():
    theta = RANDOM.randn(5, 6).astype(np.float32)
    bernoulli, gaussian = observation("bernoulli", 2), observation("gaussian", None)

    @jax.jit
    def found(theta):
        draws = [head.sample(KEY, theta, 0.0) for head in (bernoulli, gaussian)]
        return *draws, gaussian.mean(theta)

    bits, cold, mean = found(theta)
    np.testing.assert_array_equal(bits, theta > 0)
    np.testing.assert_array_equal(cold, mean)


def test_half_precision_parameters_are_summed_in_float32():
    head = observation("bernoulli", 2)
    theta = jnp.full((1, 4096), 0.3, jnp.bfloat16)
    got = head.log_prob(jnp.ones((1, 4096), jnp.uint8), theta)
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(
        got, 4096 * scipy.stats.logistic.logcdf(float(theta[0, 0])), rtol=1e-4
    )


@pytest.mark.parametrize(
    "name, levels, words",
    [
        ("bernouli", 2, "expected one of"),
        ("bernoulli", 256, "--config.data.binarize=dynamic"),
        ("categorical", None, "these data are continuous"),
    ],
)
def test_what_does_not_fit_is_refused(name, levels, words):
    with pytest.raises(ValueError, match=words):
        observation(name, levels)


@pytest.mark.parametrize(("mean", "log_scale"), [(0.0, 0.0), (2.0, -1.0), (-1.5, -0.3)])
def test_logit_laplace_integrates_to_one(mean, log_scale):
    """Over all that is mapped to (0, 1), by small steps of the logit."""
    found = observation("logit_laplace", 17)
    theta = jnp.asarray([[mean, log_scale]], jnp.float32)
    density = jax.jit(lambda x: jnp.exp(found.log_prob(x, jnp.broadcast_to(theta, (len(x), 2)))))
    y = scipy.special.expit(np.linspace(-13, 13, 40_001))  # as far as float32 goes
    middle = (y[1:] + y[:-1]) / 2
    values = density(jnp.asarray((middle - 0.1) / 0.8 * 16, jnp.float32)[:, None])
    total = np.sum(np.asarray(values, np.float64) * np.diff(y) / 0.8)
    np.testing.assert_allclose(total, 1, atol=1e-4)


def test_logit_laplace_is_the_laplace_of_a_logit():
    """Of two channels; the middle is the median, draws are around it."""
    found = observation("logit_laplace", 256)
    x = RANDOM.randint(0, 256, (5, 3, 2))
    mean, log_scale = RANDOM.randn(5, 3, 2), RANDOM.randn(5, 3, 2)
    theta = jnp.asarray(np.concatenate([mean, log_scale], -1), jnp.float32)
    y = 0.8 * x / 255 + 0.1
    each = scipy.stats.laplace.logpdf(scipy.special.logit(y), mean, np.exp(log_scale))
    expected = (each + np.log(0.8 / (y * (1 - y)))).sum((1, 2))
    np.testing.assert_allclose(
        found.log_prob(jnp.asarray(x, jnp.uint8), theta), expected, rtol=1e-5
    )
    many = jnp.broadcast_to(theta[:1, :1], (20_001, 1, 4))
    draws = np.asarray(found.sample(KEY, many))
    median = np.clip((scipy.special.expit(mean[0, 0]) - 0.1) / 0.8, 0, 1) * 255
    np.testing.assert_allclose(np.median(draws, 0)[0], median, atol=6)
    np.testing.assert_allclose(found.mean(theta)[0, 0], median, rtol=1e-4)
    assert draws.min() >= 0 and draws.max() <= 255


@pytest.mark.parametrize("log_scale", [-3.0, -1.0, 1.0])
def test_a_mass_pays_less_than_the_same_density_dequantised(log_scale):
    """Jensen: E_u[-log p(x + u)] >= -log int p(x + u) du, equal where p is even in the cell."""
    levels, means = 9, np.array([-0.3, 0.4])
    theta = jnp.asarray([0.2, -0.5, *means, log_scale, log_scale - 0.5])
    x = np.arange(1, levels - 1)  # ends of the scale have the tails besides
    rows = jnp.broadcast_to(theta, (len(x), 1, 1, 6))
    mass = LogisticMixture(levels, 2).log_prob(jnp.asarray(x[:, None, None, None], jnp.uint8), rows)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    y = (x[:, None] + nodes / 2) * 2 / (levels - 1) - 1
    parts = np.exp(np.array([0.2, -0.5])) / np.exp([0.2, -0.5]).sum()
    scales = np.exp([log_scale, log_scale - 0.5])
    density = scipy.stats.logistic.pdf(y[..., None], means, scales) @ parts * 2 / (levels - 1)
    np.testing.assert_allclose(mass, np.log(density @ weights / 2), rtol=2e-5)
    gap = np.asarray(mass) - np.log(density) @ weights / 2
    assert (gap > -1e-6).all()
    assert gap.max() > (0.1 if log_scale < -2 else 0.0)
