"""Flow matching on Gaussian data, whose velocity, flow and density are known; and guidance."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import DIGITS, KEY, PLANE, Oracle, V, integers, normal, spread, state_of

from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods.flow_matching import FlowMatching, squared_distances
from jaxgen.ops.noise import PATHS


def says_velocity(name, z, time):
    """E[alpha' x + sigma' eps | z] of N(0, V)."""
    path, t = PATHS[name](), (time / 1000).reshape(-1, 1)
    alpha, sigma = path.alpha(t), path.sigma(t)
    d_alpha, d_sigma = path.rates(t)
    return (d_alpha * alpha * V + d_sigma * sigma) / (alpha**2 * V + sigma**2) * z


def true(name, **options):
    network = Oracle(functools.partial(says_velocity, name))
    return FlowMatching(network, PLANE, noise=name, exact=True, solver_steps=40, **options)


@pytest.mark.parametrize("name", PATHS)
def test_the_best_velocity_transports_the_moments(name):
    """To 1e-4: log N(0, V) of data, their codes, and the standard deviation of samples."""
    method = true(name)
    state, x = state_of(method), normal(16, 2, seed=1)
    found = jax.jit(method.log_prob)(state, x, KEY)
    expected = -0.5 * np.sum(np.square(x) / V + np.log(2 * np.pi * V), 1)
    near = 1e-4 if name != "preserving" else 3e-2  # which begins at 1e-3
    np.testing.assert_allclose(found, expected, atol=near)
    z = jax.jit(functools.partial(method.encode, steps=400))(state, x, KEY)
    np.testing.assert_allclose(z, x / np.sqrt(V), rtol=near, atol=near)
    back = jax.jit(functools.partial(method.decode, rounded=True, steps=400))(state, z)
    np.testing.assert_allclose(back, x, rtol=10 * near, atol=near)


@pytest.mark.parametrize("name", PATHS)
def test_the_best_velocity_has_the_least_loss(name):
    """Its gradient by the network's factor is zero, and not by another's."""
    method, x = true(name), normal(30_000, 2)

    def slope(factor):
        state = state_of(method)

        def loss(factor):
            params = {"model": {"factor": factor}}
            return method.loss(state.replace(params=params), {"x": x}, KEY)[0]

        return jax.jit(jax.value_and_grad(loss))(jnp.float32(factor))

    (least, at), (worse, beside) = slope(1.0), slope(1.3)
    assert abs(at) < 0.1 * abs(beside) and worse > least > 0.1


def test_probes_have_the_exact_ones_mean():
    """On a velocity whose Jacobian is not diagonal."""

    def says(z, time):
        return jnp.tanh(z @ jnp.asarray([[0.5, 1.5], [-1.0, 0.3]], z.dtype))

    exact = FlowMatching(Oracle(says), PLANE, exact=True)
    probing, x = dataclasses.replace(exact, exact=False), jnp.ones((4000, 2)) * 0.7
    state = state_of(exact)
    mean, error = spread(jax.jit(probing.log_prob)(state, x, KEY))
    assert abs(mean - exact.log_prob(state, x[:1], KEY)[0]) < 4 * error and error > 1e-4


def test_optimal_pairs_are_nearer_and_labels_stay():
    """Noise is dealt anew, data are not moved."""
    method = true("linear", coupling="optimal")
    x = normal(128, 2)
    pairs = [jax.jit(m.pairs)(x, KEY) for m in (method, true("linear"))]
    for found, _, t, _ in pairs:
        np.testing.assert_array_equal(found, x)
        np.testing.assert_array_equal(t, pairs[0][2])
    costs = [float(jnp.sum(jnp.square(x - eps))) for x, eps, _, _ in pairs]
    assert costs[0] < 0.5 * costs[1]
    np.testing.assert_array_equal(np.sort(pairs[0][1], 0), np.sort(pairs[1][1], 0))
    distances = squared_distances(x[:3], x[5:8])
    np.testing.assert_allclose(
        distances, [[np.sum((a - b) ** 2) for b in x[5:8]] for a in x[:3]], 1e-4
    )


def test_integers_fill_the_room_between_levels():
    """Uniform noise of a level's width, and its volume in the density."""
    method = FlowMatching(Oracle(lambda z, t: 0 * z), DIGITS)
    x = integers(400)
    filled = np.asarray(method.dequantized(x, KEY))
    gap = (filled - np.asarray(method.scaled(x))) * 8
    assert gap.min() >= -0.5 and gap.max() <= 0.5 and abs(gap.std() - 12**-0.5) < 0.01
    state = state_of(method, x)
    # nothing moves: the density is that of standard normal noise
    found = jax.jit(method.log_prob)(state, x[:1], KEY)[0] / np.log(2)
    key = jax.random.split(KEY)[0]
    z = np.asarray(method.dequantized(x[:1], key), np.float64)
    bits = np.sum(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log(2 / 16)) / np.log(2)
    np.testing.assert_allclose(found, bits, rtol=1e-4)
    columns = method.evaluate(state, {"x": x[:2]}, KEY)
    assert columns.keys() == {"bpd", "square"} and method.density.kind == "ode-12"
    none = dataclasses.replace(method, solver_steps=0)
    assert none.evaluate(state, {"x": x[:2]}, KEY).keys() == {"square"} and not none.likelihoods
    with pytest.raises(ConfigError, match="solver_steps is 0"):
        none.log_prob(state, x[:2], KEY)


GIVEN = FlowMatching(
    Oracle(lambda z, t: -z, shift=0.1), PLANE, given=("label",), null=0.3, exact=True
)
STATE = state_of(GIVEN)


def draw(**knobs):
    return np.asarray(jax.jit(lambda: GIVEN.sample(STATE, KEY, 64, **knobs))())


def test_guidance():
    """1 is unguided and 0 is without the condition, bit by bit; outside its interval it is 1."""
    own = {"given": {"label": np.int32(1)}}
    plain = draw(**own)
    np.testing.assert_array_equal(draw(guidance=1.0, **own), plain)
    without = dataclasses.replace(GIVEN, given=(), null=0.0)
    free = np.asarray(jax.jit(lambda: without.sample(STATE, KEY, 64))())
    np.testing.assert_array_equal(draw(guidance=0.0, **own), free)
    stronger = draw(guidance=3.0, **own)
    np.testing.assert_allclose(stronger - free, 3 * (plain - free), rtol=1e-3, atol=1e-5)
    part = draw(guidance=3.0, interval=jnp.asarray([0.4, 0.6]), **own)
    assert (np.abs(plain - free) < np.abs(part - free)).all()
    assert (np.abs(part - free) < np.abs(stronger - free)).all()
    np.testing.assert_array_equal(
        draw(guidance=3.0, interval=jnp.asarray([2.0, 3.0]), **own), plain
    )


def test_each_example_loses_its_condition_by_itself():
    cond = jnp.ones((4000, 2))
    kept = np.asarray(GIVEN.dropped(cond, KEY))
    assert set(kept.sum(1)) == {0, 2} and abs(kept[:, 0].mean() - 0.7) < 0.03
    assert kept[:2000, 0].mean() != kept[2000:, 0].mean()


@pytest.mark.parametrize("sampler", ["euler", "heun", "midpoint", "dpm", "ancestral", "sde"])
def test_all_samplers_draw_the_data(sampler):
    method = true("trigonometric")
    state = state_of(method)
    x = jax.jit(lambda s: method.sample(s, KEY, 20_000, steps=200, sampler=sampler))(state)
    np.testing.assert_allclose(np.var(x), V, rtol=0.07)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(noise="lines"), "path in config.method.noise 'lines'"),
        (dict(times="beta"), "law in config.method.times 'beta'"),
        (dict(coupling="ot"), "config.method.coupling 'ot'"),
        (dict(null=0.2), "null=0.2, expected a share below 1, and config.method.given"),
        (dict(sampler="rk45"), "sampler='rk45': expected one of"),
    ],
)
def test_wrong_options_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        true("linear") if not options else FlowMatching(Oracle(lambda z, t: z), PLANE, **options)


def test_the_exact_divergence_of_many_dimensions_is_refused():
    many = dataclasses.replace(DIGITS, fields=DIGITS.with_field("x", shape=(16, 16, 1)).fields)
    with pytest.raises(ConfigError, match="a pass for each of the 256 dimensions"):
        FlowMatching(Oracle(lambda z, t: z), many, exact=True)


def test_abilities_are_whole():
    check(GIVEN)


def test_a_scale_is_of_the_data_alone():
    """Points three times as wide: density, codes and samples in their own units."""
    plain, wide = true("linear"), true("linear", scale=3.0)
    state, x = state_of(plain), normal(8, 2)
    one, other = jax.jit(plain.log_prob)(state, x, KEY), jax.jit(wide.log_prob)(state, 3 * x, KEY)
    np.testing.assert_allclose(other, one - 2 * np.log(3), atol=1e-5)
    z = wide.encode(state, 3 * x, KEY)
    np.testing.assert_allclose(z, plain.encode(state, x, KEY), rtol=1e-4, atol=1e-5)
    back = wide.decode(state, z, rounded=True)
    np.testing.assert_allclose(back, 3 * plain.decode(state, z, rounded=True), rtol=1e-4)
    drawn = (m.sample(state, KEY, 8) for m in (wide, plain))
    np.testing.assert_allclose(next(drawn), 3 * next(drawn), rtol=1e-4)
    with pytest.raises(ConfigError, match="scale=2.0: expected a number above 0, of integers 1"):
        FlowMatching(Oracle(lambda z, t: z), DIGITS, scale=2.0)


@pytest.mark.parametrize("name", PATHS)
def test_what_there_is_after_a_share_of_the_steps(name):
    """Noise, then draws of the path's own density over their root mean square, then samples."""
    method = true(name, sampler="heun", sampling_steps=40)
    state, path = state_of(method), PATHS[name]()
    draw = jax.jit(functools.partial(method.sample, state, KEY, 4))
    samples, noise = draw(), draw(until=0.0)
    np.testing.assert_array_equal(draw(until=1.0), samples)
    near = 1e-2 if name != "preserving" else 3e-2  # which begins at 1e-3
    np.testing.assert_allclose(noise / samples, 1 / np.sqrt(V), rtol=near)
    alpha, sigma = path.alpha(0.25), path.sigma(0.25)
    expected = np.sqrt((alpha**2 * V + sigma**2) / (alpha**2 + sigma**2))
    np.testing.assert_allclose(draw(until=0.75) / noise, expected, rtol=1e-2)
