"""Preparing once: whoever comes first, nothing half-made, also without locks."""

import threading
import time

import pytest

from jaxgen import files
from jaxgen.data import DataError, prepare


def fill_slowly(calls):
    def fill(work):
        calls.append(work)
        (work / "a").write_text("half")
        time.sleep(0.05)
        (work / "a").write_text("whole")

    return fill


def race(target, calls, count=4):
    seen = []

    def run():
        prepare.prepare_once(target, fill_slowly(calls))
        seen.append((target / "a").read_text())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["whole"] * count
    assert [p.name for p in target.parent.iterdir() if p.is_dir() and p != target] == []


def test_the_others_wait_for_the_first(tmp_path):
    calls = []
    race(tmp_path / "set" / "1.0.0", calls)
    assert len(calls) == 1


def test_the_rename_is_enough_where_locks_do_not_work(tmp_path, monkeypatch):
    import fcntl

    def no_locks(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    race(tmp_path / "set" / "1.0.0", [])


def test_a_failure_leaves_nothing(tmp_path):
    target = tmp_path / "set" / "1.0.0"

    def fail(work):
        (work / "a").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        prepare.prepare_once(target, fail)
    assert [p.name for p in target.parent.iterdir()] == [".1.0.0.lock"]
    prepare.prepare_once(target, fill_slowly([]))
    assert (target / "a").read_text() == "whole"


def test_a_directory_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
    with pytest.raises(DataError, match="cannot prepare data in .*JAXGEN_DATA_DIR=DIR"):
        prepare.prepare_once(tmp_path / "set", fill_slowly([]))
