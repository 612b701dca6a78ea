"""The boundary of every command: a known error is one line, an unknown one a report to send."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import platform
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from importlib import metadata
from typing import NoReturn

from jaxgen.processes import PEER_DIED, leave, peer_died

INTERRUPTED, BROKEN_PIPE = 130, 141  # 128 + SIGINT, 128 + SIGPIPE, as shells report them

# Errors whose message is written for the user, and their exit codes. By name: an error that was
# raised has been imported, and a mistake on the command line must not import JAX.
KNOWN = {
    "jaxgen.errors.ConfigError": 2,
    "jaxgen.files.WriteError": 1,
    "jaxgen.data.dataset.DataError": 2,
    "jaxgen.train.checkpoint.CheckpointError": 1,
    "jaxgen.train.window.NonFinite": 1,
}
ADVICE = {
    errno.ENOSPC: "free some space, or choose another place",
    errno.EDQUOT: "your quota is used up: free some space, or choose another place",
    errno.EACCES: "you have no permission: choose another place, or ask its owner",
    errno.EPERM: "you have no permission: choose another place, or ask its owner",
    errno.EROFS: "nothing can be written there: choose another place",
    errno.EMFILE: "too many files are open: raise the limit with ulimit -n",
    errno.EIO: "the device or the network failed: try again",
    errno.ESTALE: "the network file system lost the file: try again",
}
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")


def guarded(action: Callable[[], int | None], unopened: int = 1) -> None:
    """Runs a command; does not return where its exit code is not 0.

    Args:
        action: the command; gives its exit code, None for 0.
        unopened: exit code where a checkpoint cannot be opened: 2 of commands that were told
            which one, as for any other argument.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # of a stream whose file was exchanged for a pipe
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        code = action()
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:  # as in `jaxgen models | head`
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())
        code = BROKEN_PIPE
    except Exception as error:
        refuse(error, unopened)
    if code:
        sys.exit(code)


def refuse(error: Exception, unopened: int = 1) -> NoReturn:
    """Ends the process with what `error` means to a user; JAXGEN_DEBUG=1 shows its traceback."""
    code, line = verdict(error)
    if any(kind.__name__ == "CheckpointError" for kind in type(error).__mro__):
        code = unopened
    if line is None:
        line = f"unexpected error: {_first(error)}: {_reported(error)}"
    leave(code, line, error)


def verdict(error: BaseException) -> tuple[int, str | None]:
    """The exit code of an error, and the line that explains it; None for one nobody foresaw."""
    if peer_died(error):
        first = " ".join(str(error.__cause__ or error).split())[:200]
        return PEER_DIED, (
            f"another process died ({first}); its own output says why. Start all of them again: "
            "the same command resumes from the newest checkpoint"
        )
    for kind in type(error).__mro__:
        if (code := KNOWN.get(f"{kind.__module__}.{kind.__qualname__}")) is not None:
            return code, str(error)
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)[:200]:
        return 1, (
            f"out of memory: {_first(error)}; take smaller batches "
            "(--config.train.batch_size, --batch) or fewer at a time (--num)"
        )
    if isinstance(error, OSError):
        return 1, _of_system(error)
    if "determine home directory" in str(error):  # of pathlib
        return 2, "~ is no place here, for there is no home directory: give the whole path"
    return 1, None


def _of_system(error: OSError) -> str:
    """What the system refused, where, and what to do."""
    where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    what = error.strerror or str(error) or type(error).__name__
    advice = ADVICE.get(error.errno or 0, "")
    return f"{where}{what}" + (f"; {advice}" if advice else "")


def _first(error: BaseException) -> str:
    """Its kind and the first line of its message, shortened."""
    lines = str(error).strip().splitlines() or [""]
    short = lines[0] if len(lines[0]) <= 200 else f"{lines[0][:200]}..."
    return f"{type(error).__name__}: {short}".rstrip(": ")


def _reported(error: BaseException) -> str:
    """Writes the report; says where it is."""
    try:
        handle, path = tempfile.mkstemp(prefix="jaxgen-error-", suffix=".txt")
        with open(handle, "w", errors="backslashreplace") as file:
            file.write(report(error))
    except OSError:
        return "no report could be written; JAXGEN_DEBUG=1 shows the traceback"
    return f"a report is in {path}; please send it (JAXGEN_DEBUG=1 shows the traceback)"


def report(error: BaseException) -> str:
    """Command, versions and traceback; of the environment nothing, of paths not the user's name."""
    from jaxgen import __version__

    found = [
        f"python {platform.python_version()} on {platform.platform()}",
        f"jaxgen {__version__}",
    ]
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} is missing")
    text = "\n".join(
        [
            f"time: {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
            f"command: {shlex.join(sys.argv)}",
            *found,
            "",
            "".join(traceback.format_exception(error)),
        ]
    )
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(pathlib.PurePath(home).parts) > 1 else text
