"""DDPM and improved DDPM against closed forms of Gaussian data, and what their options are."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import DIGITS, ENTROPY, KEY, LINE, Oracle, V, integers, normal, spread, state_of

from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.methods.diffusion import Diffusion
from jaxgen.ops.chain import chain
from jaxgen.types import DataSpec

T = 20
TABLE = chain("linear", T)


def says_noise(z, t):
    """E[eps | z] of N(0, V)."""
    alpha, sigma = (f(t).reshape(-1, *(1,) * (z.ndim - 1)) for f in (TABLE.alpha, TABLE.sigma))
    return sigma / (alpha**2 * V + sigma**2) * z


TRUE = Diffusion(Oracle(says_noise), LINE, timesteps=T, variance="small")
IMAGES = Diffusion(Oracle(says_noise), DIGITS, timesteps=T)


def closed_terms(variance):
    """E of each term, by hand in float64: KLs of normals with the optimal mean, and the last."""
    bar = TABLE.alphas_bar
    left = V * (1 - bar) / (bar * V + 1 - bar)  # Var[x | z]
    low = np.exp(TABLE.posterior_log_variance)
    spread = {"small": low, "large": np.exp(TABLE.large_log_variance)}[variance]
    error = TABLE.posterior_of_data**2 * left
    terms = 0.5 * (np.log(spread / low) - 1 + low / spread + error / spread)
    # of x given z_0, whose mean is read as data times its factor, 1
    terms[0] = 0.5 * (np.log(2 * np.pi * spread[0]) + left[0] / spread[0])
    return terms


@pytest.mark.parametrize("variance", ["small", "large"])
def test_terms_of_the_bound_are_those_of_the_closed_form(variance):
    method = dataclasses.replace(TRUE, variance=variance)
    x = normal(40_000, 1)
    terms = np.asarray(jax.jit(method.terms)(state_of(method), x, KEY))
    expected = closed_terms(variance)
    for term, value in zip(terms, expected, strict=True):
        mean, error = spread(term)
        assert abs(mean - value) < 4 * error + 1e-6
    assert expected.sum() > ENTROPY


def test_the_prior_term_is_that_of_the_closed_form():
    short = dataclasses.replace(TRUE, timesteps=2)
    bar = short.chain.alphas_bar[-1]
    x = normal(1000, 2).reshape(-1, 1)
    each = 0.5 * (bar * np.square(x, dtype=np.float64) + (1 - bar) - 1 - np.log(1 - bar))
    np.testing.assert_allclose(short.prior(x), each[:, 0], rtol=2e-3, atol=1e-7)


def test_the_bound_is_the_sum_of_its_terms_and_few_draws_have_its_mean():
    x, state = normal(64, 1), state_of(TRUE)
    every = dataclasses.replace(TRUE, draws=0)
    whole = jax.jit(every.evaluate)(state, {"x": x}, KEY)
    parts = sum(whole[name] for name in ("prior", "diffusion", "reconstruction"))
    np.testing.assert_allclose(whole["nll"], parts, rtol=1e-6)
    keys = jax.random.split(KEY, 5000)

    def of_keys(call):
        return spread(jax.jit(jax.vmap(call))(keys, jnp.arange(len(keys)) % 5))

    a, da = of_keys(lambda key, _: TRUE.evaluate(state, {"x": x}, key)["nll"].mean())
    b, db = of_keys(lambda key, _: every.evaluate(state, {"x": x}, key)["nll"].mean())
    c, dc = of_keys(lambda k, i: TRUE.evaluate_stratum(state, {"x": x}, k, i, 5)["nll"].mean())
    assert abs(a - b) < 4 * np.hypot(da, db) and da < 0.1
    assert abs(c - b) < 4 * np.hypot(dc, db) and dc < 0.1


def test_masses_of_integers_are_bits_per_dimension():
    """log_prob is minus the column in nats; the decoder alone is a distribution."""
    state, x = state_of(IMAGES, integers(4)), integers(4)
    columns = jax.jit(IMAGES.evaluate)(state, {"x": x}, KEY)
    nats = -np.asarray(jax.jit(IMAGES.log_prob)(state, x, KEY))
    np.testing.assert_allclose(columns["bpd"], nats / (16 * np.log(2)), rtol=1e-5)
    assert IMAGES.density.kind == "vlb" and IMAGES.density.measure == "mass"
    one = DataSpec.of("pixel", (1, 1, 1), 17)
    pixel = Diffusion(Oracle(says_noise), one, timesteps=T)
    values = jnp.arange(17, dtype=jnp.uint8).reshape(17, 1, 1, 1)
    z = jnp.full((17, 1, 1, 1), 0.1)
    t, wide = jnp.zeros(17, jnp.int32), pixel.scaled(values)
    found = pixel._read(pixel.asked(state_of(pixel, values), z, jnp.zeros(17), None), z, t)
    term = pixel._term(values, wide, z, t, found)
    np.testing.assert_allclose(np.exp(-np.asarray(term)).sum(), 1, atol=1e-5)


class Two(Oracle):
    """Mean and variance in two channels, each with a parameter."""

    def setup(self):
        self.factors = self.param("factors", lambda key: jnp.asarray([0.9, 0.3]))

    def __call__(self, x, time, cond=None, train=False):
        said = self.says(x, time)
        return jnp.concatenate([self.factors[0] * said, self.factors[1] + 0 * said], -1)


def learned(objective, **options):
    return Diffusion(
        Two(says_noise), DIGITS, timesteps=T, variance="learned", objective=objective, **options
    )


def gradient(method, x):
    state = state_of(method, x)
    if "times" in state.vars:
        state = state.replace(vars=state.vars | {"times": state.vars["times"]})

    def loss(params):
        return method.loss(state.replace(params=params), {"x": x}, KEY)[0]

    return np.asarray(jax.tree.leaves(jax.jit(jax.grad(loss))(state.params))[0])


def test_the_hybrid_objective_teaches_variances_by_the_bound_alone():
    x = integers(32)
    hybrid, bound = gradient(learned("hybrid"), x), gradient(learned("bound"), x)
    plain = Diffusion(Oracle(lambda z, t: 0.9 * says_noise(z, t)), DIGITS, timesteps=T)
    np.testing.assert_allclose(hybrid[0], gradient(plain, x) / 0.9, rtol=1e-4)
    np.testing.assert_allclose(hybrid[1] * 1000, bound[1], rtol=1e-3)  # T / 1000, and T
    assert hybrid[1] != 0 and bound[0] != hybrid[0]


def test_learnt_variances_are_between_the_two():
    """At the ends they are the fixed ones, in bounds and in samples."""
    x = integers(4)

    class Fixed(Oracle):
        end: float = 0.0

        @nn.compact
        def __call__(self, x, time, cond=None, train=False):
            said = self.says(x, time)
            return jnp.concatenate([said, self.end + 0 * said], -1)

    def made(end, variance):
        own = dict(timesteps=T, clip=False, draws=0)
        if variance != "learned":
            return Diffusion(Oracle(says_noise), DIGITS, variance=variance, **own)
        own |= {"objective": "hybrid", "variance": "learned"}
        return Diffusion(Fixed(says_noise, end=end), DIGITS, **own)

    for end, variance in ((-1.0, "small"), (1.0, "large")):
        one, other = made(end, "learned"), made(end, variance)
        states = [state_of(m, x) for m in (one, other)]
        draws = [
            np.asarray(jax.jit(m.sample, static_argnums=2)(s, KEY, 16), int)
            for m, s in zip((one, other), states, strict=True)
        ]
        assert np.abs(draws[0] - draws[1]).max() <= 1  # of a rounding
        a, b = (m.terms(s, x, KEY) for m, s in zip((one, other), states, strict=True))
        np.testing.assert_allclose(a[1:], b[1:], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("prediction", ["eps", "x", "v"])
def test_predictions_say_the_same(prediction):
    def says(z, t):
        alpha, sigma = (f(t).reshape(-1, 1) for f in (TABLE.alpha, TABLE.sigma))
        total = alpha**2 * V + sigma**2
        x, eps = alpha * V / total * z, sigma / total * z
        return {"eps": eps, "x": x, "v": alpha * eps - sigma * x}[prediction]

    method = dataclasses.replace(TRUE, model=Oracle(says), prediction=prediction)
    found = method.estimate(state_of(method), normal(5, 1), jnp.int32(7), None)
    expected = TRUE.estimate(state_of(TRUE), normal(5, 1), jnp.int32(7), None)
    np.testing.assert_allclose(found.x, expected.x, rtol=2e-4, atol=1e-6)


def test_times_by_losses_move_with_training():
    method = dataclasses.replace(TRUE, times="losses")
    state, x = state_of(method), normal(64, 1)
    step = jax.jit(lambda s, key: s.replace(vars=method.loss(s, {"x": x}, key)[1][0]))
    for i in range(30):
        state = step(state, jax.random.key(i))
    known = state.vars["times"]
    assert int(known["seen"].sum()) == 30 * 64 and (np.asarray(known["losses"]) > 0).all()
    assert TRUE.init(KEY, {"x": x})[1].keys() == {"model"}


def predicted(steps, eta):
    """Variance of samples, step by step: each is linear in the one before."""
    variance = 1.0
    for i, t in enumerate(steps):
        s = steps[i + 1] if i + 1 < len(steps) else -1
        bar, to = TABLE.alphas_bar[t], 1.0 if s < 0 else TABLE.alphas_bar[s]
        total = bar * V + 1 - bar
        new = eta**2 * (1 - to) * (1 - bar / to * (1 - to) / (1 - bar)) if s >= 0 else 0.0
        gain = (
            np.sqrt(to * bar) * V / total + np.sqrt(max(1 - to - new, 0)) * np.sqrt(1 - bar) / total
        )
        variance = gain**2 * variance + new
    return variance


@pytest.mark.parametrize(
    ("options", "knobs", "steps", "eta"),
    [
        ({}, {}, range(19, -1, -1), 1.0),
        ({}, {"sampler": "ddim", "steps": 10}, [19, 17, 15, 13, 11, 8, 6, 4, 2, 0], 0.0),
        ({}, {"sampler": "ddim", "eta": 0.5, "steps": 20}, range(19, -1, -1), 0.5),
        ({"spacing": "stride"}, {"sampler": "ddim", "steps": 5}, [16, 12, 8, 4, 0], 0.0),
    ],
)
def test_samples_have_the_predicted_variance(options, knobs, steps, eta):
    method = dataclasses.replace(TRUE, **options)
    draw = jax.jit(lambda s: method.sample(s, KEY, 60_000, **knobs))
    x = np.asarray(draw(state_of(method)), np.float64)
    np.testing.assert_allclose(x.var(), predicted(list(steps), eta), rtol=0.03)


def _of(table):
    def says(z, t):
        alpha, sigma = (f(t).reshape(-1, 1) for f in (table.alpha, table.sigma))
        return sigma / (alpha**2 * V + sigma**2) * z

    return says


def test_codes_come_back():
    method = dataclasses.replace(TRUE, timesteps=200, model=Oracle(_of(chain("linear", 200))))
    state, x = state_of(method), normal(16, 1)
    z = jax.jit(method.encode)(state, x, KEY)
    np.testing.assert_allclose(z, x / np.sqrt(V), rtol=0.03)
    back = jax.jit(method.decode, static_argnames="rounded")(state, z, rounded=False)
    np.testing.assert_allclose(back, x, rtol=2e-3, atol=1e-3)


WRONG = {
    "steps=21: expected an integer from 1 to 20": dict(steps=21),
    "sampler='plms': expected one of ancestral, ddim": dict(sampler="plms"),
    "guidance: this model was not trained without its condition": dict(guidance=2.0),
    "eta: is of sampler='ddim'": dict(sampler="ancestral", eta=0.5),
    "interval: expected two times, and guidance": dict(interval=jnp.ones(2)),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_calls_are_told(message):
    with pytest.raises(ConfigError, match=message):
        TRUE.sample(state_of(TRUE), KEY, 2, **WRONG[message])


@pytest.mark.parametrize(
    "options",
    [
        dict(betas="sigmoid"),
        dict(objective="hybrid"),
        dict(variance="learned"),
        dict(sampling_steps=21),
        dict(timesteps=1),
        dict(prediction="velocity"),
    ],
)
def test_wrong_options_are_told(options):
    with pytest.raises(ConfigError):
        dataclasses.replace(TRUE, **options)
    with pytest.raises(ConfigError, match="outputs=2"):
        few = Diffusion(
            Oracle(says_noise), LINE, timesteps=T, variance="learned", objective="bound"
        )
        few.loss(state_of(few), {"x": normal(4, 1)}, KEY)


def test_abilities_are_whole():
    check(TRUE)
    check(IMAGES)


def test_a_scale_is_of_the_data_alone():
    wide, state, x = dataclasses.replace(TRUE, scale=3.0), state_of(TRUE), normal(64, 1)
    one = TRUE.evaluate(state, {"x": x}, KEY)["nll"]
    other = wide.evaluate(state, {"x": 3 * x}, KEY)["nll"]
    np.testing.assert_allclose(other, one + np.log(3), rtol=1e-3, atol=1e-3)
