"""Frozen stages: copied once, whole without the old run, in no checkpoint, always the same."""

import json
import shutil
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command import has_row
from jax.sharding import AxisType

import jaxgen
from jaxgen.config import ConfigError
from jaxgen.data import load
from jaxgen.rundir import RunDir
from jaxgen.sharding import make_mesh
from jaxgen.train import derived, frozen
from jaxgen.train.assemble import state_target
from jaxgen.train.optim import optimizer
from jaxgen.train.program import build_program
from jaxgen.types import unfrozen

FIRST = ("--config=configs/autoencoder.py:plain,tiny", "--config.train.steps=8")
SECOND = (
    "--config=configs/latent_flow.py:digits,tiny",
    "--config.train.log_every_steps=1",
    "--config.train.save_every_steps=4",
    "--config.train.steps_per_dispatch=1",
)


@pytest.fixture(scope="module")
def stages(starter, tmp_path_factory):
    """A first stage that is gone, another one, and the finished second stage of the first."""
    base = tmp_path_factory.mktemp("stages")
    for name, seed in (("first", 0), ("other", 1)):
        starter.run(*FIRST, f"--config.seed={seed}", f"--workdir={base / name}")
    job = starter.run(*second(base), f"--workdir={base / 'second'}")
    return base, job


def second(base, at="@best"):
    return (*SECOND, f"--config.frozen.first.run={base / 'first'}{at}")


@pytest.fixture
def copy(stages, tmp_path):
    shutil.copytree(stages[0] / "second", tmp_path / "run")
    return tmp_path / "run"


def test_the_run_is_whole_without_the_stage_that_it_copied(stages, copy, tmp_path):
    """It samples, restores and encodes; and its stage is the run that it was copied from."""
    first, run = (jaxgen.load(stages[0] / "first", step="best"), None)
    moved = stages[0] / "first"
    moved.rename(stages[0] / "gone")
    try:
        run = jaxgen.load(copy)
    finally:
        (stages[0] / "gone").rename(moved)
    x = load("digits", data_dir=str(tmp_path)).splits["test"].take(np.arange(5))["x"]
    (z,) = jax.tree.leaves(run.encode(x))
    np.testing.assert_array_equal(z, jax.tree.leaves(first.encode(x))[0])
    images = run.sample(5, seed=1)
    assert images.shape == (5, 8, 8, 1) and images.dtype == np.uint8
    assert len(np.unique(images, axis=0)) > 1
    np.testing.assert_array_equal(run.reconstruct(x), first.reconstruct(x))


def test_samples_are_decoded_draws_of_the_prior(stages):
    """By hand: the prior's draw, out of its units, through the first run's own decoder."""
    base, _ = stages
    run, first = jaxgen.load(base / "second"), jaxgen.load(base / "first", step="best")
    state = run.state.averaged()
    key = jax.random.key(3)
    z = jax.jit(lambda state: run.method.inner.sample(state, key, 6))(state)
    units = run.spec.fields["z"].units
    own = np.asarray(z) * np.array(units.scale) + np.array(units.shift)
    z = (jnp.asarray(own, jnp.float32),)
    by_hand = first.method.decode(first.state.averaged(), z, rounded=True)
    sample = jax.jit(lambda state: run.method.sample(state, key, 6))
    np.testing.assert_array_equal(sample(state), by_hand)


@pytest.mark.slow
def test_a_mesh_trains_it_as_one_device(stages, data_root):
    """The prior's parameters move alike, and the stage that every device holds stays."""
    run = jaxgen.load(stages[0] / "second")
    held = frozen.within(run.directory, run.config, state_target, None)
    batch = run.dataset(data_dir=str(data_root)).splits["train"].take(np.arange(16))
    start, ends = None, []
    types = (AxisType.Auto,) * 2
    alone = jax.make_mesh((1, 1), ("data", "fsdp"), axis_types=types, devices=jax.devices()[:1])
    for mesh in (alone, make_mesh(4, 2)):
        sgd = {"model": optimizer("sgd", 0.03)}
        program = build_program(run.method, sgd, {}, mesh, batch, seed=0, min_size=2, stages=held)
        start = start or jax.device_get(program.init(batch))
        where = jax.tree.map(lambda leaf: leaf.sharding, program.target)
        state, step = jax.device_put(start, where), program.compile()
        for _ in range(2):
            state, _ = step(state, program.put([batch]), program.rng, np.int32(1))
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.vars), start.vars)
        ends.append(jax.device_get(state.params))
    assert any(not x.sharding.is_fully_replicated for x in jax.tree.leaves(state.params))
    chex.assert_trees_all_close(*ends, rtol=1e-5, atol=1e-6)
    moved = jax.tree.map(lambda a, b: np.abs(a - b).max(), ends[0], start.params)
    assert max(jax.tree.leaves(moved)) > 1e-3


def test_latents_are_those_of_the_stage(stages, data_root):
    base, _ = stages
    run, first = jaxgen.load(base / "second"), jaxgen.load(base / "first", step="best")
    split = run.dataset(data_dir=str(data_root)).splits["test"]
    batch = split.take(np.array([7, 3, 290]))
    (z,) = jax.tree.leaves(first.encode(batch["x"]))
    units = run.spec.fields["z"].units
    np.testing.assert_allclose(batch["z"], units.inward(z), rtol=1e-4, atol=1e-5)
    whole = run.dataset(data_dir=str(data_root)).splits["train"]
    z = whole.take(np.arange(len(whole)))["z"]
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(z.std(0), 1, atol=1e-4)


def test_no_checkpoint_holds_the_stage(stages):
    base, _ = stages
    run = jaxgen.load(base / "second")
    assert run.state.vars["frozen"]["first"]["params"]
    record = json.loads((base / "second/checkpoints/20/integrity/metadata").read_text())
    assert set(record["leaves"]) and not [k for k in record["leaves"] if "frozen" in k]
    assert "frozen" not in unfrozen(run.state).vars


@pytest.mark.slow  # by default: strangers/test_strangers.py, whose guided game holds a stage
def test_a_run_that_was_killed_ends_in_the_same_state(stages, starter, tmp_path):
    base, whole = stages
    command = (*second(base), f"--workdir={tmp_path / 'run'}")
    job = starter.start(*command).until(has_row(tmp_path / "run", 9))
    job.kill().wait(-signal.SIGKILL)
    resumed = starter.run(*command)
    assert "resumed at step" in resumed.out and "copied from" not in resumed.out
    assert resumed.digest == whole.digest


def test_another_stage_is_refused(stages, refused, copy):
    base, _ = stages
    error = refused(*second(base, "@8"), f"--workdir={copy}")
    assert "was begun with" in error and "give another --workdir" in error
    place = copy / "frozen/first"
    shutil.rmtree(place / "checkpoints")
    shutil.copytree(base / "other/checkpoints", place / "checkpoints")
    with pytest.raises(ConfigError, match="is not the stage that the run began with: its digest"):
        jaxgen.load(copy)
    shutil.rmtree(place)
    with pytest.raises(ConfigError, match="frozen/first is missing: put the copy of .*first@best"):
        jaxgen.load(copy)


def test_what_is_stored_opens_nothing_else(copy):
    path = copy / "config.json"
    config = json.loads(path.read_text())
    for name in ("../../other", "a/b", "", "first.x"):
        path.write_text(json.dumps(config | {"frozen": {name: {"run": "/etc"}}}))
        with pytest.raises(ConfigError, match="expected a name and 'RUN'"):
            jaxgen.load(copy)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        (3, "expected a name and 'RUN'"),
        ("", "expected a name and 'RUN'"),
        ({"run": "a", "new": 1}, "expected a name and 'RUN'"),
        ({"run": "a", "field": 3}, "expected a name and 'RUN'"),
        ("a@last", "step 'last', expected a number or 'best'"),
        ("a@-1", "step '-1', expected a number or 'best'"),
    ],
)
def test_what_a_config_says_of_a_stage(section, said):
    with pytest.raises(ConfigError, match=said):
        frozen.Wanted.of("first", section)


def test_steps_of_stages():
    assert frozen.Wanted.of("f", "/r").step is None
    assert frozen.Wanted.of("f", "/r@12").step == 12
    assert frozen.Wanted.of("f", "/a@b/r").run == "/a@b/r"
    best = frozen.Wanted.of("f", {"run": "/r@best", "field": "z"})
    assert best == frozen.Wanted("/r", "best", "z")
    assert frozen.Wanted.of("f", best.as_json()) == best


def test_a_stage_that_is_not_there(starter, refused, stages, tmp_path):
    base, _ = stages
    workdir = f"--workdir={tmp_path / 'run'}"
    error = refused(*SECOND, f"--config.frozen.first.run={tmp_path}/no", workdir)
    assert f"{tmp_path}/no is not a run directory" in error
    error = refused(*second(base, "@99"), workdir)
    assert "has no checkpoint of step 99; it has [" in error
    error = refused(*second(base), "--config.method.field=w", workdir)
    assert "method.field='w' is no field of the data: config.frozen.first.field=w" in error
    glow = ("--config=configs/nice.py:digits,tiny",)
    assert "no stage" not in starter.run(*glow, "--dry_run", workdir).out


def test_a_computation_that_was_stopped_goes_on(stages, data_root, tmp_path, monkeypatch):
    base, _ = stages
    monkeypatch.setattr(derived, "CHUNK", 100)
    stage = frozen.read(RunDir(base / "first"), "first", None, state_target, ())
    split = load("digits", data_dir=str(data_root)).splits["test"]
    whole = np.concatenate([c["z"] for c in derived._chunks(split, stage, tmp_path / "a")])
    assert len(whole) == len(split) == 297
    chunks = derived._chunks(split, stage, tmp_path / "b")
    next(chunks), next(chunks)
    chunks.close()
    taken, take = [], type(split).take
    monkeypatch.setattr(type(split), "take", lambda s, i: taken.append(i) or take(s, i))
    again = np.concatenate([c["z"] for c in derived._chunks(split, stage, tmp_path / "b")])
    assert [i[0] for i in taken] == [200]
    np.testing.assert_array_equal(again, whole)


def test_other_data_are_refused(stages, data_root):
    base, _ = stages
    stage = frozen.read(RunDir(base / "first"), "first", None, state_target, ())
    config = {"data": {"data_dir": str(data_root)}, "frozen": {"first": {"run": "r", "field": "z"}}}
    points = load("ring8", data_dir=str(data_root))
    with pytest.raises(
        ConfigError, match=r"was trained on image of \(8, 8, 1\), 17 levels; ring8 has"
    ):
        derived.derived(points, {"first": stage}, config, {}, print)
    for option in ({"flip": True}, {"binarize": "dynamic"}, {"resampled": 0.2}):
        changed = load("digits", data_dir=str(data_root), **option)
        with pytest.raises(ConfigError, match="can be neither flipped, shifted nor drawn anew"):
            derived.derived(changed, {"first": stage}, config, {}, print)


def test_a_copy_of_a_start_that_came_no_further_is_made_anew(stages, tmp_path):
    base, _ = stages
    run, said = RunDir(tmp_path), []
    for name in ("other", "first"):
        config = {"frozen": {"first": f"{base / name}"}}
        made = frozen.install(run, config, state_target, said.append)
        wanted = frozen.read(RunDir(base / name), "first", None, state_target, ())
        assert made["first"].digest == wanted.digest
    assert len(said) == 2 and not list(tmp_path.glob("frozen/.copying*"))
    run.manifest.write_text(json.dumps({"frozen": frozen.described(made, {})}))
    frozen.install(run, config, state_target, said.append)
    assert len(said) == 2


def test_a_stage_of_absurd_size_is_refused(copy):
    """As a run of a stranger is, before anything is built."""
    path = copy / "frozen/first/config.json"
    config = json.loads(path.read_text())
    config["model"]["latent"] = 2**40
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="latent"):
        jaxgen.load(copy)


def test_the_same_arrays_in_another_network_are_another_stage(copy):
    path = copy / "frozen/first/config.json"
    config = json.loads(path.read_text())
    assert config["model"]["activation"] == "relu"
    config["model"]["activation"] = "tanh"
    path.write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="is not the stage that the run began with: its digest"):
        jaxgen.load(copy)
