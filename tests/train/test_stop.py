"""Signals are acknowledged at once, whatever the main thread does, and a second one ends it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from jaxgen.train.stop import Stopped, StopSignal

# The main thread is in C, as while XLA compiles, and looks at no signals.
BUSY = """
import hashlib, sys
from jaxgen.train.stop import Stopped, StopSignal
stop = StopSignal()
print("busy", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10 ** int(sys.argv[1]))
print("done", flush=True)
try:
    stop.check(3)
except Stopped as stopped:
    print(stopped)
    sys.exit(stopped.exit_code)
"""


# a suite that was started in the background ignores SIGINT, and so would what it starts
COMMAND = """
import hashlib, signal, sys
from jaxgen.signals import interruptible
signal.signal(signal.SIGINT, signal.default_int_handler)
interruptible()
print("busy", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10 ** int(sys.argv[1]))
"""


@pytest.fixture
def code():
    """What `busy` runs."""
    return BUSY


@pytest.fixture
def busy(request, code):
    command = [sys.executable, "-c", code, str(request.param)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "busy\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("busy", [9], indirect=True)
def test_acknowledged_at_once_and_ended_by_the_second(busy):
    busy.send_signal(signal.SIGINT)
    start = time.monotonic()
    line = busy.stdout.readline()
    assert line.startswith("SIGINT: stopping after the step or compilation under way, then saving;")
    busy.send_signal(signal.SIGINT)
    assert busy.stdout.readline().startswith("stopped at once; the same command resumes")
    assert busy.wait(10) == 130
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("busy", [6], indirect=True)
@pytest.mark.parametrize(("signum", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_is_under_way_is_ended_first(busy, signum, status):
    busy.send_signal(signum)
    name = signum.name
    assert busy.stdout.readline().startswith(f"{name}: stopping")
    assert busy.stdout.readline() == "done\n"
    assert busy.stdout.readline() == f"stopped by {name} after step 3; nothing new to save\n"
    assert busy.wait(10) == status


@pytest.mark.parametrize("busy", [9], indirect=True)
@pytest.mark.parametrize("code", [COMMAND])
def test_a_command_with_nothing_to_save_ends_at_once(busy, code):
    time.sleep(0.5)  # until it is in C
    busy.send_signal(signal.SIGINT)
    start = time.monotonic()
    assert busy.wait(10) == 130 and time.monotonic() - start < 8


def test_in_a_process_that_lives_on_a_second_one_is_an_interruption():
    """As of `jaxgen.fit`: a notebook is not ended, nor is a first Ctrl-C heard by Python."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = StopSignal(ends=False)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        end = time.monotonic() + 10
        while stop.received() is None and time.monotonic() < end:
            time.sleep(0.001)
        assert stop.received() == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
    finally:
        stop.close()
        assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_signals_are_given_back():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    stop = StopSignal()
    stop.check(0)
    os.kill(os.getpid(), signal.SIGTERM)
    end = time.monotonic() + 10
    while stop.received() is None and time.monotonic() < end:
        time.sleep(0.001)
    with pytest.raises(Stopped):
        stop.check(0)
    stop.close()
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1
