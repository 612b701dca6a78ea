"""Being told to stop: SIGTERM of a scheduler, Ctrl-C of a person."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from typing import Any

from jaxgen.processes import several
from jaxgen.signals import INTERRUPTED, Listener


class Stopped(RuntimeError):
    """The run was told to stop, and has saved what there was."""

    def __init__(self, step: int, signum: int, left: str = "saved"):
        """Args: train steps done; the signal; what became of them."""
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}; {left}")
        self.exit_code = 128 + signum


class StopSignal:
    """Remembers the first SIGTERM or SIGINT, to be acted on between steps, and says so at once.

    A compilation may hold the main thread for minutes, therefore the `Listener`. A second Ctrl-C
    ends the process at once; what is on disk is whole at any moment. In a process that lives on,
    as a notebook, it raises KeyboardInterrupt instead. Outside of the main thread, where Python
    takes no handlers, nothing is heard.

    Under `jax.distributed` its own SIGTERM notifier makes all processes agree on one step; a
    Python handler would replace it, so none is set, and a Ctrl-C is handed on to the notifier.
    """

    def __init__(self, ends: bool = True) -> None:
        """Installs the handlers.

        Args:
            ends: whether a second Ctrl-C ends the process.
        """
        self._received: int | None = None
        self._several, self._ends = several(), ends
        self._calls = self._handled = 0
        signums = [signal.SIGINT] if self._several else [signal.SIGINT, signal.SIGTERM]
        if threading.current_thread() is not threading.main_thread():
            signums = []
        self._before = {s: signal.signal(s, self._handle) for s in signums}
        self._listener = Listener(self._hear) if signums else None

    def _handle(self, signum: int, frame: Any) -> None:
        """In the main thread, as soon as Python is back in it."""
        self._handled += 1
        if not self._ends and self._handled > 1 and signum == signal.SIGINT:
            raise KeyboardInterrupt

    def _hear(self, signum: int) -> None:
        if signum not in self._before:
            return
        if self._received is None:
            self._received = signum
            print(
                f"{signal.Signals(signum).name}: stopping after the step or compilation under way, "
                "then saving; Ctrl-C stops at once, and loses the steps since the last checkpoint",
                flush=True,
            )
            if self._several:
                os.kill(os.getpid(), signal.SIGTERM)
        elif signum == signal.SIGINT and self._ends:
            print("stopped at once; the same command resumes from the newest checkpoint")
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.flush()
            os._exit(INTERRUPTED)

    def close(self) -> None:
        """Gives the signals back to those that had them."""
        if self._listener:
            self._listener.close()
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def received(self) -> int | None:
        """The signal that all processes have agreed to act on now, or None.

        All of them call it equally often; it is by the number of calls that they agree.
        """
        if not self._several:
            return self._received
        from jax.experimental import multihost_utils

        self._calls += 1
        agreed = multihost_utils.reached_preemption_sync_point(self._calls)
        return (self._received or signal.SIGTERM) if agreed else None

    def check(self, step: int) -> None:
        """For moments at which there is nothing to save.

        Raises:
            Stopped: when told to stop.
        """
        if (signum := self.received()) is not None:
            raise Stopped(step, signum, "nothing new to save")
