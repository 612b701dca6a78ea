"""What a run directory holds decides whether a config may go on there, and never by deleting."""

import json
import pathlib
import runpy
import shutil

import pytest
from command import ROOT

from jaxgen.claim import claim, lost, owned, set_aside
from jaxgen.config import ConfigError
from jaxgen.rundir import RunDir

CONFIG = {
    "seed": 0,
    "data": {"name": "digits", "mode": None},
    "model": {"name": "m", "width": 4},
    "method": {"name": "x", "health": True},
    "train": {"steps": 20, "save_every_steps": 10},
}
ROWS = '{"step": 5, "split": "train", "loss": 1.0}\n'


@pytest.fixture
def run(tmp_path):
    """A run directory that has a config and a manifest, and nothing else."""
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    run.config.write_text(json.dumps(CONFIG))
    run.manifest.write_text(json.dumps({"command": "c", "saved": None}))
    return run


def checkpoint(run, step=10, about=None):
    path = run.checkpoints / str(step) / "integrity"
    path.mkdir(parents=True)
    path.joinpath("metadata").write_text(json.dumps({"about": about} if about else {"leaves": {}}))


def changed(**sections):
    return {k: v | sections.get(k, {}) if isinstance(v, dict) else v for k, v in CONFIG.items()}


def without(section, key):
    return CONFIG | {section: {k: v for k, v in CONFIG[section].items() if k != key}}


def refused(run, config=CONFIG):
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    with pytest.raises(ConfigError) as caught:
        claim(run.path, config)
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(p.name for p in (ROOT / "configs").glob("*.py")))
def test_every_config_is_that_of_its_own_run(run, name):
    module = runpy.run_path(str(ROOT / "configs" / name))
    for preset in module["PRESETS"]:
        config = module["get_config"](preset).to_dict()
        run.config.write_text(json.dumps(config))
        claim(run.path, config)


def test_a_field_that_did_not_exist_takes_its_value_of_now_and_is_named(run):
    run.config.write_text(json.dumps(without("method", "health")))
    said = []
    claim(run.path, CONFIG, said.append)
    assert said == [f"{run.config} is older than these fields, which now are: method.health=True"]


def test_a_field_that_exists_no_more_is_named_and_what_to_do(run):
    message = refused(run, without("model", "width"))
    assert "has fields that this config does not know: model.width=4; resume with" in message
    assert "or take them out of" in message


def test_another_config_is_another_config(run):
    message = refused(run, changed(model={"width": 5, "depth": 3}))
    assert message.splitlines()[1:3] == [
        "  model.depth: '(absent)' in the run, 3 now",
        "  model.width: 4 in the run, 5 now",
    ]
    run.config.write_text("{}")
    assert "belongs to another config" in refused(run)


def test_without_its_config_that_of_the_checkpoint_counts(run):
    """Another rate does not go on there in silence."""
    run.config.unlink()
    checkpoint(run, about={"config": CONFIG, "data": {}})
    said = []
    claim(run.path, CONFIG, said.append)
    assert said == [f"{run.config} is missing: the config was taken from the newest checkpoint"]
    assert "model.width: 4 in the run, 5 now" in refused(run, changed(model={"width": 5}))


@pytest.mark.parametrize("work", ["checkpoints", "metrics.jsonl", "summary.json", "manifest.json"])
def test_work_without_a_config_is_not_gone_over(tmp_path, work):
    run = RunDir(tmp_path)
    if work == "checkpoints":
        checkpoint(run)
    else:
        (tmp_path / work).write_text(ROWS)
    message = refused(run)
    assert f"holds {work} but no config.json" in message and "--restart" in message


def test_a_damaged_config_says_where_a_copy_is(run):
    run.config.write_text("{")
    assert "put it back from a copy, or start anew with --restart" in refused(run)
    checkpoint(run, about={"config": CONFIG, "data": {}})
    assert "move it away: the newest checkpoint has a copy" in refused(run)


def test_other_files_are_no_work(tmp_path):
    (tmp_path / "slurm.out").touch()
    (tmp_path / "samples").mkdir()
    assert claim(tmp_path, CONFIG).path == tmp_path


@pytest.mark.parametrize(
    ("evidence", "what"),
    [
        ("corrupt", "corrupt-10 is there"),
        ("summary", "summary.json is there"),
        ("manifest", "that of step 10 was saved"),
        ("evaluated", "metrics.jsonl has rows up to step 10 and more"),
        ("later", "metrics.jsonl has rows up to step 11 and more"),
    ],
)
def test_work_whose_checkpoints_are_gone_is_not_gone_over(run, evidence, what):
    if evidence in ("evaluated", "later"):  # of a version that did not note what it saved
        run.manifest.write_text("{}")
    if evidence == "corrupt":
        (run.checkpoints / "corrupt-10").mkdir(parents=True)
    elif evidence == "summary":
        run.summary.write_text('{"step": 20}')
    elif evidence == "manifest":
        run.manifest.write_text('{"saved": 10}')
    elif evidence == "evaluated":
        run.metrics.write_text(ROWS + '{"step": 10, "split": "eval_test", "bpd": 1.0}\n17\n')
    else:
        run.metrics.write_text(ROWS + '{"step": 11, "split": "train", "loss": 1.0}\n')
    message = refused(run)
    assert f"holds no checkpoint, but {what}" in message and "--restart" in message
    checkpoint(run)
    claim(run.path, CONFIG)


def test_a_run_that_was_killed_before_it_saved_begins_anew(run):
    run.metrics.write_text(ROWS + '{"step": 10, "split": "eval_test", "bpd": 1.0}\n')
    claim(run.path, CONFIG)
    run.manifest.write_text("{}")
    (run.checkpoints / "10.orbax-checkpoint-tmp").mkdir(parents=True)
    assert lost(run, CONFIG) is None


def test_restart_moves_all_of_it_and_loses_nothing(run):
    checkpoint(run)
    run.metrics.write_text(ROWS)
    run.samples.mkdir()
    (run.path / "notes.txt").write_text("mine")
    before = {p.relative_to(run.path): p.read_bytes() for p in files(run.path)}
    said = []
    with owned(run.path, changed(model={"width": 9}), restart=True, say=said.append):
        (aside,) = run.path.glob("before-restart-*")
        assert said == [f"restart: the work of before is in {aside}"]
        assert {p.name for p in run.path.iterdir()} == {"lock.json", "notes.txt", aside.name}
        again = set_aside(run, said.append)
    assert again is None
    kept = {p.relative_to(aside): p.read_bytes() for p in files(aside)}
    assert kept | {pathlib.Path("notes.txt"): b"mine"} == before


def files(folder):
    return [p for p in folder.rglob("*") if p.is_file()]


def test_restarts_of_one_second_have_folders_of_their_own(run, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda *_: "now")
    for name in ("before-restart-now", "before-restart-now.2"):
        run.metrics.write_text(ROWS)
        assert set_aside(run, lambda text: None) == run.path / name


def test_what_killed_processes_left_half_written_is_cleared(run):
    ours = (".summary.json.4711", ".metrics.jsonl.12", ".manifest.json.1")
    others = (".git", ".summary.json", "summary.json.4711", ".notes.12")
    for name in ours + others:
        (run.path / name).touch()
    with owned(run.path, CONFIG):
        assert {p.name for p in run.path.iterdir()} >= set(others)
        assert not any((run.path / name).exists() for name in ours)


def test_only_its_holder_goes_on(run):
    with owned(run.path, CONFIG), pytest.raises(ConfigError, match="is in use by process"):
        with owned(run.path, CONFIG):
            pass
    assert not (run.path / "lock.json").exists()


def test_a_summary_of_a_shorter_run_keeps_its_name(run):
    for name in ("summary.step_00000020.json", "summary.step_00000020.json.2"):
        run.summary.write_text('{"step": 20}')
        run.set_summary_aside()
        assert not run.summary.exists() and (run.path / name).exists()
    run.summary.write_text("{")
    run.set_summary_aside()
    assert (run.path / "summary.damaged.json").read_text() == "{"
    shutil.rmtree(run.path)
    RunDir(run.path).set_summary_aside()
