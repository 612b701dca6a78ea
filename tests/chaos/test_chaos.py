"""Runs that are killed, damaged and resumed end in the same bits; the long form is `driver.py`."""

import json
import random
import shutil

import driver
import pytest
from chaos_compare import differences, lost
from command import DENSE, rows
from damages import DAMAGES
from moments import Moment
from zoo import RUNS

NICE = RUNS["dense"]
VAE = (
    "--config=configs/vae.py:digits,tiny",
    *DENSE,
    "--config.data.binarize=dynamic",
    "--config.method.observation=bernoulli",
)


@pytest.fixture(scope="module")
def whole(zoo):
    """NICE, disturbed by nothing."""
    return zoo.run("dense")


def test_killed_in_a_checkpoint_an_evaluation_and_after_a_row(starter, whole, tmp_path, data_root):
    """Between them a bit flips in the newest checkpoint, and a line of the metrics is torn."""
    chaos = driver.Chaos(starter, tmp_path, NICE, 24, random.Random(0), data_root)
    chaos.strike(2, Moment("checkpoint", 8, 0.0, "SIGKILL"), "torn")
    assert chaos.moments[0]["phase"] == "checkpoint", "the checkpoint was whole before the kill"
    chaos.strike(1, Moment("evaluation", 16, 0.0, "STOP"), "stale")
    chaos.strike(0, Moment("row", 19, 0.0, "SIGTERM"), "truncated")
    assert "resumed at step" in chaos.finish().out
    assert [m["code"] for m in chaos.moments] == [-9, -9, 143]
    assert not chaos.compare(whole)


@pytest.mark.slow
def test_noise_statistics_and_bits_drawn_anew_go_on_where_they_were(starter, tmp_path, data_root):
    chaos = driver.Chaos(starter, tmp_path, VAE, 20, random.Random(1), data_root)
    whole = chaos.whole()
    chaos.strike(0, Moment("row", 13, 0.0, "SIGKILL"), "foreign")
    assert "resumed at step" in chaos.finish().out
    assert not chaos.compare(whole)


def copied(whole, folder):
    shutil.copytree(whole.workdir, folder)
    return folder


def changed(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_comparison_sees_one_figure_one_row_and_one_pixel(whole, tmp_path):
    """Controls: what must fail fails."""
    assert not differences(whole.workdir, whole.workdir)
    digest = copied(whole, tmp_path / "digest")
    changed(digest / "summary.json", whole.digest, whole.digest[:-1] + "x")
    (found,) = differences(digest, whole.workdir)
    assert found.startswith("summary: state_digest")

    row = copied(whole, tmp_path / "row")
    written = rows(row)
    text = (row / "metrics.jsonl").read_text().splitlines(keepends=True)
    (row / "metrics.jsonl").write_text("".join(text[:3] + text[4:]))
    assert differences(row, whole.workdir)[0].startswith("rows: 0 others, 1 missing")
    assert lost(row, written) == [f"lost: {written[3]}"]
    (row / "metrics.jsonl").write_text("".join([*text, text[0]]))
    assert differences(row, whole.workdir) == ["rows: 0 others, 0 missing: order, or twice"]

    grid = copied(whole, tmp_path / "grid")
    path = next((grid / "samples").glob("*.png"))
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert differences(grid, whole.workdir) == [f"grid {path.name} differs"]
    path.unlink()
    assert differences(grid, whole.workdir) == [f"grid {path.name} differs"]


@pytest.mark.slow
def test_a_resume_whose_arithmetic_differs_is_recognised(starter, whole, tmp_path, data_root):
    """On two devices sums are taken in another order: the last bits differ, and are seen."""
    chaos = driver.Chaos(starter, tmp_path, NICE, 24, random.Random(0), data_root)
    chaos.strike(0, Moment("row", 10, 0.0, "SIGTERM"), "")
    starter.run(*NICE, f"--workdir={chaos.workdir}", devices=2, limit=600)
    found = chaos.compare(whole)
    assert any(text.startswith("summary: state_digest") for text in found)


def test_damages_leave_the_only_checkpoint_alone(tmp_path):
    """What nobody could mend is not asked for."""
    four, eight = (tmp_path / "checkpoints" / n / "state" / "d" for n in ("4", "8"))
    four.parent.mkdir(parents=True)
    four.write_bytes(b"all that there is")
    for name in ("truncated", "flipped", "deleted"):
        assert DAMAGES[name](random.Random(0), tmp_path, tmp_path) is None
    (tmp_path / "checkpoints" / "8" / "state").mkdir(parents=True)
    (tmp_path / "checkpoints" / "8" / "state" / "d").write_bytes(b"newer")
    assert DAMAGES["flipped"](random.Random(0), tmp_path, tmp_path).endswith(
        "checkpoints/8/state/d"
    )
    assert (tmp_path / "checkpoints" / "4" / "state" / "d").read_bytes() == b"all that there is"


def test_the_plan_is_the_seed(tmp_path):
    def drawn(seed, name="glow"):
        rng = driver.plan(name, seed)
        return [Moment.draw(rng, tmp_path, 20, left) for left in range(5)]

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1) and drawn(0) != drawn(0, "vae")
    assert all(1 <= m.step <= 20 for m in drawn(0))


def test_the_table_counts(tmp_path):
    out = tmp_path / "out.jsonl"
    moment = {"phase": "row", "how": "SIGKILL", "damage": "a torn line", "kind": "torn"}
    line = {"config": "glow", "seed": 0, "kills": 1, "damages": 1, "control": True}
    line |= {"differences": [], "moments": [moment, moment | {"phase": "missed", "damage": None}]}
    out.write_text(json.dumps(line) + "\n" + '{"config": "va')
    assert driver.table(driver.done(out)).endswith(
        "1 configs, 1 kills (1 SIGKILL), 1 damages, 1 of 1 the same; undisturbed twice: 1 the same."
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(driver.configs()))
def test_five_moments(starter, tmp_path, name):
    """Of every config, with data and compiled programs of its own: both get damaged."""
    row = driver.main([f"--configs={name}", f"--out={tmp_path / 'chaos.jsonl'}"])
    assert row == 0, (tmp_path / "chaos.jsonl").read_text()
