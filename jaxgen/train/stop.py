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
    makes all processes agree on one step; a Python handler would replace it, so none is set.
    """

    def __init__(self) -> None:
        """Installs the handlers."""
        self._received: int | None = None
        for signum in (signal.SIGTERM, signal.SIGINT):
            if not (jax.process_count() > 1 and signum == signal.SIGTERM):
                signal.signal(signum, self._remember)

    def _remember(self, signum: int, frame: Any) -> None:
        if self._received is not None and signum == signal.SIGINT:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._received = signum

    def received(self, step: int) -> int | None:
        """The signal that all processes have agreed to act on after `step`, or None."""
        if jax.process_count() == 1:
            return self._received
        from jax.experimental import multihost_utils

        return signal.SIGTERM if multihost_utils.reached_preemption_sync_point(step) else None
