"""The queue of the explorer, without JAX and without a clock."""

import threading

import pytest

from jaxgen.explorer.worker import MOST_JOBS, MOST_LANES, Busy, Superseded, Worker


@pytest.fixture
def worker():
    found = Worker()
    yield found
    found.close()


@pytest.fixture
def held(worker):
    """The worker is at something, until it is told to go on."""
    begun, on = threading.Event(), threading.Event()

    def wait():
        begun.set()
        assert on.wait(30)

    future = worker.job(wait)
    assert begun.wait(30)
    yield on
    on.set()
    future.result(30)


def test_of_a_hundred_events_the_newest_is_done(worker, held):
    done = []
    futures = [worker.newest("a", k, lambda k=k: done.append(k)) for k in range(100)]
    assert sum(not f.done() for f in futures) == 1  # never more than one waits
    held.set()
    futures[-1].result(30)
    assert done == [99]
    for future in futures[:-1]:
        with pytest.raises(Superseded):
            future.result(30)


def test_a_late_event_is_not_done(worker, held):
    done = []
    new = worker.newest("a", 5, lambda: done.append(5))
    old = worker.newest("a", 4, lambda: done.append(4))
    held.set()
    new.result(30)
    with pytest.raises(Superseded):
        old.result(30)
    assert done == [5]


def test_lanes_do_not_supersede_each_other_and_come_before_jobs(worker, held):
    done = []
    job = worker.job(lambda: done.append("job"))
    lanes = [worker.newest(name, 0, lambda name=name: done.append(name)) for name in "ab"]
    held.set()
    for future in (job, *lanes):
        future.result(30)
    assert done == ["a", "b", "job"]


def test_errors_are_those_of_the_call_and_the_worker_goes_on(worker):
    with pytest.raises(ZeroDivisionError):
        worker.job(lambda: 1 / 0).result(30)
    assert worker.job(lambda: 3).result(30) == 3


def test_what_nobody_waits_for_is_not_done(worker, held):
    done = []
    future = worker.newest("a", 0, lambda: done.append(0))
    assert future.cancel()  # its page was closed
    superseding = worker.newest("a", 1, lambda: done.append(1))
    assert worker.newest("b", 0, lambda: done.append("b")).cancel()
    held.set()
    superseding.result(30)
    assert worker.job(lambda: 3).result(30) == 3 and done == [1]


def test_too_much_is_refused(worker, held):
    futures = [worker.newest(f"{k}", 0, lambda: None) for k in range(MOST_LANES)]
    with pytest.raises(Busy):
        worker.newest("more", 0, lambda: None)
    futures += [worker.job(lambda: None) for _ in range(MOST_JOBS)]
    with pytest.raises(Busy):
        worker.job(lambda: None)
    held.set()
    for future in futures:
        future.result(30)
