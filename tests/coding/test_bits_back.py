"""Bits back: round trips, sizes, the stack, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from coded import KEY, draws, latents, loaded, spec_of, unlike

from jaxgen import coding
from jaxgen.coding import latents as module
from jaxgen.coding import tables
from jaxgen.coding.network import Network
from jaxgen.coding.stack import Stack
from jaxgen.config import ConfigError
from jaxgen.methods.elbo import ELBO
from jaxgen.models.vaes.iwae import DeepVAE
from jaxgen.models.vaes.vae import VAE

DEEP = [pytest.param(n, marks=pytest.mark.slow) for n in ("vdvae", "nvae")]


@pytest.fixture(scope="module")
def run():
    return latents("vae")


@pytest.fixture(scope="module")
def x(run):
    return draws(run, 400)


def test_the_size_is_the_bound(run, x):
    """Net of the start, within 1 % of the bound, which is what `evaluate` has."""
    data = coding.compress(run, x)
    np.testing.assert_array_equal(coding.decompress(run, data), x)
    about = coding.inspect(data)
    bound = coding.bits_per_dim(run, x)
    assert abs(about["bits"]["net"] / x.size / bound - 1) < 0.01
    columns = jax.jit(run.method.evaluate)(run.state, {"x": x}, KEY)
    np.testing.assert_allclose(bound, np.mean(columns["bpd"]), rtol=0.01)
    assert 8 * len(data) == sum(about["bits"].values()) and about["bytes"] == len(data)
    assert about["bits"]["start"] <= 3 * module.POP + 64


@pytest.mark.parametrize("name", ["conv_draw", *DEEP])
def test_hierarchies(name):
    run = latents(name)
    x = draws(run, 60)
    data = coding.compress(run, x, batch=1)
    np.testing.assert_array_equal(coding.decompress(run, data), x)
    if name == "vdvae":  # its posterior here is the prior: what is pushed is what the next image
        return  # pops, all share one draw of latents, and the rate is that of the draw
    net = coding.inspect(data)["bits"]["net"] / x.size
    assert abs(net / coding.bits_per_dim(run, x) - 1) < 0.03  # a stack is of whole words


@pytest.mark.parametrize("name", ["vae", "conv_draw"])
def test_whatever_the_examples_are(name):
    """Black, white and noise; one alone; batches that are no divisor of the chunk."""
    run = latents(name)
    x = np.concatenate([unlike(run, 9), draws(run, 8)])
    np.testing.assert_array_equal(coding.decompress(run, coding.compress(run, x[1:2])), x[1:2])
    data = coding.compress(run, x, batch=3, chunk=7)
    assert coding.inspect(data)["chunk"] == 7
    np.testing.assert_array_equal(coding.decompress(run, data), x)


@pytest.mark.slow  # programs of its own for each
@pytest.mark.parametrize(
    ("observation", "shape", "levels"),
    [
        ("categorical", (3, 2, 3), 4),
        ("logistic_mixture", (3, 2, 3), 256),
        ("bernoulli", (4, 4, 1), 2),
    ],
)
def test_channels_and_observations(observation, shape, levels):
    run = latents("vae", shape=shape, levels=levels, observation=observation)
    x = unlike(run, 12)
    np.testing.assert_array_equal(coding.decompress(run, coding.compress(run, x)), x)


def test_laws_are_those_of_the_bound():
    """The divergences of what `latent_laws` says are those that the model trains on."""
    for name in ("vae", "conv_draw"):
        run = latents(name)
        x = jnp.asarray(unlike(run, 5))
        z = run.method.encode(run.state, x, KEY)
        _, theta = run.method.latent_laws(run.state, x, z)
        draw = run.method.top_down(
            run.state,
            run.method.player.apply(run.state, run.method.scaled(x), method="bottom_up"),
            len(x),
            None,
            KEY,
            given=z,
        )
        laws, again = run.method.latent_laws(run.state, x, z)
        np.testing.assert_array_equal(theta, again)
        for (prior, posterior), kl in zip(laws, draw.kl, strict=True):
            np.testing.assert_allclose(
                np.sum(posterior.kl(prior), axis=tuple(range(1, posterior.mean.ndim))),
                np.sum(kl, axis=-1),
                rtol=1e-4,
                atol=1e-5,
            )
        # a group looks at those before it alone
        for group in range(1, len(z)):
            other = tuple(v + 1.0 * (i >= group) for i, v in enumerate(z))
            moved, _ = run.method.latent_laws(run.state, x, other)
            for own, law in zip(moved[: group + 1], laws[: group + 1], strict=True):
                jax.tree.map(np.testing.assert_array_equal, own, law)
        blind, _ = run.method.latent_laws(run.state, 0 * x, z)
        for own, law in zip(blind, laws, strict=True):
            jax.tree.map(np.testing.assert_array_equal, own[0], law[0])


def test_parts_have_equal_mass_and_a_normal_has_its_own():
    bits = 8
    edges = tables.edges(bits)
    np.testing.assert_allclose(np.diff(scipy.stats.norm.cdf(edges)), 2.0**-bits, rtol=1e-9)
    where = np.searchsorted(edges, tables.centres(bits)) - 1
    np.testing.assert_array_equal(where, np.arange(2**bits))
    mean, log_std = np.array([0.0, 2.0, -1.5, 9.0]), np.array([0.0, -3.0, 0.5, -5.0])
    found = tables.masses(mean, log_std, bits)
    law = scipy.stats.norm(tables.snapped(mean)[:, None], np.exp(tables.snapped(log_std))[:, None])
    np.testing.assert_allclose(found, np.diff(law.cdf(edges)), atol=1e-11)
    assert (found > 0).all()
    np.testing.assert_allclose(found[0], 2.0**-bits, rtol=1e-9)


def test_a_pop_and_a_push_are_nothing():
    """Of 10^5 random symbols, models and bits: the same words are left."""
    random = np.random.RandomState(0)
    stack = Stack(60_000)
    masses = random.dirichlet(np.ones(7), 50_000)
    first = stack.pop(50_000, stack.categorical, masses)
    bits = random.randint(0, 40, 50_000)
    second = stack.pop_bits(bits)
    assert first.max() == 6 and (second < 1 << bits).all() and second.max() > 1 << 38
    with pytest.raises(ConfigError, match="is not what was compressed"):
        stack.check_empty()
    stack.push_bits(second, bits)
    stack.push(first, stack.categorical, masses)
    stack.check_empty()


def test_a_stack_is_as_long_as_the_entropy():
    random = np.random.RandomState(0)
    law = np.array([0.7, 0.2, 0.09, 0.01])
    symbols = random.choice(4, 100_000, p=law)
    stack = Stack(64)
    stack.push(symbols, stack.categorical, np.tile(law, (len(symbols), 1)))
    own = -np.log2(law)[symbols].sum()
    words, start = stack.chunk()
    assert start <= 4 and abs(32 * (len(words) - start) - own) < 1e-3 * len(symbols)


def test_a_stack_gives_back_the_start(run, x):
    """And says so where another example was decoded: the posterior is another one."""
    coder = module.Latents(Network(run), 1)
    chunk = coder.encode(x[:5])
    assert 0 < chunk.start < coder._start
    np.testing.assert_array_equal(coder.decode(chunk, 5), x[:5])
    broken = chunk.words.copy()
    broken[len(broken) // 2] ^= 1 << 9
    try:
        found = coder.decode(chunk._replace(words=broken), 5)
    except ConfigError as error:
        assert "is not what was compressed" in str(error)
    else:  # a pop and a push are the identity whatever the words: then the values are others
        assert (found != x[:5]).any()


def test_numbers_off_by_a_rounding_error(run, x):
    """What the snap is for: such errors as batches have change no table; without it all tables."""
    coder = module.Latents(Network(run), 1)
    laws, _ = coder._look(x[:1], coder.zeros)
    mean, log_std = (part.ravel() for part in laws[0][2:])
    noisy = [part * (1 + 1e-13) for part in (mean, log_std)]
    same = tables.masses(mean, log_std, 10), tables.masses(*noisy, 10)
    np.testing.assert_array_equal(*same)
    plain = [
        np.diff(scipy.stats.norm.cdf(tables.edges(10), m[:, None], np.exp(s)[:, None]))
        for m, s in ((mean, log_std), noisy)
    ]
    assert (plain[0] != plain[1]).mean() > 0.05


def test_another_machine_is_found_out(run, x, monkeypatch):
    """The canary: numbers that differ by 1e-7, as of other batches in float32, or another version.

    Without it the same numbers decode to something else.
    """
    data = coding.compress(run, x[:40])
    exact = module.Latents._relative

    def other(self, *args):
        laws, theta = exact(self, *args)
        return [[part * (1 + 1e-3) for part in law] for law in laws], theta * (1 + 1e-3)

    monkeypatch.setattr(module.Latents, "_relative", other)
    monkeypatch.setattr(coding, "environment", lambda: {"jax": "9.9"})
    with pytest.raises(
        ConfigError, match=r"numbers here .* are not those .*jax .* there, 9\.9 here"
    ):
        coding.decompress(run, data)
    coder = module.Latents(Network(run), 1)
    _, chunks = coding.unpack(data)
    try:
        found = coder.decode(chunks[0], 40)
    except ConfigError:
        return
    assert (found != x[:40]).any()


def test_models_that_do_not_fit(run, x):
    data = coding.compress(run, x[:3])
    with pytest.raises(ConfigError, match=r"by the model \w{12}, and runs/x at step 7 is"):
        coding.decompress(latents("vae", seed=1), data)
    deep = loaded(ELBO(DeepVAE((3, 2), ((4,), (4,))), spec_of(), "logistic_mixture", 2))
    with pytest.raises(
        ConfigError, match="DeepVAE has latents that are not normal, group by group"
    ):
        coding.compress(deep, x[:1])
    gaussian = loaded(ELBO(VAE(latent=2, hidden=(4,)), spec_of(), "gaussian"))
    with pytest.raises(ConfigError, match="Gaussian says no probability of a grey level"):
        coding.compress(gaussian, x[:1])
    with pytest.raises(ConfigError, match="precision=99, expected 4 to 14"):
        coding.compress(run, x[:1], precision=99)
    broken = jax.tree.map(lambda p: p * np.nan, run.state.params)
    with pytest.raises(ConfigError, match="cannot be rounded: are its parameters finite"):
        coding.compress(dataclasses.replace(run, state=run.state.replace(params=broken)), x[:1])
