"""Verbs are found by their files; runs are listed, shown and pruned without being loaded."""

import json
import os
import shutil
import subprocess
import time

import pytest

from jaxgen import verbs
from jaxgen.lock import Lock, writer
from jaxgen.rundir import RunDir
from jaxgen.tools.overview import ago, overview, runs_below

TOY = """
def add(commands):
    toy = commands.add_parser("toy", help="says what it is given")
    toy.add_argument("--word")
    toy.set_defaults(command=lambda arguments, knobs: print(arguments.word))
"""


@pytest.fixture
def folder(zoo, tmp_path):
    """Two finished runs, one of them a folder deeper, and one that is damaged."""
    runs = tmp_path / "runs"
    zoo.copy("flow", runs / "flow")
    zoo.copy("vae", runs / "deeper" / "vae")
    zoo.copy("flow", runs / "damaged")
    (runs / "damaged" / "config.json").write_text("{")
    return runs


def test_a_verb_is_one_file(tmp_path, monkeypatch, jaxgen_command):
    (tmp_path / "toy.py").write_text(TOY)
    monkeypatch.setattr(verbs, "__path__", [*verbs.__path__, str(tmp_path)])
    assert jaxgen_command("toy", "--word=here").out == "here\n"
    assert "says what it is given" in verbs.parser().format_help()
    monkeypatch.undo()
    assert "toy" not in verbs.parser().verbs


def test_runs_are_listed(folder, jaxgen_command):
    out = jaxgen_command("runs", folder).out
    lines = out.splitlines()
    assert len(lines) == 4 and lines[0].startswith(f"{folder / 'damaged'}: ")
    assert lines[1].split()[:4] == ["run", "model", "data", "step"]
    listed = {line.split()[0]: line for line in lines[2:]}
    assert listed.keys() == {"flow", "deeper/vae"}
    summary = json.loads((folder / "flow" / "summary.json").read_text())
    assert f"test/bpd {summary['test/bpd']:.5g}" in listed["flow"]
    assert "NICE" in listed["flow"] and "20/20" in listed["flow"] and "finished" in listed["flow"]
    found = {os.path.relpath(one["run"], folder): one for one in _json(jaxgen_command, folder)}
    assert found["flow"]["last"] == summary["test/bpd"] and found["flow"]["of"] == 20
    rows = [json.loads(line) for line in (folder / "flow/metrics.jsonl").read_text().splitlines()]
    values = [(row["bpd"], row["step"]) for row in rows if row["split"] == "eval_test"]
    best = found["flow"]["best"]
    assert len(values) > 1 and (best["value"], best["step"]) == min(values)


def _json(jaxgen_command, folder):
    out = jaxgen_command("runs", folder, "--json").out
    return json.loads(out[out.index("[\n") :])


def test_nothing_to_list(tmp_path, jaxgen_command):
    assert "jaxgen train glow" in jaxgen_command("runs", tmp_path).out
    assert "is no folder" in jaxgen_command("runs", tmp_path / "none", code=2).err


def test_runs_inside_of_runs_are_theirs(folder):
    shutil.copytree(folder / "flow", folder / "deeper" / "vae" / "frozen" / "first")
    os.symlink(folder / "flow", folder / "link")
    found = [str(run.path.relative_to(folder)) for run in runs_below(folder)]
    assert found == ["damaged", "deeper/vae", "flow"]


def test_a_run_is_shown(folder, jaxgen_command):
    out = jaxgen_command("show", folder / "flow").out
    summary = json.loads((folder / "flow" / "summary.json").read_text())
    said = {line.split("  ")[0]: line.split("  ", 1)[1].strip() for line in out.splitlines()}
    assert said["data"] == "digits: train 1,500, test 297"
    assert said["step"].startswith("20 of 20, finished, ")
    assert said["test/bpd"].startswith(f"{summary['test/bpd']:.5g} ")
    assert "jaxgen.main --config=configs/nice.py" in said["command"]
    assert str(folder / "flow" / "samples") in out and "seed 0" in said["made with"]
    assert "not a run directory" in jaxgen_command("show", folder, code=2).err


def test_who_trains_is_named(folder):
    run = RunDir(folder / "flow")
    assert writer(run.path) is None and overview(run).state == "finished"
    lock = Lock(run.path)
    try:
        assert overview(run).state == "training"
        assert f"process {os.getpid()} on " in overview(run).writer
    finally:
        lock.release()
    holder = {"pid": 2**22 + 1, "host": "elsewhere", "start": 1, "boot": "x", "since": "then"}
    (run.path / "lock.json").write_text(json.dumps(holder))
    assert writer(run.path) == f"process {2**22 + 1} on elsewhere since then"
    os.utime(run.path / "lock.json", (time.time() - 301,) * 2)
    assert writer(run.path) is None
    lock = Lock(run.path, lambda text: None)
    left = json.loads((run.path / "lock.json").read_text())
    lock.release()
    for damage in ({"pid": 2**22 + 1}, {"pid": None, "start": None}):  # of this machine, and gone
        (run.path / "lock.json").write_text(json.dumps(left | damage))
        assert writer(run.path) is None


def test_a_stopped_run_and_a_new_one(folder):
    run = RunDir(folder / "flow")
    run.summary.unlink()
    assert overview(run).state == "stopped"
    run.metrics.unlink()
    found = overview(run)
    assert (found.state, found.step, found.value, found.best) == ("new", 0, None, None)


def test_only_what_can_be_made_again_goes(folder, tmp_path, jaxgen_command):
    run = folder / "flow"
    for place in ("evaluation/generated", "before-restart-then", "checkpoints/corrupt-3"):
        (run / place).mkdir(parents=True)
        (run / place / "x").write_bytes(bytes(2048))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").write_text("kept")
    os.symlink(outside, run / "before-restart-link")
    before = sorted(p.relative_to(run) for p in run.rglob("*"))
    out = jaxgen_command("prune", run).out
    assert "2.0 KiB together; add --yes to delete" in out and "evaluation/generated" in out
    assert "6.0 KiB together" in jaxgen_command("prune", run, "--set_aside").out
    assert sorted(p.relative_to(run) for p in run.rglob("*")) == before
    lock = Lock(run)
    try:
        assert "is in use by process" in jaxgen_command("prune", run, "--yes", code=2).err
    finally:
        lock.release()
    assert (run / "evaluation/generated/x").exists()
    assert jaxgen_command("prune", run, "--yes").out.endswith("2.0 KiB freed\n")
    jaxgen_command("prune", run, "--yes", "--set_aside")
    after = {str(p.relative_to(run)) for p in run.rglob("*")}
    gone = {str(p) for p in before} - after
    assert {name for name in gone if not name.endswith("/x")} == {
        "evaluation/generated",
        "before-restart-then",
        "checkpoints/corrupt-3",
    }
    assert (outside / "mine").read_text() == "kept"
    assert "nothing to free" in jaxgen_command("prune", run, "--yes", "--set_aside").out


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.5, "0 seconds"), (61, "1 minute"), (7300, "2 hours")]
)
def test_ages(seconds, said):
    assert ago(1000.0, 1000.0 + seconds) == said


def test_the_shell_completes_verbs_and_options(jaxgen_command):
    script = jaxgen_command("completion", "bash").out
    ask = "COMP_WORDS=(jaxgen {words}); COMP_CWORD={at}; _shtab_jaxgen; echo ${{COMPREPLY[@]}}"
    for words, at, expected in (("sho", 1, {"show", "showers"}), ("runs --js", 2, {"--json"})):
        shell = f"{script}\n{ask.format(words=words, at=at)}"
        done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == expected, done.stdout
    assert "zsh" in jaxgen_command("completion", "fish", code=2).err
