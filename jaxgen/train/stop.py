"""Being told to stop: SIGTERM of a scheduler, Ctrl-C of a person."""

from __future__ import annotations

import os
import signal
from typing import Any

import jax


class Stopped(RuntimeError):
    """The run was told to stop, and has saved."""

    def __init__(self, step: int, signum: int):
        """Args: train steps done and saved; the signal."""
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}")
        self.exit_code = 128 + signum


class StopSignal:
    """Remembers the first SIGTERM or SIGINT, to be acted on between steps.

    A second Ctrl-C ends the process at once. Under `jax.distributed` its own SIGTERM notifier
    makes all processes agree on one step; a Python handler would replace it, so none is set,
    and a Ctrl-C is handed on to the notifier.
    """

    def __init__(self) -> None:
        """Installs the handlers."""
        self._received: int | None = None
        self._several = jax.process_count() > 1
        self._calls = 0
        signal.signal(signal.SIGINT, self._remember)
        if not self._several:
            signal.signal(signal.SIGTERM, self._remember)

    def _remember(self, signum: int, frame: Any) -> None:
        if self._received is not None and signum == signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._received = signum
        if self._several:
            os.kill(os.getpid(), signal.SIGTERM)

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
