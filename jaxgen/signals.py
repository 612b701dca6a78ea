"""Hearing of signals at once: Python's handlers wait for the main thread, which may be in C."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

INTERRUPTED = 128 + signal.SIGINT
GRACE = 1.0  # seconds in which the main thread may end by itself, removing what is half-written


class Listener:
    """Tells a function of every signal that Python handles, from a thread of its own."""

    def __init__(self, hear: Callable[[int], None]):
        """Begins. To be called in the main thread.

        Args:
            hear: is given the number of each signal.
        """
        self._hear = hear
        self._source, self._sink = os.pipe()
        os.set_blocking(self._sink, False)
        self._before = signal.set_wakeup_fd(self._sink, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, daemon=True, name="signals").start()

    def _listen(self) -> None:
        with open(self._source, "rb", buffering=0) as source:
            while heard := source.read(1):
                self._hear(heard[0])

    def close(self) -> None:
        """Ends, and leaves the signals to whoever heard of them before."""
        signal.set_wakeup_fd(self._before)
        os.close(self._sink)


def interruptible() -> None:
    """Ctrl-C ends a command that has nothing to save, also while it compiles."""
    Listener(_end)


def _end(signum: int) -> None:
    if signum == signal.SIGINT:
        print("interrupted", file=sys.stderr, flush=True)
        time.sleep(GRACE)
        os._exit(INTERRUPTED)
