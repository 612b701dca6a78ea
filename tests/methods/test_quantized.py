"""Autoencoders of codes against all images and all codes of a tiny one."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.abilities import Coded, Density
from jaxgen.config import ConfigError
from jaxgen.contract import check
from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.evaluate.comparison import Comparison, Subject
from jaxgen.evaluate.extractors.pixels import Pixels
from jaxgen.evaluate.gallery import write_latents
from jaxgen.evaluate.metrics import measure
from jaxgen.evaluate.sets import ArraySet
from jaxgen.evaluate.validation import check_codes, check_latents
from jaxgen.methods.quantized import QuantizedAutoencoder
from jaxgen.models.vaes.vqvae import VQVAE
from jaxgen.types import DataSpec, State
from jaxgen.views import latents as views
from jaxgen.views.walks import walk

KEY = jax.random.key(0)
SPEC = DataSpec.of("squares", (2, 2, 1), 3)
ALL = np.array(list(itertools.product(range(3), repeat=4)), np.uint8).reshape(-1, 2, 2, 1)
BATCH = {"x": jnp.asarray(ALL)}
CODES = 5
BOOK = {"name": "codebook", "codes": CODES, "dim": 3, "start": "kmeans", "revive": True}
MODEL = VQVAE(hidden=4, layers=1, residual=2, halvings=1, quantizer=BOOK)
METHOD = QuantizedAutoencoder(MODEL, SPEC)


@pytest.fixture(scope="module")
def state():
    params, variables = jax.jit(METHOD.init)(KEY, BATCH)
    return State(jnp.int32(0), params, variables, {}, {})


@pytest.fixture(scope="module")
def called(state):
    """All that evaluation calls, of all images, and log p(x | z) for every code."""

    @jax.jit
    def call(state, x):
        z = METHOD.encode(state, x, KEY)
        every = [
            METHOD.code_log_prob(state, x, {"codes": jnp.full((len(x), 1, 1, 1), k, jnp.uint8)})
            for k in range(CODES)
        ]
        return {
            "z": z,
            "every": jnp.stack(every, 1),
            "columns": METHOD.evaluate(state, {"x": x}, KEY),
            "log_prob": METHOD.log_prob(state, x, KEY),
            "own": METHOD.code_log_prob(state, x, z),
            "mean": METHOD.decode(state, z),
            "rounded": METHOD.decode(state, z, rounded=True),
            "reconstruct": METHOD.reconstruct(state, x, KEY),
            "sample": METHOD.sample(state, KEY, 400),
        }

    return jax.device_get(call(state, ALL))


def test_the_bound_is_a_term_of_the_sum_over_codes(called):
    """p(x) = 1/K sum_z p(x | z) sums to one over all images; its bound is the term of x's codes."""
    every = called["every"].astype(np.float64)
    assert called["z"]["codes"].dtype == np.uint8 and len(np.unique(called["z"]["codes"])) > 2
    own = every[np.arange(81), called["z"]["codes"].ravel()]
    np.testing.assert_allclose(called["own"], own, rtol=1e-5)
    np.testing.assert_allclose(called["log_prob"], own - np.log(CODES), rtol=1e-5)
    exact = np.log(np.exp(every).mean(1))
    np.testing.assert_allclose(np.exp(exact).sum(), 1, rtol=1e-5)
    assert np.all(called["log_prob"] < exact)


def test_columns_are_nats_of_pixels_bits_of_both_and_squared_error(called):
    columns = called["columns"]
    np.testing.assert_allclose(columns["reconstruction"], -called["own"], rtol=1e-5)
    bits = (columns["reconstruction"] / np.log(2) + np.log2(CODES)) / 4
    np.testing.assert_allclose(columns["uniform_bpd"], bits, rtol=1e-5)
    error = np.square((called["mean"] - ALL) / 2).reshape(81, -1).mean(1)
    np.testing.assert_allclose(columns["distortion"], error, rtol=1e-4)


def test_what_codes_show(called):
    np.testing.assert_allclose(called["mean"], called["reconstruct"], rtol=1e-5)
    np.testing.assert_array_equal(called["rounded"], np.round(called["mean"]))
    assert called["rounded"].dtype == np.uint8


def test_samples_are_of_codes_drawn_evenly(called):
    """Frequencies of values at each position are the mean of what all codes say."""
    logits = called["every"]  # log p(x | z), of all x
    p = np.exp(logits.astype(np.float64)).mean(1)
    expected = np.stack([(p[:, None] * (ALL.reshape(81, 4) == v)).sum(0) for v in range(3)])
    found = np.stack([(called["sample"].reshape(400, 4) == v).mean(0) for v in range(3)])
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / 400)


def test_training_moves_codes_and_says_how_they_are_used(state):
    of_params = lambda p: METHOD.loss(state.replace(params=p), BATCH, KEY)  # noqa: E731
    gradient = jax.jit(jax.value_and_grad(of_params, has_aux=True))
    (total, (variables, metrics)), grads = gradient(state.params)
    before, after = (v["model"]["codebook"]["book"]["table"] for v in (state.vars, variables))
    assert np.any(before != after)
    for part in ("encoder", "to_codes", "decoder"):
        assert any(np.any(g) for g in jax.tree.leaves(grads["model"][part])), part
    assert set(metrics) == {"reconstruction", "codes", "perplexity", "used", "dead"}
    np.testing.assert_allclose(total, metrics["reconstruction"] / 4 + metrics["codes"], rtol=1e-5)
    assert 1 < metrics["perplexity"] <= CODES and 0.4 < metrics["used"] <= 1


def test_weights_of_the_loss():
    heavy = QuantizedAutoencoder(
        MODEL,
        SPEC,
        reconstruction_weight=3.0,
        codes_weight={"name": "linear", "start": 0.0, "end": 4.0, "steps": 8},
    )
    params, variables = jax.jit(heavy.init)(KEY, BATCH)
    state = State(jnp.int32(4), params, variables, {}, {})
    total, (_, metrics) = jax.jit(heavy.loss)(state, BATCH, KEY)
    expected = 3 * metrics["reconstruction"] / 4 + 2 * metrics["codes"]
    np.testing.assert_allclose(total, expected, rtol=1e-5)


def test_abilities_and_fields():
    check(METHOD)
    assert isinstance(METHOD, Coded) and isinstance(METHOD, Density)
    field = METHOD.latent_fields["codes"]
    assert (field.shape, field.dtype, field.levels) == ((1, 1, 1), "uint8", CODES)
    residual = {"name": "residual", "groups": 3, "codes": 1000, "dim": 2}
    wide = QuantizedAutoencoder(MODEL.clone(quantizer=residual), DataSpec.of("x", (9, 8, 1), 3))
    field = wide.latent_fields["codes"]
    assert (field.shape, field.dtype, field.levels) == ((5, 4, 3), "uint16", 1000)
    np.testing.assert_allclose(wide.code_nats, 60 * np.log(1000))


def test_an_alarm_for_dead_codes():
    assert METHOD.alarms({"model/dead": 2.0}) == {}
    (text,) = METHOD.alarms({"model/dead": 3.0}).values()
    assert text.startswith("3 of 5 codes (codes) are hardly used") and "revive=True" in text


def test_a_decoder_of_squared_errors_has_a_density_of_its_own_units_alone():
    method = QuantizedAutoencoder(MODEL, SPEC, observation="gaussian")
    assert set(method.likelihoods) == {"uniform_nll"} and method.density.measure == "density"
    with pytest.raises(ConfigError, match="observation='gaussian' has no likelihood of integers"):
        method.code_log_prob(None, ALL, {})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(temperature=1.0), "config.method.temperature: VQVAE draws no codes"),
        (dict(spec=DataSpec.of("moons", (2,), None), observation="gaussian"), "moons has points"),
        (dict(observation="bernoulli"), "is no likelihood of 3 levels"),
    ],
    ids=str,
)
def test_options_that_do_not_fit(options, message):
    options = {"spec": SPEC, **options}
    with pytest.raises(ValueError, match=message):
        QuantizedAutoencoder(MODEL, **options)


def test_ids_that_are_none_are_refused():
    shapes = {"codes": jax.ShapeDtypeStruct((9, 1, 1, 1), jnp.uint8)}
    ids = {"codes": np.zeros((2, 1, 1, 1), np.int64)}
    found, num = check_latents(ids, shapes)
    assert found["codes"].dtype == np.uint8 and num == 2
    with pytest.raises(ConfigError, match="float64 values, expected latents .* of ids: uint8"):
        check_latents({"codes": np.zeros((2, 1, 1, 1))}, shapes)
    with pytest.raises(ConfigError, match="ids from -1 to 0, expected uint8"):
        check_latents({"codes": np.array([[[[-1]]], [[[0]]]])}, shapes)
    with pytest.raises(ConfigError, match="codes has id 5, expected 0 to 4"):
        check_codes({"codes": np.full((1, 1, 1, 1), 5)}, METHOD.latent_fields)


def test_between_ids_there_are_no_paths(tmp_path):
    """Where latents of other models are walked through, those of this one are refused in a line."""
    run = types.SimpleNamespace(method=METHOD, spec=SPEC, reconstruct=lambda x: x)
    for view in (views.interpolate, views.sweep, walk):
        with pytest.raises(ConfigError, match="are ids of codes, between which there are no paths"):
            view(run)
    split = ArraySplit({"x": ALL})
    dataset = Dataset(SPEC, {"train": split, "test": split}, "test")
    write_latents(tmp_path, run, dataset)
    assert [path.name for path in tmp_path.iterdir()] == ["reconstruction.npz"]
    subject = Subject(SPEC, SPEC.levels, [ArraySet(ALL)], method=METHOD)
    _, missing = measure(
        Comparison(subject, dataset, Pixels(SPEC)), "ppl,disentanglement", lenient=True
    )
    assert set(missing) == {"ppl", "disentanglement"}
    assert all("between them are no paths" in why for why in missing.values())
