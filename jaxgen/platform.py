"""What has to be said to JAX before it is imported."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pathlib
import stat
import sys
import tempfile
import threading
from importlib import metadata
from typing import Any

# Sends single convolutions and sums on CPU to the multi-threaded library. An XLA that does not know
# a flag aborts the process: only the versions named here were tried. See docs/performance.md.
FUSION_FLAG = "--xla_cpu_experimental_ynn_fusion_type"
FUSION_VALUE = "-individual_convolution,-reduce"
TRIED = ("0.10.2", "0.12.0.1")


def cache_home() -> pathlib.Path:
    """$XDG_CACHE_HOME, else ~/.cache; where neither can be written, a directory of this user alone.

    A container may run as a user without HOME and without an entry in the list of users.
    """
    chosen = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = pathlib.Path(os.path.expanduser(chosen))
    if path.is_absolute():
        with contextlib.suppress(OSError):
            path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK | os.X_OK):
            return path
    return _own_directory(str(path))


@functools.cache
def _own_directory(instead_of: str) -> pathlib.Path:
    """Below the temporary directory; nobody else may write it, for compiled programs lie in it."""
    uid = os.getuid() if hasattr(os, "getuid") else 0
    path = pathlib.Path(tempfile.gettempdir()) / f"jaxgen-{uid}"
    with contextlib.suppress(OSError):
        path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat() if path.exists() else None
    if (
        found is None
        or not stat.S_ISDIR(found.st_mode)
        or found.st_uid != uid
        or found.st_mode & 0o22
    ):
        path = pathlib.Path(tempfile.mkdtemp(prefix="jaxgen-"))
    os.environ.setdefault("MPLCONFIGDIR", str(path / "matplotlib"))
    print(
        f"note: {instead_of} cannot be written, caches are in {path} (set XDG_CACHE_HOME)",
        file=sys.stderr,
    )
    return path


def set_flags() -> None:
    """Sets a compilation cache that lasts, XLA's flags and BLAS's threads; what the user set wins.

    The BLAS that JAX borrows for small linear algebra on CPU keeps its threads spinning after
    every call, on the cores that XLA's threads want: it gets one.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_home() / "jaxgen" / "xla"))
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if metadata.version("jaxlib") in TRIED:
        os.environ["XLA_FLAGS"] = with_ours(os.environ.get("XLA_FLAGS", ""))


def set_defaults() -> None:
    """What a command sets: see `set_flags`; and silences the log lines of libraries.

    Orbax prints a page for each error that it raises, and asyncio thousands of lines for those
    that orbax does not ask for.
    """
    set_flags()
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    from absl import logging as absl_logging

    absl_logging.set_verbosity(absl_logging.FATAL)
    if not os.environ.get("JAXGEN_DEBUG"):
        _quiet_threads()


def with_ours(flags: str) -> str:
    """XLA's flags with those of ours that are not among them."""
    ours = {FUSION_FLAG: FUSION_VALUE}
    return " ".join([flags, *(f"{k}={v}" for k, v in ours.items() if k not in flags)]).strip()


def _quiet_threads() -> None:
    """What fails in a thread is said once, by who waits for it.

    Orbax and tensorstore print it as well, up to 300 lines around the one that helps.
    """
    of_main = sys.excepthook

    def hook(*error: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            of_main(*error)

    sys.excepthook = hook
    threading.excepthook = lambda args: None
    sys.unraisablehook = lambda args: None
