"""Prepare a data set on disk once, whoever comes first: for tfds builders and decoded caches."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from jaxgen.data import seals
from jaxgen.data.dataset import DataError
from jaxgen.files import FULL, WriteError, atomic_folder, set_aside
from jaxgen.files import reason as reason_of
from jaxgen.platform import cache_home


def data_root(data_dir: str | os.PathLike | None) -> pathlib.Path:
    """Where prepared data lives: `data_dir`, else $JAXGEN_DATA_DIR, else ~/.cache/jaxgen/tfds."""
    chosen = data_dir or os.environ.get("JAXGEN_DATA_DIR")
    if chosen:
        return pathlib.Path(os.path.expanduser(chosen))
    return cache_home() / "jaxgen" / "tfds"


def prepare_once(
    target: pathlib.Path, fill: Callable[[pathlib.Path], None], doubt: str = ""
) -> list[str]:
    """Makes the directory `target` unless it is there and whole, safely beside other processes.

    The work is done in a directory of its own and renamed at the end, so a half-made `target`
    is never seen. The lock only saves the others from doing the work twice; it goes with the
    process that holds it, and the rename alone is enough where locks do not work. What is made is
    sealed with checksums; where they do not agree, it is set aside and made anew.

    Args:
        target: directory to make.
        fill: given an empty directory, fills it with what `target` is to hold.
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
                with contextlib.suppress(FileNotFoundError):  # another process was first
                    aside = set_aside(target, f"{target.name}.damaged")
                    notes = [
                        f"{target} was damaged: {reason}; set aside as {aside.name}, made anew"
                    ]
            _make(target, fill)
            return notes
    except OSError as failed:
        error = failed.__cause__ if isinstance(failed, WriteError) else failed
        assert isinstance(error, OSError)
        if not isinstance(error, PermissionError) and error.errno not in FULL:
            raise error from None
        why = error.strerror
        if error.errno in FULL:
            why = reason_of(target.parent, error)
        raise DataError(
            f"cannot prepare data in {target.parent}: {why}; name a directory that can "
            f"be written with JAXGEN_DATA_DIR=DIR or --config.data.data_dir=DIR"
        ) from error


def opened(
    target: pathlib.Path,
    fill: Callable[[pathlib.Path], None],
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


def _make(target: pathlib.Path, fill: Callable[[pathlib.Path], None]) -> None:
    try:
        with atomic_folder(target) as work:
            fill(work)
            seals.seal(work)
    except WriteError:
        if not target.exists():  # else: another process was first, with the same
            raise


@contextlib.contextmanager
def _lock(path: pathlib.Path) -> Iterator[None]:
    import fcntl

    with open(path, "w") as handle:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def mixed(arrays: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """The rows of all arrays in one random order: evenly spaced ones are of all classes alike."""
    count = len(next(iter(arrays.values())))
    order = np.random.RandomState([seed, count]).permutation(count)
    return {name: array[order] for name, array in arrays.items()}
