"""Prepare a data set on disk once, whoever comes first: for tfds builders and decoded caches."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator

from jaxgen.data.dataset import DataError


def data_root(data_dir: str | os.PathLike | None) -> pathlib.Path:
    """Where prepared data lives: `data_dir`, else $JAXGEN_DATA_DIR, else ~/.cache/jaxgen/tfds."""
    chosen = data_dir or os.environ.get("JAXGEN_DATA_DIR")
    if chosen:
        return pathlib.Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(cache).expanduser() / "jaxgen" / "tfds"


def prepare_once(target: pathlib.Path, fill: Callable[[pathlib.Path], pathlib.Path]) -> None:
    """Makes the directory `target` unless it is there, safely beside other processes.

    The work is done in a directory of its own and renamed at the end, so a half-made `target`
    is never seen. The lock only saves the others from doing the work twice; it goes with the
    process that holds it, and the rename alone is enough where locks do not work.

    Args:
        target: directory to make.
        fill: given an empty directory on the same file system, fills it and returns the
            directory in it that becomes `target`.

    Raises:
        DataError: where `target` cannot be written.
    """
    if target.exists():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target.parent / f".{target.name}.lock"):
            if target.exists():
                return
            work = pathlib.Path(tempfile.mkdtemp(prefix=".preparing-", dir=target.parent))
            try:
                made = fill(work)
                made.chmod(0o755)
                try:
                    os.rename(made, target)
                except OSError:
                    if not target.exists():  # else: another process was first, with the same
                        raise
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except PermissionError as error:
        raise DataError(
            f"cannot prepare data in {target.parent}: {error.strerror}; name a directory that can "
            f"be written with JAXGEN_DATA_DIR=DIR or --config.data.data_dir=DIR"
        ) from error


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
