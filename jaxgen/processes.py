"""Several processes: how they join, and how they end together."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

from jaxgen.config import ConfigError

PEER_DIED = 134  # also the code of the SIGABRT with which JAX ends the survivors
JOIN_TIMEOUT = 300  # seconds
OWN_FAULT = ("RESOURCE_EXHAUSTED", "INVALID_ARGUMENT")  # errors of XLA that no peer causes


def explicit(flags: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `join` from flags, the process id also from the environment.

    Raises:
        ConfigError: naming what is missing, or a number that does not fit.
    """
    given = dict(flags)
    if given["process_id"] is None and (text := os.environ.get("JAXGEN_PROCESS_ID")):
        if not (text.isascii() and text.isdigit()):
            raise ConfigError(f"JAXGEN_PROCESS_ID={text!r}, expected a number")
        given["process_id"] = int(text)
    missing = [f"--{k}" for k, v in given.items() if v is None]
    if missing:
        raise ConfigError(f"--distributed=explicit needs {', '.join(missing)}")
    if not 0 <= given["process_id"] < given["num_processes"]:
        raise ConfigError(
            f"--process_id={given['process_id']}, expected 0 to {given['num_processes'] - 1}"
        )
    return given


def join(heartbeat_timeout: int, **options: Any) -> None:
    """Joins the other processes, and says what happens when one is missing or dies.

    JAX ends those that are left with a SIGABRT, after which no Python runs: the advice comes first.

    Args:
        heartbeat_timeout: seconds after which a silent process counts as dead.
        **options: of `jax.distributed.initialize`; none detects Slurm, Open MPI and TPUs.

    Raises:
        ConfigError: when nothing can be detected.
    """
    import jax

    where = options.get("coordinator_address", "the cluster's coordinator")
    print(f"waiting up to {JOIN_TIMEOUT} s for all processes to meet at {where} ...", flush=True)
    try:
        jax.distributed.initialize(
            heartbeat_timeout_seconds=heartbeat_timeout,
            initialization_timeout=JOIN_TIMEOUT,
            **options,
        )
    except ValueError as error:
        raise ConfigError(
            f"--distributed=auto detects no cluster here ({error}); use --distributed=explicit"
        ) from error
    print(
        f"process {jax.process_index()} of {jax.process_count()} on {socket.gethostname()}; if one "
        f"dies, the others end within {heartbeat_timeout} s or little more, with exit code "
        f"{PEER_DIED}: see its own output, then start all of them again to resume",
        flush=True,
    )


@contextlib.contextmanager
def together(own: Callable[[], Any]) -> Iterator[Any]:
    """Holds for all processes what the first of them can hold: it enters `own()`.

    Yields:
        What that gives to the first; None to the others.

    Raises:
        ConfigError: in the others, when the first was refused; there, whatever refused it.
    """
    import jax
    import numpy as np
    from jax.experimental import multihost_utils

    first, error, found = jax.process_index() == 0, None, None
    with contextlib.ExitStack() as held:
        if first:
            try:
                found = held.enter_context(own())
            except Exception as refusal:
                error = refusal
        if not multihost_utils.broadcast_one_to_all(np.asarray(error is None)):
            raise error or ConfigError("process 0 was refused the run directory: see its output")
        yield found


def several() -> bool:
    """Whether this process has joined others."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def peer_died(error: BaseException) -> bool:
    """Whether an error came from talking to the others, by itself or as the cause of another."""
    if not several():
        return False
    import jax

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, jax.errors.JaxRuntimeError):
            return not str(cause).startswith(OWN_FAULT)
        cause = cause.__cause__
    return False


def leave(code: int, message: str | None, error: BaseException | None = None) -> NoReturn:
    """Ends the process after one line.

    Where there are other processes the interpreter's clean-up is left out: it would wait for
    them, while they wait for this one.

    Args:
        code: of the exit.
        message: the line; without one the traceback is printed.
        error: whose traceback is printed under JAXGEN_DEBUG=1 too.
    """
    who = ""
    if several():
        import jax

        who = f"process {jax.process_index()}: "
    if error is not None and (message is None or os.environ.get("JAXGEN_DEBUG")):
        traceback.print_exception(error)
    summary = message or f"unexpected, see the traceback: {type(error).__name__}"
    print(f"jaxgen: error: {who}{summary}", file=sys.stderr, flush=True)
    if who:
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
