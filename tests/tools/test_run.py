"""A trained run in Python: what it gives, and what it refuses."""

import doctest
import functools
import logging
import re
import runpy
import shutil

import absl.logging
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import ROOT

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data.limits import load_npz
from jaxgen.rundir import write_json
from jaxgen.session import as_json
from jaxgen.train.assemble import assemble
from jaxgen.train.checkpoint import CheckpointError, Checkpoints
from jaxgen.train.step import init_state
from jaxgen.types import DataSpec

LANDED = ROOT / "tests" / "fixtures" / "landed" / "finished"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`runs/`: a trained one of digits, one of points that is not."""
    folder = tmp_path_factory.mktemp("python") / "runs"
    shutil.copytree(LANDED, folder / "nice-digits")
    untrained(folder / "ring8", ROOT / "configs" / "maf.py", "ring8,tiny")
    return folder


def untrained(folder, config, arg, moves=None):
    """A run directory with the state before the first step of a config on points.

    Its averages are those that `moves` names, moved so far from the start.
    """
    config = as_json(runpy.run_path(str(config))["get_config"](arg).to_dict())
    moves = moves or {}
    if moves:
        config["ema"] = {k: {"half_life_steps": 10.0, "player": "model"} for k in moves}
    spec = DataSpec.of(config["data"]["name"], (2,), None)
    method, optimizers, emas = assemble(config, spec)
    batch = {"x": np.random.RandomState(0).randn(16, 2).astype(np.float32)}
    init = functools.partial(init_state, method=method, optimizers=optimizers, emas=emas)
    state = jax.jit(init)(jax.random.key(0), batch)
    moved = {k: jax.tree.map(lambda p, by=by: p + by, state.ema[k]) for k, by in moves.items()}
    checkpoints = Checkpoints(folder / "checkpoints")
    checkpoints.save(0, state.replace(ema=state.ema | moved), {})
    checkpoints.wait()
    checkpoints.close()
    write_json(folder / "config.json", config)
    write_json(folder / "manifest.json", {"data": {"spec": spec.as_json()}})


@pytest.fixture(scope="module")
def digits(runs, data_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_DATA_DIR", str(data_root))
        yield jaxgen.load(runs / "nice-digits")


@pytest.fixture
def compiled():
    """compiled(action): how many programs were compiled meanwhile."""
    found = []

    def listen(name, seconds, **_):
        if "backend_compile" in name:
            found.append(name)

    def count(action):
        before = len(found)
        action()
        return len(found) - before

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield count
    jax.monitoring.unregister_event_duration_listener(listen)


def test_the_averaged_state_is_made_once_and_lies_on_one_device(digits):
    used = digits._averaged
    assert digits._averaged is used and not used.opt and not used.ema
    for leaf in jax.tree.leaves(used):
        assert leaf.devices() == {jax.devices()[0]}
    own, averaged = (jax.tree.leaves(s.params) for s in (digits.state, digits.state.averaged()))
    for x, y, z in zip(jax.tree.leaves(used.params), averaged, own, strict=True):
        np.testing.assert_array_equal(x, y)
        assert not np.array_equal(x, z) or not x.any()


@pytest.fixture(scope="module")
def averages(tmp_path_factory):
    """A run on points with two averages of its model, each moved its own way from the start."""
    folder = tmp_path_factory.mktemp("averages") / "run"
    moves = {"model": 0.01, "slow": 0.02}
    untrained(folder, ROOT / "configs" / "maf.py", "ring8,tiny", moves)
    return folder


def test_an_average_is_chosen_by_name(averages):
    raw = jaxgen.load(averages, average="none")
    for name, move in ((None, 0.01), ("model", 0.01), ("slow", 0.02)):
        run = jaxgen.load(averages, average=name)
        expected = jax.tree.map(lambda p, move=move: p + move, raw.state.params)
        used = (run._averaged.params, run.state.averaged().params)
        for x in used:
            jax.tree.map(np.testing.assert_array_equal, x, expected)
        assert run.averages == {"model": name or "model"}
    assert raw.averages == {} and raw.state.ema == {}
    samples = [jaxgen.load(averages, average=name).sample(3) for name in ("none", "model", "slow")]
    assert not np.array_equal(samples[0], samples[1])
    assert not np.array_equal(samples[1], samples[2])
    with pytest.raises(ConfigError, match="unknown average 'slwo': did you mean 'slow'"):
        jaxgen.load(averages, average="slwo")


def test_the_command_takes_the_name(averages, jaxgen_command, tmp_path):
    for name in ("slow", "none"):
        out = tmp_path / f"{name}.npz"
        jaxgen_command("sample", averages, "--num=3", f"--average={name}", f"--out={out}")
        expected = jaxgen.load(averages, average=name).sample(3)
        np.testing.assert_array_equal(load_npz(out)["x"], expected)
    jaxgen_command("sample", averages, "--num=3", "--average=slow")
    (picture,) = (averages / "samples").glob("*.png")
    assert "averageslow" in picture.name
    err = jaxgen_command("sample", averages, "--average=slo", code=2).err
    assert "unknown average 'slo': did you mean 'slow'?" in err


def test_another_state_and_another_method_are_seen(runs, digits):
    other = jaxgen.load(runs / "nice-digits", step=10)
    before = other.sample(4)
    other.state = digits.state
    np.testing.assert_array_equal(other.sample(4), digits.sample(4))
    assert not np.array_equal(before, digits.sample(4))


def test_calls_on_a_run_compile_once(digits, compiled):
    x = digits.sample(20)
    values = digits.log_prob(x)
    for few in (x[:2], x):
        np.testing.assert_array_equal(digits.decode(digits.encode(few)), few)
    state = digits.state
    digits.state = jax.tree.map(jnp.copy, state)

    def again():
        np.testing.assert_array_equal(digits.sample(200)[:20], x)
        digits.sample(7, seed=3, temperature=0.7)
        np.testing.assert_array_equal(digits.log_prob(x), values)
        digits.log_prob(digits.sample(130, 9), seed=8)
        digits.decode(digits.encode(digits.sample(1)))

    assert compiled(again) == 0
    digits.state = state


def test_evaluations_compile_once(digits, compiled):
    """An importance-weighted one, and the values of single examples on all splits."""
    options = {"max_examples": 8, "importance_samples": 2}
    first = digits.evaluate(**options)
    assert compiled(lambda: _same(digits.evaluate(**options), first)) == 0
    assert len(digits.per_example("test", **options)["iw_bpd"]) == 8
    assert compiled(lambda: digits.per_example("train", **options)) == 0
    for wrong, message in (
        ({"importance_samples": 0}, "importance_samples=0: expected an integer of 1 or more"),
        ({"importance_samples": 2.5}, "importance_samples=2.5: "),
        ({"max_exampel": 8}, "did you mean 'max_examples'"),
        ({"method": None}, "method is the run's own"),
        ({"sample": {"temp": 1}}, "config.evaluate.sample: no such knob 'temp'"),
        ({"sample": {"temperature": -1.0}}, "config.evaluate.sample: temperature=-1.0: expected"),
    ):
        with pytest.raises(ConfigError, match=message):
            digits.evaluate(**wrong)
    with pytest.raises(ConfigError, match="split 'tset' is none of test, train|train, test"):
        digits.per_example("tset", **options)


def _same(found, expected):
    assert {k: v.mean for k, v in found.items()} == {k: v.mean for k, v in expected.items()}


@pytest.mark.parametrize("step", ["x", "", "-1", -1, 2.5, True, "²", float("nan"), [10]])
def test_steps_that_are_none(runs, step):
    with pytest.raises(ConfigError, match=r"^step=.*: expected a number of train steps, or 'best'"):
        jaxgen.load(runs / "nice-digits", step=step)


def test_steps(runs):
    assert jaxgen.load(runs / "nice-digits", step="10").step == 10
    assert jaxgen.load(runs / "nice-digits", step=np.int64(20)).step == 20
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 15; there are \[10, 20\]"):
        jaxgen.load(runs / "nice-digits", step=15)


def test_names_that_are_none(digits):
    with pytest.raises(ConfigError, match="unknown place of data 'folder'"):
        digits.dataset(folder="x")
    with pytest.raises(ConfigError, match=r"split=\['test'\], expected the name of one"):
        digits.per_example(["test"])
    with pytest.raises(ConfigError, match="run=3, expected the path of a run directory"):
        jaxgen.load(3)


def test_nothing_is_calibrated_that_infers_nothing(digits):
    with pytest.raises(ConfigError, match="Likelihood infers no parameters: nothing to calibrate"):
        digits.calibrate(num=5)


def test_loading_is_silent(runs, caplog):
    before = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.WARNING)
    try:
        with caplog.at_level(logging.WARNING):
            jaxgen.load(runs / "nice-digits")
        assert absl.logging.get_verbosity() == absl.logging.WARNING
    finally:
        absl.logging.set_verbosity(before)
    assert not caplog.records


def test_a_run_on_points_has_gradients(runs):
    run = jaxgen.load(runs / "ring8")
    x = np.asarray(run.sample(5))
    slope = jax.grad(lambda x: run.log_prob(x).sum())(jnp.asarray(x))
    assert slope.shape == (5, 2)
    step = 1e-2 * np.asarray(slope) / np.linalg.norm(slope, axis=1, keepdims=True)
    change = (run.log_prob(x + step) - run.log_prob(x - step)) / 2e-2
    np.testing.assert_allclose(change, np.linalg.norm(slope, axis=1), rtol=0.05)
    back = jax.jit(lambda z: run.decode(z))(run.encode(x))
    np.testing.assert_allclose(back, x, atol=1e-4)


TRAINING = ("## Train\n", "## In your own loop\n")  # what these do, tests/test_fit.py does sooner


@pytest.mark.parametrize("trains", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_examples_of_the_documentation(runs, data_root, monkeypatch, trains):
    monkeypatch.setenv("JAXGEN_DATA_DIR", str(data_root))
    monkeypatch.chdir(runs.parent)
    sections = re.split("(?m)^(?=## )", (ROOT / "docs" / "python.md").read_text())
    assert sum(part.startswith(TRAINING) for part in sections) == 2
    text = "".join(part for part in sections if trains or not part.startswith(TRAINING))
    test = doctest.DocTestParser().get_doctest(text, {}, "python.md", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    found = runner.run(test)
    assert found.attempted > 10 and not found.failed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 2.5}, "num=2.5"),
        ({"sets": "two"}, "sets='?two"),
        ({"batch": True}, "batch=True"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 2**32}, "seed=4294967296"),
        ({"knobs": {"temperature": -1}}, "temperature=-1: expected a finite number"),
    ],
)
def test_measurements_that_cannot_be(digits, options, message):
    with pytest.raises(ConfigError, match=message):
        digits.measure("fd", **options)
