"""Rows, events and lines: what is written is what is read, and no step twice."""

import errno
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from jaxgen.files import WriteError
from jaxgen.rows import read
from jaxgen.train.log import (
    Compiling,
    MetricLog,
    duration,
    progress_line,
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


def test_a_resumed_run_moves_the_rows_that_it_writes_again(opened, path, capsys):
    log = opened()
    for step in (5, 10, 15):
        log.write(step, "train", {"loss": float(step)})
        log.write(step, "eval_test", {"bpd": float(step)})
    log.close()
    log = opened(resumed_at=10)
    log.write(15, "train", {"loss": 99.0})
    rows = read(path)
    assert [(r["step"], r["split"]) for r in rows] == [
        (5, "train"),
        (5, "eval_test"),
        (10, "train"),
        (10, "eval_test"),
        (15, "train"),
    ]
    assert rows[-1]["loss"] == 99
    again = path.with_name("metrics.again.jsonl")
    assert [(r["step"], r["split"]) for r in read(again)] == [(15, "train"), (15, "eval_test")]
    assert capsys.readouterr().out == (
        f"{path}: 2 rows of steps after 10, which are taken again, moved to metrics.again.jsonl\n"
    )
    assert {p.name for p in path.parent.iterdir()} == {"metrics.jsonl", "metrics.again.jsonl"}


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
    said = []
    assert [row["step"] for row in read(path, said.append)] == [1]
    assert said == [f"{path}: line 2 is no row of metrics and not used"]
    opened(resumed_at=2).write(3, "train", {"loss": 3.0})
    assert [row["step"] for row in read(path)] == [1, 3]
    assert len(path.read_text().splitlines()) == 2


ODD = {
    "number": b"17",
    "no step": b'{"a": 1}',
    "not UTF-8": b'{"step": 2, "split": "tr\xe9in", "loss": 1.0}',
    "torn": b'{"step": 2, "split": "tra',
    "list": b"[1, 2]",
    "deep": b"[" * 100_000,
    "step of a fraction": b'{"step": 2.5, "split": "train"}',
    "step below zero": b'{"step": -1, "split": "train"}',
    "true step": b'{"step": true, "split": "train"}',
    "nested value": b'{"step": 2, "split": "train", "loss": [1]}',
    "text": b'{"step": 2, "split": "train", "loss": "low"}',
    "null bytes": b"\x00\x00\x00",
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_odd_line_blocks_nothing_and_is_kept(opened, path, capsys, odd, place):
    log = opened()
    for step in (1, 2):
        log.write(step, "train", {"loss": float(step), "other": math.nan})
    log.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:place], ODD[odd] + b"\n", *lines[place:]]))
    assert [row["step"] for row in read(path)] == [1, 2]
    named = f"{path}: line {place + 1} is no row of metrics"
    assert capsys.readouterr().err == f"{named} and not used\n"
    opened(resumed_at=2)
    assert capsys.readouterr().out == f"{named}, moved to metrics.rejected.jsonl\n"
    assert path.read_bytes() == b"".join(lines)
    assert path.with_name("metrics.rejected.jsonl").read_bytes() == ODD[odd] + b"\n"


def test_what_was_moved_before_stays(opened, path):
    for text in (b"17\n", b"18"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text)
        opened(resumed_at=2)
    assert path.with_name("metrics.rejected.jsonl").read_bytes() == b"17\n18\n"


def test_a_file_in_order_is_left_as_it_is(opened, path):
    log = opened()
    log.write(1, "train", {"loss": 1.0})
    log.close()
    before = path.stat()
    opened(resumed_at=1)
    assert path.stat() == before and len(list(path.parent.iterdir())) == 1


class Full:
    """A file that takes so many bytes more, and then none, as on a full disk."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        taken = self.file.write(data[: self.room]) if self.room else 0
        self.room -= taken
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return taken


@pytest.mark.parametrize("room", [0, 10])
def test_a_row_that_cannot_be_written_leaves_no_part_of_it(opened, path, room):
    log = opened()
    log.write(1, "train", {"loss": 1.0})
    before = path.read_bytes()
    log._file = Full(log._file, room)
    with pytest.raises(WriteError) as caught:
        log.write(2, "train", {"loss": 2.0})
    assert path.read_bytes() == before
    message = str(caught.value)
    assert message.startswith(f"could not write {path}: No space left on device (")
    assert " B to write, " in message and f" free in {path.parent}" in message


def test_events_that_cannot_be_written_are_said_and_left_out(opened, path, tmp_path, capsys):
    """Once; the rows go on."""
    log = opened()

    def fail(event):
        raise OSError(errno.EFBIG, "File too large")

    log._events._writer.write_event = fail
    for step in (1, 2):
        log.write(step, "train", {"loss": 1.0})
        log.picture(step, np.zeros((4, 4, 3), np.uint8))
    assert len(read(path)) == 2
    out = capsys.readouterr().out
    assert out.startswith(
        f"going on without TensorBoard: could not write to {tmp_path}/tb: File too"
    )
    assert out.count("\n") == 1 and "ulimit -f" in out


def test_a_place_without_events_costs_no_more_than_them(tmp_path, capsys):
    (tmp_path / "tb").touch()
    log = MetricLog(tmp_path / "metrics.jsonl", tmp_path / "tb", 0)
    log.write(1, "train", {"loss": 1.0})
    log.close()
    assert len(read(tmp_path / "metrics.jsonl")) == 1
    assert "going on without TensorBoard" in capsys.readouterr().out


def test_no_file_has_no_rows(tmp_path):
    assert read(tmp_path / "absent") == []


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
from jaxgen.files import WriteError
from jaxgen.rows import read
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
