"""One process, or one job of several, writes a run directory.

The lock is a file that its holder keeps locked in the kernel (`flock`) and touches at intervals.
On one machine the kernel knows whether the holder lives. A holder on another machine counts as
gone when the file was not touched for `STALE` seconds, by the clock of the file system. A holder
that finds its file taken, as after hours asleep, must stop: see `Lock.check`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from jaxgen.config import ConfigError
from jaxgen.files import WriteError

NAME = "lock.json"
HEARTBEAT = 20.0  # seconds between touches
STALE = (
    300.0  # beyond the caches of network file systems, and a process that is stopped for a while
)
UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


class Lock:
    """Of a run directory, held from creation to `release`."""

    def __init__(self, directory: pathlib.Path, say: Callable[[str], None] = print):
        """Takes it; creates the directory.

        Args:
            directory: of the run.
            say: is told that a stale lock was taken over.

        Raises:
            ConfigError: when another process holds it, naming process, host and time.
            WriteError: when the directory cannot be made or written.
        """
        self.path, self._say = directory / NAME, say
        self._made = [p for p in (directory, *directory.parents) if not p.exists()]
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._take()
        except OSError as error:
            if not isinstance(error, WriteError):
                raise WriteError(self.path, error) from error
            raise
        self._done = threading.Event()
        threading.Thread(target=self._beat, daemon=True, name="lock").start()

    def _take(self) -> None:
        import fcntl

        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                kernel = True
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    holder = _holder(handle)
                    os.close(handle)
                    raise ConfigError(self._refusal(holder, None)) from None
                kernel = False
            if _same(handle, self.path):
                break
            os.close(handle)  # its holder has just released it
        try:
            self._check_holder(handle, _holder(handle), kernel)
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(_about_us(), indent=1).encode() + b"\n", 0)
        except BaseException:
            os.close(handle)
            raise
        self._handle = handle

    def _check_holder(self, handle: int, holder: dict[str, Any], kernel: bool) -> None:
        """Whether a lock that the kernel gave away is free; what is said when it was left behind.

        Raises:
            ConfigError: when its holder lives elsewhere, as far as one can see.
        """
        if not holder:
            return
        here = holder.get("boot") == _boot() or holder.get("host") == socket.gethostname()
        alive = not kernel and here and _start(holder.get("pid")) == holder.get("start")
        age = None if here else self._age(handle)
        if alive or (age is not None and age < STALE):
            raise ConfigError(self._refusal(holder, age))
        self._say(f"{self.path} was left behind by {_named(holder)}, which has ended: taken over")

    def _age(self, handle: int) -> float:
        """Seconds since it was touched, by the clock of the file system."""
        with tempfile.TemporaryFile(dir=self.path.parent) as now:
            return os.fstat(now.fileno()).st_mtime - os.fstat(handle).st_mtime

    def _refusal(self, holder: dict[str, Any], age: float | None) -> str:
        advice = "wait until it ends, stop it, or give another --workdir"
        if age is not None:
            advice = (
                f"its last sign of life is {age:.0f} s old, after {STALE:.0f} s it counts as gone; "
                f"if you know that it is, delete {self.path}"
            )
        return f"{self.path.parent} is in use by {_named(holder)}; {advice}"

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                os.utime(self._handle)

    def check(self) -> None:
        """Asks whether the file is still ours.

        Raises:
            ConfigError: when it was taken away: another process may write here now.
        """
        if not _same(self._handle, self.path):
            raise ConfigError(
                f"{self.path} is no longer that of this process: another one may have taken the "
                "run over, so this one stops and writes no more"
            )

    def release(self) -> None:
        """Gives it up; removes the directories that were made for it and stayed empty."""
        if self._done.is_set():
            return
        self._done.set()
        if _same(self._handle, self.path):
            with contextlib.suppress(OSError):
                self.path.unlink()
        os.close(self._handle)
        with contextlib.suppress(OSError):
            for directory in self._made:
                directory.rmdir()


def writer(directory: pathlib.Path) -> str | None:
    """Who writes a run directory now, in words; None when nobody does. Takes no lock."""
    path = directory / NAME
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        holder = _holder(handle)
        boot = _boot()
        if boot is not None and holder.get("boot") == boot:
            start = _start(holder.get("pid"))
            lives = start is not None and start == holder.get("start")
        else:  # of another machine, or of one that does not tell
            lives = time.time() - os.fstat(handle).st_mtime < STALE
    finally:
        os.close(handle)
    return _named(holder) if holder and lives else None


def _about_us() -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "start": _start(os.getpid()),
        "boot": _boot(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()),
        "command": " ".join(sys.argv)[:500],
    }


def _holder(handle: int) -> dict[str, Any]:
    """What a lock says; {} when it says nothing."""
    try:
        found = json.loads(os.pread(handle, 65536, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _named(holder: dict[str, Any]) -> str:
    if not holder:
        return "another process"
    pid, host, since = (holder.get(key, "?") for key in ("pid", "host", "since"))
    return f"process {pid} on {host} since {since}"


def _same(handle: int, path: pathlib.Path) -> bool:
    try:
        here, there = os.fstat(handle), os.stat(path)
    except OSError:
        return False
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _boot() -> str | None:
    """Tells machines, and starts of one machine, apart."""
    try:
        return pathlib.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def _start(pid: Any) -> int | None:
    """When a process of this machine began, in ticks since the start; None if there is none."""
    try:
        text = pathlib.Path(f"/proc/{int(pid)}/stat").read_text()
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, TypeError, ValueError, IndexError):
        return None
