"""Every sampler on Gaussian data, whose field, ODE and marginals are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ops.chain import chain, spaced
from jaxgen.ops.noise import Exploding, Linear, Trigonometric
from jaxgen.ops.prediction import Estimate
from jaxgen.ops.samplers import Settings, integrate

KEY = jax.random.key(0)
V = 0.25  # of the data, N(0, V)
T = 1000
TABLE = chain("linear", T)


@pytest.fixture(autouse=True, scope="module")
def _wide():
    with jax.enable_x64(True):
        yield


def exact(path):
    """The expectations of data and noise given z."""

    def field(z, t, s):
        alpha, sigma = path.alpha(t), path.sigma(t)
        total = alpha**2 * V + sigma**2
        return Estimate(alpha * V / total * z, sigma / total * z)

    return field


def node_of(path, steps):
    if isinstance(path, Exploding):
        share = lambda i: jnp.maximum(1 - i / jnp.maximum(steps - 1, 1), 0)  # noqa: E731
        return lambda i: jnp.where(i == steps, 0.0, Exploding.ladder(share(i), 0.002, 80.0))
    if path is TABLE:
        at = lambda i: spaced(jnp.maximum(steps - 1 - i, 0), steps, T, "ends")  # noqa: E731
        return lambda i: jnp.where(i == steps, -1, at(i))
    return lambda i: 1 - i / steps


@functools.partial(jax.jit, static_argnames=("path", "how"))
def drawn(z, steps, *, path, how):
    return integrate(exact(path), path, node_of(path, steps), z, KEY, steps, how)


def gain(path, sampler, steps, **more):
    """By what a deterministic sampler multiplies noise; the field is linear."""
    z = jnp.ones((1, 1)) * (80.0 if isinstance(path, Exploding) else 1.0)
    return float(drawn(z, jnp.int32(steps), path=path, how=Settings(sampler, **more))[0, 0])


def true_gain(path):
    """sqrt(V) of the standard deviation where z starts: of a flow of marginals."""
    t = 80.0 if isinstance(path, Exploding) else T - 1 if path is TABLE else 1.0
    alpha, sigma = path.alpha(jnp.asarray(t)), path.sigma(jnp.asarray(t))
    start = 80.0 if isinstance(path, Exploding) else 1.0
    return start * float(np.sqrt(V / (alpha**2 * V + sigma**2)))


@pytest.mark.parametrize(
    ("path", "sampler", "order"),
    [
        (Linear(), "euler", 1),
        (Linear(), "heun", 2),
        (Linear(), "midpoint", 2),
        (Trigonometric(), "ddim", 1),
        (Trigonometric(), "heun", 2),
        (Exploding(), "euler", 1),
        (Exploding(), "heun", 2),
        (Exploding(), "midpoint", 2),
        (TABLE, "ddim", 1),
        (TABLE, "heun", 2),
    ],
    ids=lambda v: v if isinstance(v, str) else getattr(v, "order", type(v).__name__),
)
def test_errors_fall_with_the_order(path, sampler, order):
    steps = (64, 128) if path is not TABLE else (25, 50)
    errors = [abs(gain(path, sampler, s) / true_gain(path) - 1) for s in steps]
    ratio = errors[0] / errors[1]
    assert 0.7 * 2**order < ratio < 1.5 * 2**order, errors
    assert errors[1] < (0.15 if order == 1 else 0.02)


@pytest.mark.parametrize("path", [Linear(), Exploding(), TABLE], ids=["flow", "edm", "chain"])
def test_multistep_is_of_order_two_with_one_evaluation(path):
    ratios = {}
    for sampler in ("dpm", "ddim"):
        errors = [abs(gain(path, sampler, s) / true_gain(path) - 1) for s in (50, 100)]
        ratios[sampler] = errors[0] / errors[1]
    assert ratios["dpm"] > 3 and ratios["ddim"] < 2.5, ratios


def test_straight_lines_take_ddim_and_euler_for_the_same():
    for steps in (1, 7):
        ddim, euler = (gain(Linear(), s, steps) for s in ("ddim", "euler"))
        np.testing.assert_allclose(ddim, euler, rtol=1e-6)
        np.testing.assert_allclose(gain(TABLE, "ddim", steps), gain(TABLE, "euler", steps), 1e-9)


@pytest.mark.parametrize(
    ("path", "sampler", "steps", "near"),
    [
        (TABLE, "ancestral", 500, 0.02),
        (TABLE, "ddim", 500, 0.02),
        (TABLE, "sde", 500, 0.02),
        (Linear(), "ancestral", 200, 0.02),
        (Linear(), "sde", 400, 0.02),
        (Exploding(), "sde", 300, 0.05),
        (Exploding(), "heun", 60, 0.02),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_stochastic_samplers_draw_the_data(path, sampler, steps, near):
    """Their variance, and no dependence on where they began: as no deterministic one."""
    how = Settings(sampler, eta=1.0, churn=0.3 if sampler == "heun" else None)
    start = jax.random.normal(jax.random.key(1), (40_000, 1)) * gain_start(path)
    x = np.asarray(drawn(start, jnp.int32(steps), path=path, how=how))[:, 0]
    np.testing.assert_allclose(x.var(), V, rtol=near + 3 * np.sqrt(2 / len(x)))
    assert abs(np.corrcoef(x, np.asarray(start)[:, 0])[0, 1]) < 0.7


def gain_start(path):
    return 80.0 if isinstance(path, Exploding) else 1.0


def test_full_eta_is_the_ancestral_step_with_the_posteriors_variance():
    """Step for step, of the same noise; and the variance beta is another sampler."""
    z = jnp.asarray(np.random.RandomState(0).randn(3, 2))

    def draw(sampler, **more):
        return np.asarray(drawn(z, jnp.int32(20), path=TABLE, how=Settings(sampler, **more)))

    small = draw("ancestral", variance="small")
    np.testing.assert_allclose(draw("ddim", eta=1.0), small, rtol=1e-9)
    assert np.abs(draw("ancestral", variance="large") - small).max() > 1e-3
    assert np.abs(draw("ddim", eta=0.5) - small).max() > 1e-3


def test_an_ancestral_step_is_the_posterior_of_the_chain():
    """Of one step, t = 700 to 699, with coefficients of the float64 tables."""
    z, x = np.array([[0.3, -1.2]]), np.array([[0.7, 0.1]])
    field = lambda z, t, s: Estimate(  # noqa: E731
        jnp.asarray(x), (z - TABLE.alpha(t) * x) / TABLE.sigma(t)
    )
    how = Settings("ancestral", whole=True)
    found = integrate(field, TABLE, lambda i: 700 - i, jnp.asarray(z), KEY, 1, how)
    noise = jax.random.normal(jax.random.fold_in(KEY, 0), z.shape, jnp.float64)
    mean = TABLE.posterior_of_data[700] * x + TABLE.posterior_of_noised[700] * z
    expected = mean + np.sqrt(TABLE.posterior_variance[700]) * np.asarray(noise)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_program_serves_any_number_of_steps():
    before = drawn._cache_size()
    z = jnp.ones((2, 2))
    for steps in (3, 10, 25):
        drawn(z, jnp.int32(steps), path=Linear(), how=Settings("heun"))
    assert drawn._cache_size() == before + 1


@pytest.mark.parametrize(
    ("sampler", "calls"), [("heun", 2 * 6 - 1), ("euler", 6), ("dpm", 6), ("midpoint", 2 * 6 - 1)]
)
def test_evaluations_are_counted(sampler, calls):
    """Heun's method asks twice, but for its last step."""
    seen = []

    def field(z, t, s):
        jax.debug.callback(lambda t: seen.append(float(t)), t)
        return exact(Exploding())(z, t, s)

    node = node_of(Exploding(), 6)
    integrate(field, Exploding(), node, jnp.ones((1, 1)), KEY, 6, Settings(sampler))
    jax.effects_barrier()
    assert len(seen) == calls and min(seen) > 0


def test_there_and_back():
    """From data to noise and back by the same nodes."""
    path, x = Linear(), jnp.asarray([[0.3, -0.6]])
    how = Settings("heun", whole=True)
    z = integrate(exact(path), path, lambda i: i / 40, x, KEY, 40, how)
    np.testing.assert_allclose(z, x / np.sqrt(V), rtol=3e-3)
    back = integrate(exact(path), path, lambda i: 1 - i / 40, z, KEY, 40, how)
    np.testing.assert_allclose(back, x, rtol=3e-3)


def test_unknown_samplers_are_refused():
    with pytest.raises(ValueError, match="sampler='plms', expected one of ancestral, ddim"):
        integrate(
            exact(Linear()), Linear(), lambda i: 1 - i, jnp.ones((1, 1)), KEY, 1, Settings("plms")
        )
