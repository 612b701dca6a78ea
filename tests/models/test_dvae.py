"""The network of the discrete VAE: its size, what training draws and evaluation does not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.config import ConfigError
from jaxgen.methods.quantized import QuantizedAutoencoder
from jaxgen.models.vaes.dvae import DVAE, Block
from jaxgen.types import DataSpec, State

KEY = jax.random.key(0)
SPEC = DataSpec.of("squares", (6, 5, 2), 17)
TINY = DVAE(codes=5, hidden=8, groups=2, blocks=1, width=3)
X = jnp.asarray(np.random.RandomState(0).randint(0, 17, (4, 6, 5, 2)), jnp.uint8)


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_parameters_of_the_official_networks():
    """The decoder's first convolution is the table of codes, and its bias."""
    init = functools.partial(DVAE().init_with_output, size=(1, 256, 256, 6))
    coding, variables = jax.eval_shape(init, {"params": KEY}, jnp.zeros((1, 256, 256, 3)))
    params = variables["params"]
    assert count(params["encoder"]) == 53_786_240
    assert count((params["decoder"], params["book"])) == 43_829_766
    assert coding.theta.shape == (1, 256, 256, 6)
    assert coding.codes["codes"].ids.shape == (1, 32, 32, 1)
    assert DVAE().maps((256, 256, 3))["codes"] == (32, 32, 1, 8192)


def test_a_block_is_nearly_the_identity():
    """Of equal widths there is no 1x1 beside the four convolutions, whose gain is 1/64."""
    x = jnp.asarray(np.random.RandomState(1).randn(2, 4, 4, 8), jnp.float32)
    out = {}
    for gain in (0.0, 1 / 64, 1.0):
        y, variables = Block(8, (3, 3, 3, 1), gain).init_with_output(KEY, x)
        out[gain] = y - x
        assert "id_path" not in variables["params"]
    assert not np.any(out[0.0])
    np.testing.assert_allclose(64 * out[1 / 64], out[1.0], atol=1e-4)
    assert np.abs(out[1.0]).max() > 0.1


@pytest.fixture(scope="module")
def steps():
    """Losses and metrics at the start, in the middle and at the end of both schedules."""
    method = QuantizedAutoencoder(
        TINY,
        SPEC,
        observation="logit_laplace",
        codes_weight={"name": "linear", "start": 0.0, "end": 2.0, "steps": 10},
        temperature={"name": "cosine", "start": 1.0, "end": 1e-4, "steps": 10},
    )
    params, variables = jax.jit(method.init)(KEY, {"x": X})
    state = State(jnp.int32(0), params, variables, {}, {})

    @jax.jit
    def run(state):
        loss, (moved, metrics) = method.loss(state, {"x": X}, KEY)
        coding, _ = method.coded(state, {"x": X}, KEY)
        return loss, moved, metrics, coding

    found = [run(state.replace(step=jnp.int32(step))) for step in (0, 5, 10)]
    return method, state, jax.device_get(found)


def test_the_weight_of_the_divergence_rises(steps):
    for weight, (loss, _, metrics, _) in zip((0.0, 1.0, 2.0), steps[2], strict=True):
        expected = metrics["reconstruction"] / 60 + weight * metrics["codes"]
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
        assert 0 < metrics["codes"] < 9 * np.log(5)


def test_the_temperature_falls_to_draws_of_single_codes(steps):
    _, state, found = steps
    table = np.asarray(state.params["model"]["book"]["table"])
    warm, cold = (found[i][3].codes["codes"].q.reshape(-1, 3) for i in (0, 2))
    away = [np.abs(q[:, None] - table[None]).sum(-1).min(1) for q in (warm, cold)]
    assert away[1].max() < 1e-3 < away[0].max()


def test_evaluation_takes_the_likeliest_codes_and_no_key(steps):
    method, state, _ = steps

    @jax.jit
    def run(state):
        z = method.encode(state, X, KEY)
        return z["codes"], method.decode(state, z), method.reconstruct(state, X, jax.random.key(9))

    ids, decoded, shown = run(state)
    assert ids.shape == (4, 3, 3, 1) and ids.dtype == jnp.uint8
    np.testing.assert_array_equal(decoded, shown)
    assert set(method.likelihoods) == {"uniform_nll"}
    with pytest.raises(ConfigError, match="observation='logit_laplace' has no likelihood"):
        method.code_log_prob(state, X, {"codes": ids})


def test_counts_of_codes_move(steps):
    _, state, found = steps
    before = state.vars["model"]["codebook"]["book"]["counted"]["counts"]
    after = found[0][1]["model"]["codebook"]["book"]["counted"]["counts"]
    np.testing.assert_allclose(np.sum(after), 0.01 * 36, rtol=1e-5)
    assert not np.any(before)
