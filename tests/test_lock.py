"""One writer a run directory: a second one is refused, and one that died is recognised."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest
from command import ROOT

from jaxgen import lock
from jaxgen.config import ConfigError
from jaxgen.files import WriteError
from jaxgen.lock import Lock

HOLD = """
import pathlib, sys, time
from jaxgen.lock import Lock
Lock(pathlib.Path(sys.argv[1]), say=print)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of `tmp_path / "run"`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def run(tmp_path):
    return tmp_path / "run"


def test_a_second_process_is_refused_and_told_whom_by(holder, run):
    with pytest.raises(ConfigError) as caught:
        Lock(run)
    said = f"{run} is in use by process {holder.pid} on {socket.gethostname()} since 20"
    assert str(caught.value).startswith(said) and "\n" not in str(caught.value)
    assert json.loads((run / "lock.json").read_text())["pid"] == holder.pid


def test_the_lock_of_a_killed_process_is_taken_over_and_said(holder, run):
    holder.kill()
    holder.wait()
    said = []
    Lock(run, said.append).release()
    assert len(said) == 1 and f"was left behind by process {holder.pid} on " in said[0]
    assert not (run / "lock.json").exists()


def test_the_same_process_is_refused_too_and_again_let_in(run):
    first = Lock(run)
    with pytest.raises(ConfigError, match=f"in use by process {os.getpid()} "):
        Lock(run)
    first.release()
    first.release()
    Lock(run, pytest.fail).release()
    assert not run.exists()  # it was made for the lock alone


def test_a_directory_with_something_in_it_stays(run):
    held = Lock(run)
    (run / "config.json").write_text("{}")
    held.release()
    assert [p.name for p in run.iterdir()] == ["config.json"]


def write(run, **changes):
    """A lock file that no living process holds in the kernel."""
    run.mkdir()
    mine = {"pid": 1, "host": "elsewhere", "start": 5, "boot": "another", "since": "2026-01-01"}
    (run / "lock.json").write_text(json.dumps(mine | changes))


def test_a_living_lock_of_another_machine_is_refused(run):
    write(run)
    with pytest.raises(ConfigError) as caught:
        Lock(run)
    for part in ("process 1 on elsewhere since 2026-01-01", "last sign of life is ", "delete"):
        assert part in str(caught.value)
    assert json.loads((run / "lock.json").read_text())["host"] == "elsewhere"


def test_a_silent_lock_of_another_machine_is_taken_over(run):
    write(run)
    past = time.time() - lock.STALE - 30
    os.utime(run / "lock.json", (past, past))
    said = []
    Lock(run, said.append).release()
    assert "was left behind by process 1 on elsewhere" in said[0]


def test_a_lock_from_before_a_reboot_is_taken_over(run):
    write(run, host=socket.gethostname(), pid=os.getpid())
    Lock(run, lambda text: None).release()


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", '{"pid": "x", "host": []}', "[" * 9999])
def test_a_damaged_lock_that_nobody_holds_is_taken(run, text):
    run.mkdir()
    (run / "lock.json").write_text(text)
    past = time.time() - lock.STALE - 30
    os.utime(run / "lock.json", (past, past))
    Lock(run, lambda text: None).release()


def test_without_locks_in_the_kernel_a_living_process_counts(holder, run, monkeypatch):
    """As on file systems that have none: by process, its start and the host."""

    def none(*args):
        raise OSError(lock.UNSUPPORTED[0], "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    with pytest.raises(ConfigError, match=f"in use by process {holder.pid} "):
        Lock(run)
    holder.kill()
    holder.wait()
    Lock(run, lambda text: None).release()


def test_the_number_of_a_process_that_was_given_anew_is_no_sign_of_life(run, monkeypatch):
    monkeypatch.setattr(lock, "UNSUPPORTED", (11,))  # whatever the kernel says
    write(run, host=socket.gethostname(), boot=lock._boot(), pid=os.getpid(), start=5)
    Lock(run, lambda text: None).release()


def test_its_holder_gives_signs_of_life_and_sees_when_it_was_taken(run, monkeypatch):
    monkeypatch.setattr(lock, "HEARTBEAT", 0.01)
    held = Lock(run)
    os.utime(held.path, (1, 1))
    end = time.monotonic() + 10
    while held.path.stat().st_mtime < 2:
        assert time.monotonic() < end
        time.sleep(0.01)
    held.check()
    held.path.unlink()
    other = Lock(run)
    with pytest.raises(ConfigError, match="another one may have taken the run over"):
        held.check()
    held.release()
    assert other.path.exists()
    other.release()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=f"write {tmp_path}/file/run/lock.json: Not a dir"):
        Lock(tmp_path / "file" / "run")
