"""How far a command is, on standard error: nothing for 3 seconds, then a line now and then.

A command runs within `shown`. What may take long in it says so by `stage`, `counted` or `track`,
which do nothing outside of it: the same functions are silent when they are called from Python. On
a terminal one line is rewritten, elsewhere there is a line every 10 seconds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeVar

SILENT = 3.0  # seconds before the first line
EVERY = 10.0  # seconds between lines, where they stay
REDRAWN = 0.25  # seconds between two states of the line of a terminal
CLEARED = "\r\x1b[K"

T = TypeVar("T")


@dataclasses.dataclass(eq=False)
class Task:
    """Something that takes its time.

    Attributes:
        what: is done, as "drawing".
        start: when it began, by the reporter's clock.
        total: of the units that it is made of, 0 where they are not counted.
        unit: what they are called.
        done: of them.
        begun: units and time when the first were done: compiling comes before, and is no measure.
    """

    what: str
    start: float
    total: int = 0
    unit: str = ""
    done: int = 0
    begun: tuple[int, float] | None = None

    def advance(self, count: int, now: float) -> None:
        """Units that were done since."""
        self.done = min(self.done + count, self.total)
        self.begun = self.begun or (self.done, now)

    def text(self, now: float) -> str:
        """How far it is."""
        so_far = f"{duration(now - self.start)} so far"
        if not self.total:
            return f"{self.what}, {so_far}"
        counts = f"{self.what}: {self.done:,} of {self.total:,} {self.unit}"
        left = self._left(now)
        return f"{counts}, {so_far if left is None else f'{duration(left)} left'}"

    def _left(self, now: float) -> float | None:
        """Seconds, None before there is anything to go by."""
        if self.begun is None:
            return None
        done, since = self.begun
        if self.done == done:  # the first ones alone
            done, since = 0, self.start
        return (now - since) * (self.total - self.done) / (self.done - done)


class Reporter:
    """Tells of the tasks that are under way; a thread of its own calls `tick`."""

    def __init__(self, name: str, stream: IO[str], clock: Callable[[], float] = time.monotonic):
        """Begins.

        Args:
            name: of the command, for what no task tells of.
            stream: to write to.
            clock: gives seconds.
        """
        self.clock, self._stream = clock, stream
        self._whole = Task(name, clock())
        self._tasks: list[Task] = []
        self._lock = threading.RLock()
        self._rewrites = stream.isatty()
        self._next = clock() + SILENT
        self._drawn = False

    def begin(self, what: str, total: int = 0, unit: str = "") -> Task:
        """Adds a task, to be given back to `end`."""
        task = Task(what, self.clock(), total, unit)
        with self._lock:
            self._tasks.append(task)
        return task

    def end(self, task: Task) -> None:
        """Takes it away."""
        with self._lock:
            self._tasks.remove(task)

    def tick(self) -> None:
        """Writes how far it is, if it is time."""
        with self._lock:
            now = self.clock()
            if now < self._next:
                return
            text = self._text(now)
            if self._rewrites:
                width = shutil.get_terminal_size().columns - 1
                self._next, text = now + REDRAWN, f"{CLEARED}{text[:width]}"
                self._drawn = True
            else:
                self._next, text = now + EVERY, f"{text}\n"
            with contextlib.suppress(OSError, ValueError):  # standard error is gone: not our errand
                self._stream.write(text)
                self._stream.flush()

    def _text(self, now: float) -> str:
        """Of the outermost task that is counted and has begun, after what it is a part of."""
        tasks = self._tasks or [self._whole]
        chosen = next((task for task in tasks if task.begun), tasks[-1])
        within = [task.what for task in tasks[: tasks.index(chosen)]]
        return ": ".join([*within, chosen.text(now)])

    def rest(self) -> None:
        """Tells of nothing more."""
        with self._lock:
            self.clear()
            self._next = math.inf

    def clear(self) -> None:
        """Takes the line of a terminal away, for something else to be written."""
        with self._lock:
            if self._drawn:
                self._drawn = False
                with contextlib.suppress(OSError, ValueError):
                    self._stream.write(CLEARED)
                    self._stream.flush()


class _Clearing:
    """A stream of a terminal that is written on a line of its own."""

    def __init__(self, stream: Any, clear: Callable[[], None]):
        self._stream, self._clear = stream, clear

    def write(self, text: str) -> int:
        self._clear()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


_reporter: Reporter | None = None


@contextlib.contextmanager
def shown(name: str) -> Iterator[None]:
    """Tells on standard error how far the tasks in the block are; within another block that does.

    Args:
        name: of the command.
    """
    global _reporter
    if _reporter is not None:
        yield
        return
    streams = sys.stdout, sys.stderr
    own = _reporter = Reporter(name, streams[1])
    over = threading.Event()

    def watch() -> None:
        while not over.wait(REDRAWN):
            own.tick()

    thread = threading.Thread(target=watch, daemon=True, name="progress")
    if streams[1].isatty():
        sys.stdout, sys.stderr = (
            _Clearing(s, own.clear) if s.isatty() else s for s in (streams[0], streams[1])
        )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        own.clear()
        sys.stdout, sys.stderr = streams
        _reporter = None


@contextlib.contextmanager
def stage(what: str) -> Iterator[None]:
    """Something that is not counted, as "restoring"."""
    with counted(what, 0, ""):
        yield


@contextlib.contextmanager
def counted(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Something of `total` units; gives the function that is told how many more are done."""
    reporter = _reporter
    if reporter is None:
        yield lambda count: None
        return
    task = reporter.begin(what, total, unit)
    try:
        yield lambda count: task.advance(count, reporter.clock())
    finally:
        reporter.end(task)


def track(
    items: Iterable[T], what: str, total: int, unit: str, count: Callable[[T], int] | None = None
) -> Iterator[T]:
    """The items; each counts as done when the next one is asked for.

    Args:
        items: to go through.
        what: is done with them.
        total: units of all of them.
        unit: what they are called.
        count: units of an item; None counts each as one.
    """
    with counted(what, total, unit) as advance:
        for item in items:
            yield item
            advance(1 if count is None else count(item))


def rest() -> None:
    """Tells of nothing more: from now on the command waits for people."""
    if _reporter is not None:
        _reporter.rest()


def remark(text: str) -> None:
    """Prints a line on standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)


def is_shown() -> bool:
    """Whether anybody is told."""
    return _reporter is not None


def duration(seconds: float) -> str:
    """3725 as "1:02:05", 65 as "1:05"."""
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
