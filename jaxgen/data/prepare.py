"""Prepare a data set on disk once, whoever comes first: for tfds builders and decoded caches."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from jaxgen.data import seals
from jaxgen.data.dataset import DataError
from jaxgen.files import FULL, free_name
from jaxgen.files import reason as reason_of
from jaxgen.platform import cache_home


def data_root(data_dir: str | os.PathLike | None) -> pathlib.Path:
    """Where prepared data lives: `data_dir`, else $JAXGEN_DATA_DIR, else ~/.cache/jaxgen/tfds."""
    chosen = data_dir or os.environ.get("JAXGEN_DATA_DIR")
    if chosen:
        return pathlib.Path(os.path.expanduser(chosen))
    return cache_home() / "jaxgen" / "tfds"


def prepare_once(
    target: pathlib.Path, fill: Callable[[pathlib.Path], pathlib.Path], doubt: str = ""
) -> list[str]:
    """Makes the directory `target` unless it is there and whole, safely beside other processes.

    The work is done in a directory of its own and renamed at the end, so a half-made `target`
    is never seen. The lock only saves the others from doing the work twice; it goes with the
    process that holds it, and the rename alone is enough where locks do not work. What is made is
    sealed with checksums; where they do not agree, it is set aside and made anew.

    Args:
        target: directory to make.
        fill: given an empty directory on the same file system, fills it and returns the
            directory in it that becomes `target`.
        doubt: why a `target` without such checksums would be damaged; "" trusts it.

    Returns:
        Notes on what was set aside.

    Raises:
        DataError: where `target` cannot be read or written.
    """
    try:
        if target.exists() and not (reason := seals.damage(target)) and not doubt:
            return []
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent / f".{target.name}.lock"):
            notes = []
            if target.exists():
                reason = seals.damage(target) or doubt
                if not reason:
                    return []
                aside = free_name(target.with_name(f"{target.name}.damaged"))
                with contextlib.suppress(FileNotFoundError):  # another process was first
                    os.rename(target, aside)
                    notes = [
                        f"{target} was damaged: {reason}; set aside as {aside.name}, made anew"
                    ]
            _make(target, fill)
            return notes
    except OSError as error:
        if not isinstance(error, PermissionError) and error.errno not in FULL:
            raise
        why = error.strerror
        if error.errno in FULL:
            why = reason_of(target.parent, error)
        raise DataError(
            f"cannot prepare data in {target.parent}: {why}; name a directory that can "
            f"be written with JAXGEN_DATA_DIR=DIR or --config.data.data_dir=DIR"
        ) from error


def opened(
    target: pathlib.Path,
    fill: Callable[[pathlib.Path], pathlib.Path],
    load: Callable[[pathlib.Path], Any],
    notes: list[str],
) -> Any:
    """What `load` reads of a prepared directory; one that cannot be read is made anew, once.

    Args:
        target: see `prepare_once`.
        fill: see there.
        load: reads it.
        notes: to which those of `prepare_once` are added.

    Raises:
        DataError: see `prepare_once`.
    """
    notes += prepare_once(target, fill)
    try:
        return load(target)
    except (DataError, PermissionError):
        raise
    except (ValueError, LookupError, EOFError, OSError, RuntimeError, TypeError) as error:
        found = " ".join(str(error).split())[:120] or type(error).__name__
        notes += prepare_once(target, fill, doubt=f"it cannot be read ({found})")
        return load(target)


def _make(target: pathlib.Path, fill: Callable[[pathlib.Path], pathlib.Path]) -> None:
    work = pathlib.Path(tempfile.mkdtemp(prefix=".preparing-", dir=target.parent))
    try:
        made = fill(work)
        seals.seal(made)
        made.chmod(0o755)
        try:
            os.rename(made, target)
        except OSError:
            if not target.exists():  # else: another process was first, with the same
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    import fcntl

    with open(path, "w") as handle:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides the progress bars and greetings that tfds prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
