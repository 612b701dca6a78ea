"""One thread that draws: of what a page asks for in a hurry, the newest alone is done."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

MOST_LANES, MOST_JOBS = 64, 8


class Superseded(Exception):
    """Something newer was asked for before this was begun."""


class Busy(Exception):
    """Too much is waiting already."""


class Worker:
    """A thread of its own, to which all that JAX does is given.

    There is a lane for each page. A lane holds one call that waits: a newer one takes its place.
    Jobs are done in order, each when no lane waits.
    """

    def __init__(self) -> None:
        self._waiting: collections.OrderedDict[str, tuple[Future[Any], Callable[[], Any]]]
        self._waiting = collections.OrderedDict()
        self._newest: collections.OrderedDict[str, int] = collections.OrderedDict()
        self._jobs: collections.deque[tuple[Future[Any], Callable[[], Any]]] = collections.deque()
        self._changed, self._over = threading.Condition(), False
        self._thread = threading.Thread(target=self._work, daemon=True, name="drawing")
        self._thread.start()

    def newest(self, lane: str, number: int, call: Callable[[], Any]) -> Future[Any]:
        """Does a call, unless a newer one of its lane comes before it has begun.

        Args:
            lane: of the page.
            number: of the call: later ones have larger numbers.
            call: what is done.

        Returns:
            What it gives; raises `Superseded` where it was not done.

        Raises:
            Busy: when too many lanes wait.
        """
        future: Future[Any] = Future()
        with self._changed:
            if number <= self._newest.get(lane, -1):
                future.set_exception(Superseded())
                return future
            if lane not in self._waiting and len(self._waiting) >= MOST_LANES:
                raise Busy
            self._newest[lane] = number
            self._newest.move_to_end(lane)
            while len(self._newest) > 2 * MOST_LANES:
                self._newest.popitem(last=False)
            if lane in self._waiting and _begun(self._waiting[lane][0]):
                self._waiting[lane][0].set_exception(Superseded())
            self._waiting[lane] = future, call
            self._changed.notify()
        return future

    def job(self, call: Callable[[], Any]) -> Future[Any]:
        """Does a call that nothing supersedes.

        Raises:
            Busy: when too many wait.
        """
        future: Future[Any] = Future()
        with self._changed:
            if len(self._jobs) >= MOST_JOBS:
                raise Busy
            self._jobs.append((future, call))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Ends after what is being done."""
        with self._changed:
            self._over = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._over or self._waiting or self._jobs):
                    self._changed.wait()
                if self._over:
                    return
                if self._waiting:
                    future, call = self._waiting.popitem(last=False)[1]
                else:
                    future, call = self._jobs.popleft()
            if not _begun(future):
                continue
            try:
                found = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(found)


def _begun(future: Future[Any]) -> bool:
    """Whether somebody waits for it: a page that was closed does not."""
    return future.set_running_or_notify_cancel()
