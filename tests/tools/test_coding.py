"""Lossless files: round trips, sizes, and what is refused."""

import dataclasses
import hashlib
import itertools
import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import coding
from jaxgen.config import ConfigError
from jaxgen.methods.autoregressive import Autoregressive
from jaxgen.models.autoregressive.transformer import Transformer
from jaxgen.ops.observations import Bernoulli, Categorical, LogisticMixture
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)


@dataclasses.dataclass
class Place:
    path: str = "runs/x"


@dataclasses.dataclass
class Loaded:
    """What a coder needs of a run."""

    method: Autoregressive
    state: State
    config: dict
    step: int = 7
    directory: Place = dataclasses.field(default_factory=Place)

    @property
    def spec(self):
        return self.method.spec


def run_of(observation, shape=(3, 3, 1), levels=5, seed=0, given=()):
    spec = DataSpec.of("squares", shape, levels, num_classes=3)
    method = Autoregressive(Transformer(1, 16, 2), spec, observation, mixtures=2, given=given)
    x = np.zeros((2, *shape), np.uint8)
    batch = {"x": x, "label": np.zeros(2, np.int32)}
    params, variables = jax.jit(method.init)(jax.random.key(seed), batch)
    params = jax.tree.map(lambda p: p + 0.5 * jax.random.normal(KEY, p.shape), params)
    config = {"model": {"name": "transformer"}, "method": {"observation": observation}}
    return Loaded(method, State(jnp.int32(0), params, variables, {}, {}), config)


@pytest.fixture(scope="module")
def run():
    return run_of("categorical")


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
    run = run_of(observation, shape, levels)
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
    log_p = -steps / coding.STEPS
    shift, found = coding.grid(log_p)
    moved = 0
    for _ in range(5):
        noisy = log_p * (1 + 1e-13 * random.randn(*log_p.shape))
        np.testing.assert_array_equal(coding.steps_of(noisy, shift), found)
        moved += (coding.steps_of(noisy, 0 * shift) != coding.steps_of(log_p, 0 * shift)).sum()
    assert moved > 100
    near = coding.probabilities(found)
    exact = np.exp(log_p) / np.exp(log_p).sum(-1, keepdims=True)
    np.testing.assert_allclose(near, exact, rtol=2 / coding.STEPS)


def test_damage_is_one_sentence(run, data):
    """Every byte flipped, every length cut: never a wrong picture."""
    for at in range(0, len(data), 3):
        broken = bytearray(data)
        broken[at] ^= 1 << (at % 8)
        with pytest.raises(ConfigError, match="no file of|is of version|is damaged|is cut off"):
            coding.read(bytes(broken))
    for size in range(0, len(data), 7):
        with pytest.raises(ConfigError, match="no file of|is damaged|is cut off"):
            coding.read(data[:size])


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"[1]",
        b"null",
        b"\xff",
        b'{"model": 1, "count": 1, "batch": 1, "crc32": 1}',
        b'{"model": "a", "count": -1, "batch": 1, "crc32": 1}',
        b'{"model": "a", "count": 1, "batch": 0, "crc32": 1}',
        b'{"model": "a", "count": 1, "batch": 4000000000, "crc32": 1}',
        b'{"model": "a", "count": true, "batch": 1, "crc32": 1}',
    ],
)
def test_headers_of_strangers(header):
    body = coding.MAGIC + struct.pack("<HI", coding.VERSION, len(header)) + header + bytes(8)
    with pytest.raises(ConfigError, match="its header is none of"):
        coding.read(body + hashlib.sha256(body).digest()[: coding.DIGEST])


def test_models_that_do_not_fit(run, data):
    with pytest.raises(
        ConfigError, match=r"compressed by the model \w{12}, and runs/x at step 7 is"
    ):
        coding.decompress(run_of("categorical", seed=1), data)
    with pytest.raises(ConfigError, match="is given label: what is compressed says nothing of it"):
        coding.Coder(run_of("categorical", given=("label",)))
    broken = jax.tree.map(lambda p: p * np.nan, run.state.params)
    with pytest.raises(ConfigError, match="cannot be rounded: are its parameters finite"):
        odd = dataclasses.replace(run, state=run.state.replace(params=broken))
        coding.compress(odd, np.zeros((1, 3, 3, 1), np.uint8))


def test_a_file_of_many_is_not_believed(run, data):
    """A count that no memory holds."""
    start = len(coding.MAGIC) + 6
    size = struct.unpack("<I", data[start - 4 : start])[0]
    about = json.loads(data[start : start + size]) | {"count": 2**32 - 1}
    header = json.dumps(about).encode()
    body = coding.MAGIC + struct.pack("<HI", coding.VERSION, len(header)) + header + bytes(8)
    with pytest.raises(ConfigError, match="4,294,967,295 images"):
        coding.decompress(run, body + hashlib.sha256(body).digest()[: coding.DIGEST])
