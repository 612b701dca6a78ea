"""Two processes on loopback: the same numbers as one, one set of files, and they end together."""

import os
import signal
import socket
import time

import numpy as np
import pytest
from command import GLOW, ROOT, TINY, has_row, rows, saved

RUN = (TINY, "--config.train.log_every_steps=1")
ENDLESS = (*RUN, "--config.train.steps=100000", "--config.evaluate.every_steps=0")
BOUND = 60  # seconds within which a survivor must end: heartbeat and shutdown of JAX
ADVICE = "start all of them again to resume"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def pair(starter):
    """pair(*argv, **options): two processes of 4 devices each; `second` changes the second's."""
    jobs = []

    def start(*argv, second=None, **options):
        flags = (
            "--distributed=explicit",
            f"--coordinator_address=127.0.0.1:{free_port()}",
            "--num_processes=2",
            "--heartbeat_timeout=5",
        )
        for i, more in enumerate(({}, second or {})):
            process = (*argv, *flags, f"--process_id={i}")
            jobs.append(starter.start(*process, devices=4, **options | more))
        return jobs

    yield start
    for job in jobs:
        if job.code is None:
            os.kill(job.pid, signal.SIGKILL)
            job.wait()


def printed(job):
    """Lines that it printed, but for Gloo's from C++, which cut one another, also to empty ones."""
    said = ("[Gloo]", "connected peer ranks")
    return [n for n in job.out.splitlines() if n.strip() and not any(s in n for s in said)]


def losses(workdir):
    return np.array([row["model/loss"] for row in rows(workdir, "train")])


SHALLOW = (GLOW, "--config.model.levels=1", "--config.model.depth=1", *RUN[1:])


@pytest.mark.parametrize(
    ("run", "devices"),
    [
        pytest.param(RUN, 1, id="nice-1"),
        # begins with the moments of the whole batch; by default models/test_glow.py on a mesh
        pytest.param(SHALLOW, 1, id="glow-1", marks=pytest.mark.slow),
        pytest.param(SHALLOW, 8, id="glow-8", marks=pytest.mark.slow),
    ],
)
def test_equals_one_process_and_resumes_as_one(starter, pair, tmp_path, run, devices):
    one = starter.run(*run, f"--workdir={tmp_path / 'one'}", devices=8)
    both = tmp_path / "both"
    first, second = pair(*run, "--config.train.steps=10", f"--workdir={both}")
    first.wait(0), second.wait(0)
    assert "on 8 x cpu" in first.out
    assert first.out.count("finished: ") == 1
    assert ADVICE in first.out
    assert printed(second)[2:] == []  # that it joins, and what to do if one dies
    assert saved(both) == [10]
    assert len(list(both.glob("tensorboard/*"))) == 1
    np.testing.assert_allclose(losses(both), losses(one.workdir)[:10], rtol=1e-5)
    resumed = starter.run(*run, f"--workdir={both}", devices=devices)
    assert "resumed at step 10 of 20" in resumed.out
    np.testing.assert_allclose(losses(both), losses(one.workdir), rtol=1e-5)


@pytest.mark.parametrize(
    ("victim", "signum"),
    [
        (1, signal.SIGKILL),
        pytest.param(0, signal.SIGKILL, marks=pytest.mark.slow),
        pytest.param(1, signal.SIGSTOP, marks=pytest.mark.slow),
    ],
)
def test_a_lost_process_ends_the_other(pair, tmp_path, victim, signum):
    jobs = pair(*ENDLESS, f"--workdir={tmp_path}")
    jobs[0].until(has_row(tmp_path, 15))
    jobs[victim].kill(signum)
    start = time.monotonic()
    survivor = jobs[1 - victim].wait(limit=BOUND)
    assert time.monotonic() - start < BOUND
    assert survivor.code in (134, -signal.SIGABRT)  # the latter is 134 to a shell
    assert ADVICE in survivor.out
    # by jaxgen, by JAX as it aborts, by Gloo where it finds a message of another size first
    said = ("another process died", "another task died", "gloo::EnforceNotMet")
    assert any(text in survivor.err for text in said), survivor.err[-3000:]
    assert saved(tmp_path)[-1] >= 10


@pytest.mark.slow
def test_a_second_job_is_refused_whole(pair, tmp_path):
    """The first process holds the run directory for all, and the others are told."""
    jobs = pair(*ENDLESS, f"--workdir={tmp_path}")[:]
    jobs[0].until(has_row(tmp_path, 2))
    first, second = pair(*ENDLESS, f"--workdir={tmp_path}")[2:]
    assert f"{tmp_path} is in use by process {jobs[0].pid} on " in first.wait(2, limit=BOUND).error
    assert "process 0 was refused the run directory" in second.wait(2, limit=BOUND).error
    jobs[1].kill(signal.SIGTERM)
    for job in jobs:
        job.wait(143, limit=BOUND)


@pytest.mark.slow
def test_sigterm_to_one_saves_and_stops_both(pair, tmp_path):
    jobs = pair(*ENDLESS, "--config.train.steps_per_dispatch=3", f"--workdir={tmp_path}")
    jobs[0].until(has_row(tmp_path, 15))
    jobs[1].kill(signal.SIGTERM)
    for job in jobs:
        job.wait(143, limit=BOUND)
    assert jobs[0].out.count("stopped by SIGTERM after step") == 1
    assert f"after step {saved(tmp_path)[-1]}; saved" in jobs[0].out
    assert "stopped by" not in jobs[1].out


@pytest.mark.slow
def test_ctrl_c_to_both(pair, tmp_path):
    jobs = pair(*ENDLESS, f"--workdir={tmp_path}")
    jobs[0].until(has_row(tmp_path, 15))
    for job in jobs:
        job.kill(signal.SIGINT)
    for job in jobs:
        job.wait(130, limit=BOUND)
    assert f"stopped by SIGINT after step {saved(tmp_path)[-1]}; saved" in jobs[0].out


CONFIG = """
import runpy

def get_config():
    c = runpy.run_path({glow!r})["get_config"]("digits,tiny")
    with c.unlocked():
        c.data.update(name="folder:photos", in_memory_mb=0)
    return c
"""


@pytest.mark.parametrize(
    "when", [pytest.param("at the start", marks=pytest.mark.slow), "while training"]
)
@pytest.mark.slow
def test_an_error_of_one_ends_the_other(pair, write_images, tmp_path, when):
    here, there, workdir = (tmp_path / name for name in ("here", "there", "run"))
    write_images(here / "photos")
    there.mkdir()
    if when == "while training":
        write_images(there / "photos")
    config = tmp_path / "photos.py"
    config.write_text(CONFIG.format(glow=str(ROOT / "configs/glow.py")))
    flags = (f"--config={config}", *ENDLESS[1:], f"--workdir={workdir}")
    jobs = pair(*flags, cwd=here, second={"cwd": there})
    if when == "while training":
        jobs[0].until(has_row(workdir, 15))
        for path in there.glob("photos/*"):
            path.write_bytes(path.read_bytes()[:60])
    jobs[1].wait(2, limit=BOUND)
    assert jobs[1].error.startswith("process 1: ")
    assert ("damaged image" if when == "while training" else "no such file") in jobs[1].error
    jobs[0].wait(limit=BOUND)
    assert jobs[0].code in (134, -signal.SIGABRT)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num_processes=2",), "needs --coordinator_address, --process_id"),
        (
            ("--coordinator_address=h:1", "--num_processes=2", "--process_id=2"),
            "--process_id=2, expected 0 to 1",
        ),
    ],
)
def test_flags(refused, tmp_path, flags, message):
    assert message in refused(*RUN, "--distributed=explicit", *flags, f"--workdir={tmp_path}")


def test_auto_without_a_cluster(starter, tmp_path):
    job = starter.run(*RUN, "--distributed=auto", f"--workdir={tmp_path}", code=2)
    assert "--distributed=auto detects no cluster here" in job.error
