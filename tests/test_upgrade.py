"""Runs of the version that landed open, evaluate and go on; `fixtures/landed` was written by it.

Both are `configs/nice.py:digits,tiny`: one finished, one killed between step 20 and its checkpoint.
"""

import json
import pathlib
import shutil

import divisions
import numpy as np
import pytest
from command import rows

import jaxgen
from jaxgen.data import DataError
from jaxgen.data.dataset import differences
from jaxgen.data.load import load_as
from jaxgen.types import DataSpec

LANDED = pathlib.Path(__file__).parent / "fixtures/landed"
CONFIG = "--config=configs/nice.py:digits,tiny"
SUMMARY = json.loads((LANDED / "finished/summary.json").read_text())
DIVISIONS = json.loads((LANDED.parent / "divisions.json").read_text())  # written by it, too
METRICS = [key for key in SUMMARY if key.endswith("/bpd")]


@pytest.fixture
def landed(tmp_path):
    """landed(name): a copy of one of the runs."""
    return lambda name: pathlib.Path(shutil.copytree(LANDED / name, tmp_path / name))


def test_it_opens(landed, data_root):
    before = {p: p.read_bytes() for p in LANDED.rglob("*") if p.is_file()}
    run = jaxgen.load(LANDED / "finished")
    assert run.step == 20 and run.sample(4).shape == (4, 8, 8, 1)
    found = run.evaluate(data_dir=str(data_root))
    for key in METRICS:
        np.testing.assert_allclose(found[key].mean, SUMMARY[key], rtol=1e-5)
    assert jaxgen.load(LANDED / "stopped", step="best").step == 10
    assert {p: p.read_bytes() for p in LANDED.rglob("*") if p.is_file()} == before


def test_it_resumes_to_the_same_numbers(starter, landed):
    """A field that is newer than the run takes its value of now, and is named in one line."""
    workdir = landed("stopped")
    config = json.loads((workdir / "config.json").read_text())
    del config["method"]["health"], config["optim"]["model"]["clip_norm"]
    (workdir / "config.json").write_text(json.dumps(config))
    job = starter.run(CONFIG, f"--workdir={workdir}")
    (named,) = [line for line in job.out.splitlines() if "older than these fields" in line]
    assert "method.health=True" in named and "optim.model.clip_norm=0.0" in named
    assert "resumed at step 10 of 20, data at batch 10" in job.out
    for key in METRICS:
        np.testing.assert_allclose(job.summary[key], SUMMARY[key], rtol=1e-5)
    steps = [(row["step"], row["split"]) for row in rows(workdir)]
    assert steps == [(row["step"], row["split"]) for row in rows(LANDED / "finished")]
    again = (workdir / "metrics.again.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in again] == [15, 20, 20, 20]
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert manifest["saved"] == 20
    assert manifest["resumed"][0]["config_before"]["method.health"] is None


def test_it_is_extended_and_its_summary_is_kept_apart(starter, landed):
    workdir = landed("finished")
    job = starter.run(CONFIG, "--config.train.steps=25", f"--workdir={workdir}")
    assert job.summary["step"] == 25
    assert json.loads((workdir / "summary.step_00000020.json").read_text()) == SUMMARY
    assert not any(workdir.glob(".summary*")) and not (workdir / "lock.json").exists()


@pytest.mark.parametrize("name", ["config.json", "manifest.json"])
def test_without_its_files_nothing_is_guessed(refused, landed, name):
    """Its checkpoints do not say what config and data they are of."""
    workdir = landed("stopped")
    (workdir / name).unlink()
    flags = (CONFIG, "--config.optim.model.learning_rate=1.0", f"--workdir={workdir}")
    error = refused(*(flags if name == "config.json" else flags[::2]))
    assert name in error and "--restart" in error


@pytest.mark.parametrize("name", divisions.LAYOUTS)
def test_data_that_it_divided_by_other_rules_are_found(tmp_path, name):
    known, place = DIVISIONS[name], str(divisions.write(name, tmp_path))
    fingerprint, classes = known["fingerprint"], known["num_classes"]
    shape = tuple(fingerprint["shape"])
    spec = DataSpec.of(name, shape, fingerprint["levels"], num_classes=classes).as_json()
    data = load_as({"fingerprint": fingerprint, "spec": spec})(place)
    assert data.fingerprint() == fingerprint and data.spec.num_classes == classes
    assert "by the rules of version 0.1" in data.report()
    try:  # without the run nothing says that its rules are wanted
        assert differences(fingerprint, jaxgen.data.load(place).fingerprint())
    except DataError:
        pass
    fingerprint["splits"]["train"]["sha256"] = "other"
    with pytest.raises(DataError):
        load_as({"fingerprint": fingerprint, "spec": spec})(place)


@pytest.mark.slow
def test_a_conditional_run_is_given_its_label(starter, refused, tmp_path):
    """`method.conditional` of the version that landed; a command with it says what it is now."""
    workdir = tmp_path / "run"
    asked = ("--config.method.given=label", f"--workdir={workdir}")
    first = starter.run(CONFIG, *asked)
    config = json.loads((workdir / "config.json").read_text())
    assert config["method"].pop("given") == ["label"]
    config["method"]["conditional"] = True
    (workdir / "config.json").write_text(json.dumps(config))
    run = jaxgen.load(workdir)
    assert run.method.given == ("label",) and run.sample(2, label=3).shape == (2, 8, 8, 1)
    again = starter.run(CONFIG, *asked)
    assert "finished" in again.out and again.digest == first.digest
    old = refused(CONFIG, "--config.method.conditional=True", f"--workdir={workdir}")
    assert "config.method.given=label" in old
