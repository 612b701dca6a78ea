"""Files that are written whole or not at all, and one line when they cannot be."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from jaxgen.machine import size

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# of a file that another process was killed while writing, as ".summary.json.4711"
TEMPORARY = re.compile(
    r"\.(config\.json|manifest\.json|summary\.json|metrics\.jsonl|step_\d+\.png)\.\d+"
    r"|\.step_\d+\.png"
)


class WriteError(OSError):
    """A file that could not be written. One line: which, why, what to do."""

    def __init__(self, path: pathlib.Path, error: OSError, need: int | None = None):
        """Args: the file; what the system said; bytes that were to be written, None if unknown."""
        super().__init__(f"could not write {path}: {reason(path, error, need)}")
        self.errno = error.errno

    def __str__(self) -> str:
        return str(self.args[0])


def reason(path: pathlib.Path, error: OSError, need: int | None = None) -> str:
    """Why a file could not be written, and what to do."""
    what = error.strerror or str(error) or type(error).__name__
    if error.errno not in FULL:
        return f"{what}; make that place writable, or choose another"
    advice = "free some space, or choose another place"
    if error.errno == errno.EFBIG:
        advice = "raise the limit on the size of files (ulimit -f)"
    return f"{what} ({room(path, need)}); {advice}"


def room(path: pathlib.Path, need: int | None = None) -> str:
    """What was to be written and what is free there, as "1.0 KiB to write, 7.1 GiB free in DIR"."""
    wanted = f"{size(need)} to write, " if need is not None else ""
    there = next((p for p in (path, *path.parents) if p.is_dir()), pathlib.Path("/"))
    try:
        return f"{wanted}{size(shutil.disk_usage(there).free)} free in {there}"
    except OSError:
        return f"{wanted}nobody knows how much is free in {there}"


class _Plain:
    """A file that NumPy takes for none: to those it writes past Python, and loses the errno."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str], need: int | None = None) -> Iterator[IO[bytes]]:
    """A binary file that takes the place of `path` when the block ends without an error.

    A reader sees the old file or the new one, never a part; so does a disk after a power cut.

    Args:
        path: the file; folders above it are made.
        need: bytes that are to be written, for the message; None if unknown.

    Raises:
        WriteError: naming the path, what was to be written, and what is free.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, f"{path.parent} is not a directory") from None
        with open(temporary, "wb") as file:
            yield _Plain(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, WriteError):
            raise WriteError(path, error, need) from error
        raise


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """An empty folder that becomes `path` when the block ends without an error.

    Raises:
        WriteError: see `atomic`; also where a folder with files is there by then.
    """
    path = pathlib.Path(path)
    work = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        yield work
        work.chmod(0o755)
        os.rename(work, path)
    except OSError as error:
        raise error if isinstance(error, WriteError) else WriteError(path, error) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def set_aside(path: pathlib.Path, name: str) -> pathlib.Path:
    """Gives a file or folder another name beside it, or the next that is free; returns that.

    Raises:
        OSError: where it cannot be.
    """
    aside = free_name(path.with_name(name))
    os.rename(path, aside)
    return aside


def write(path: str | os.PathLike[str], data: bytes | str) -> None:
    """Writes bytes, or text as UTF-8, atomically.

    Raises:
        WriteError: see `atomic`.
    """
    data = data.encode() if isinstance(data, str) else data
    with atomic(path, len(data)) as file:
        file.write(data)


def write_arrays(path: str | os.PathLike[str], compressed: bool = False, **arrays: Any) -> None:
    """Writes a `.npz` file atomically.

    Raises:
        WriteError: see `atomic`.
    """
    import numpy as np

    with atomic(path, sum(np.asarray(a).nbytes for a in arrays.values())) as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


def write_image(path: str | os.PathLike[str], image: Any, **options: Any) -> None:
    """Encodes a PIL image, with the options of its `save`, and writes it atomically.

    Raises:
        WriteError: see `atomic`.
    """
    write(path, image_bytes(image, **options))


def image_bytes(image: Any, **options: Any) -> bytes:
    """A PIL image as the content of a file, with the options of its `save`."""
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def pictures_in(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Single pictures that a command has written there: 000000.png and so on."""
    return folder.glob("[0-9]" * 6 + ".png")


def free_name(path: pathlib.Path) -> pathlib.Path:
    """`path`, or the first of `path.2`, `path.3`, ... that does not exist."""
    number, found = 1, path
    while os.path.lexists(found):
        number += 1
        found = path.with_name(f"{path.name}.{number}")
    return found


def clear_temporaries(folder: pathlib.Path) -> None:
    """Removes what killed processes have left half-written in a folder that nobody else writes."""
    if folder.is_dir():
        for path in folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                with contextlib.suppress(OSError):
                    path.unlink()
