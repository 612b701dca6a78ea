"""Rows, events and lines: what is written is what is read, and no step twice."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from jaxgen.train.log import (
    Compiling,
    MetricLog,
    duration,
    progress_line,
    read_lines,
    say,
    silent,
)


@pytest.fixture
def opened(tmp_path):
    """opened(resumed_at): a log in the same directory each time; all are closed at the end."""
    logs = []

    def opened(resumed_at=0) -> MetricLog:
        logs.append(MetricLog(tmp_path / "run/metrics.jsonl", tmp_path / "tb", resumed_at))
        return logs[-1]

    yield opened
    for log in logs:
        log.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run/metrics.jsonl"


def test_rows(opened, path):
    log = opened()
    log.write(10, "train", {"loss": np.float32(0.5), "n": 3})
    log.write(10, "eval_test", {"bpd": 2.0})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 10, "split": "train", "loss": 0.5, "n": 3.0},
        {"step": 10, "split": "eval_test", "bpd": 2.0},
    ]


def test_every_row_is_on_disk_at_once(opened, path):
    log = opened()
    for step in (1, 2):
        log.write(step, "train", {"loss": 1.0})
        assert len(path.read_text().splitlines()) == step


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_string(opened, path, value):
    opened().write(1, "train", {"loss": value, "other": 1.0})

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    row = json.loads(path.read_text(), parse_constant=refuse)
    assert row["loss"] == str(value) and row["other"] == 1.0


def test_a_resumed_run_cuts_the_rows_that_it_writes_again(opened, path):
    log = opened()
    for step in (5, 10, 15):
        log.write(step, "train", {"loss": float(step)})
        log.write(step, "eval_test", {"bpd": float(step)})
    log.close()
    log = opened(resumed_at=10)
    log.write(15, "train", {"loss": 99.0})
    rows = read_lines(path)
    assert [(r["step"], r["split"]) for r in rows] == [
        (5, "train"),
        (5, "eval_test"),
        (10, "train"),
        (10, "eval_test"),
        (15, "train"),
    ]
    assert rows[-1]["loss"] == 99
    assert [p.name for p in path.parent.iterdir()] == ["metrics.jsonl"]


def test_a_new_run_starts_empty(opened, path):
    log = opened()
    log.write(5, "train", {"loss": 1.0})
    log.close()
    opened(resumed_at=0)
    assert path.read_text() == ""


@pytest.mark.parametrize("keep", [1, 10, 40, -2])
def test_a_torn_last_line_is_left_out(opened, path, keep):
    log = opened()
    log.write(1, "train", {"loss": 1.0})
    log.write(2, "train", {"loss": 2.0, "grad_norm": 3.0})
    log.close()
    first, second = path.read_text().splitlines()
    path.write_text(first + "\n" + second[:keep])
    assert [row["step"] for row in read_lines(path)] == [1]
    opened(resumed_at=2).write(3, "train", {"loss": 3.0})
    assert [row["step"] for row in read_lines(path)] == [1, 3]
    assert len(path.read_text().splitlines()) == 2


def test_no_file_has_no_rows(tmp_path):
    assert read_lines(tmp_path / "absent") == []


def events(directory):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(directory))
    accumulator.Reload()
    return accumulator


def test_tensorboard_reads_the_events(opened, tmp_path):
    log = opened()
    for step in (1, 2):
        log.write(step, "train", {"loss": 0.5 * step})
    image = np.zeros((4, 6, 3), np.uint8)
    image[1] = 200
    log.picture(2, image)
    log.close()
    read = events(tmp_path / "tb")
    assert [(e.step, e.value) for e in read.Scalars("train/loss")] == [(1, 0.5), (2, 1.0)]
    (drawn,) = read.Images("samples")
    assert (drawn.step, drawn.height, drawn.width) == (2, 4, 6)


def test_tensorboard_forgets_the_events_that_are_written_again(opened, tmp_path):
    log = opened()
    for step in (1, 2, 3):
        log.write(step, "train", {"loss": 1.0})
    log.close()
    log = opened(resumed_at=2)
    log.write(3, "train", {"loss": 7.0})
    log.close()
    read = events(tmp_path / "tb").Scalars("train/loss")
    assert [(e.step, e.value) for e in read] == [(1, 1.0), (2, 1.0), (3, 7.0)]


LOG_WITHOUT_TENSORFLOW = """
import pathlib, sys
sys.modules["tensorflow"] = None
from jaxgen.train.log import MetricLog
heavy = {"tensorboardX", "rich", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
log = MetricLog(pathlib.Path(sys.argv[1]) / "m.jsonl", pathlib.Path(sys.argv[1]) / "tb", 0)
log.write(1, "train", {"loss": 1.0})
log.close()
"""


def test_tensorflow_is_not_needed(tmp_path):
    command = [sys.executable, "-c", LOG_WITHOUT_TENSORFLOW, str(tmp_path)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert out.returncode == 0, out.stderr
    assert list((tmp_path / "tb").glob("events*"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.6, "1:00"), (65, "1:05"), (3599.6, "1:00:00"), (3725, "1:02:05"),
     (90000, "25:00:00")],
)  # fmt: skip
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_progress_line():
    line = progress_line(
        50, 4000, {"bpd": 1.23456, "grad_norm": 0.00123}, {"test/bpd": 2.0}, 12345.6, 65.0
    )
    assert line == (
        "step   50/4000  bpd 1.235  grad_norm 0.00123  test/bpd 2.000  12,346 images/s  ETA 1:05"
    )


def test_say_and_silence(capsys):
    say("hello")
    silent("nothing")
    assert capsys.readouterr().out == "hello\n"


def test_compiling_says_so_and_for_how_long(capsys):
    with Compiling("the step"):
        assert capsys.readouterr().out == "compiling the step ...\n"
    out = capsys.readouterr().out
    assert out.startswith("compiled the step in ") and out.endswith(" s\n")
    with Compiling("the step", quiet=True):
        pass
    with pytest.raises(KeyError), Compiling("the step"):
        raise KeyError
    assert "compiled" not in capsys.readouterr().out
