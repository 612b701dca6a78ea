"""Lossless files: round trips, sizes, and what is refused."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from coded import KEY, transformer

from jaxgen import coding
from jaxgen.coding import tables
from jaxgen.config import ConfigError
from jaxgen.ops.observations import Bernoulli, Categorical, LogisticMixture


@pytest.fixture(scope="module")
def run():
    return transformer("categorical")


@pytest.fixture(scope="module")
def x(run):
    """Draws of the model itself, so that they are worth few bits."""
    draw = jax.jit(lambda state: run.method.sample(state, KEY, 50))
    return np.asarray(draw(run.state))


@pytest.fixture(scope="module")
def data(run, x):
    return coding.compress(run, x, 16)


def test_what_comes_out_is_what_went_in(run, x, data):
    """In the size that the model says, and as many bytes more as docs/runs.md states."""
    np.testing.assert_array_equal(coding.decompress(run, data), x)
    own = coding.bits_per_dim(run, x) * x.size / 8
    nats = jax.jit(run.method.evaluate)(run.state, {"x": x}, KEY)["nll"]
    np.testing.assert_allclose(own, np.sum(nats) / np.log(2) / 8, rtol=1e-5)
    assert own < len(data) < 1.01 * own + 160


def test_another_batch_is_another_file_of_the_same_examples(run, x, data):
    other = coding.compress(run, x, 7)
    assert other != data
    np.testing.assert_array_equal(coding.decompress(run, other), x)


@pytest.mark.slow  # each compiles programs of its own
@pytest.mark.parametrize(
    ("observation", "shape", "levels"),
    [
        ("categorical", (2, 2, 3), 5),
        ("logistic_mixture", (3, 3, 1), 256),
        ("bernoulli", (4, 2, 1), 2),
    ],
)
def test_other_observations(observation, shape, levels):
    run = transformer(observation, shape, levels)
    x = np.random.RandomState(0).randint(0, levels, (9, *shape)).astype(np.uint8)
    np.testing.assert_array_equal(coding.decompress(run, coding.compress(run, x)), x)


def test_masses_of_a_channel_are_conditional_ones():
    """The product over channels is the mass of the pixel; they sum to one."""
    levels, channels = 3, 3
    theta = jax.random.normal(KEY, (1, 200))
    every = jnp.asarray(list(itertools.product(range(levels), repeat=channels)), jnp.uint8)
    for decoder in (Categorical(levels), LogisticMixture(levels, 4)):
        own = jnp.repeat(theta[:, : decoder.width(channels)], len(every), 0)
        masses = np.stack([decoder.log_masses(own, every, c) for c in range(channels)], 1)
        np.testing.assert_allclose(np.exp(masses).sum(-1), 1, atol=1e-5)
        picked = np.take_along_axis(masses, np.asarray(every, int)[..., None], -1).sum((1, 2))
        np.testing.assert_allclose(picked, decoder.log_prob(every, own), atol=1e-5)
    bits = Bernoulli().log_masses(theta[:, :2], every[:1, :2], 1)
    np.testing.assert_allclose(np.exp(bits[0, 1]), jax.nn.sigmoid(theta[0, 1]), rtol=1e-6)


def test_rounding_errors_do_not_move_the_grid():
    """Rows whose values lie between two points, up to an error, and the control without a shift."""
    random = np.random.RandomState(0)
    steps = random.randint(0, 9000, (2000, 17)) + 0.5 * (random.rand(2000, 17) < 0.05)
    steps[:, 0] = 0
    log_p = -steps / tables.STEPS
    shift, found = tables.grid(log_p)
    moved = 0
    for _ in range(5):
        noisy = log_p * (1 + 1e-13 * random.randn(*log_p.shape))
        np.testing.assert_array_equal(tables.steps_of(noisy, shift), found)
        moved += (tables.steps_of(noisy, 0 * shift) != tables.steps_of(log_p, 0 * shift)).sum()
    assert moved > 100
    near = tables.probabilities(found)
    exact = np.exp(log_p) / np.exp(log_p).sum(-1, keepdims=True)
    np.testing.assert_allclose(near, exact, rtol=2 / tables.STEPS)


def test_models_that_do_not_fit(run, x, data):
    with pytest.raises(
        ConfigError, match=r"compressed by the model \w{12}, and runs/x at step 7 is"
    ):
        coding.decompress(transformer("categorical", seed=1), data)
    with pytest.raises(ConfigError, match="is given label: what is compressed says nothing of it"):
        coding.compress(transformer("categorical", given=("label",)), x)
    broken = jax.tree.map(lambda p: p * np.nan, run.state.params)
    with pytest.raises(ConfigError, match="cannot be rounded: are its parameters finite"):
        odd = dataclasses.replace(run, state=run.state.replace(params=broken))
        coding.compress(odd, np.zeros((1, 3, 3, 1), np.uint8))


def test_files_that_say_too_much(run, data):
    """A count or a batch that no memory holds, and another shape."""
    header, chunks = coding.unpack(data)
    for changes, message in (
        ({"count": 2**32 - 1, "chunk": 2**32 - 1}, "4,294,967,295 images"),
        ({"batch": 2**32 - 1}, "batch=4,294,967,295"),
        ({"shape": (4, 4, 1)}, r"it holds uint8 \[4, 4, 1\], and squares is uint8 \[3, 3, 1\]"),
        ({"kind": "bits-back"}, "has no bits-back coding"),
        ({"canary": "00"}, "the model's numbers here .* are not those"),
        ({"digest": "00"}, "what was decoded is not what was compressed"),
    ):
        other = coding.pack(dataclasses.replace(header, **changes), chunks)
        with pytest.raises(ConfigError, match=message):
            coding.decompress(run, other)


def test_a_file_that_does_not_decode_is_not_given(run, x, monkeypatch):
    """Verification: with a decoder that is wrong, nothing comes out; without it, something does."""
    wrong = lambda self, chunk, count: np.zeros((count, *run.spec.shape), np.uint8)  # noqa: E731
    monkeypatch.setattr(coding.Entries, "decode", wrong)
    with pytest.raises(ConfigError, match="what was decoded is not what was compressed"):
        coding.compress(run, x[:5])
    assert coding.compress(run, x[:5], verify=False)
