"""What an error of storage means: unreadable now, or read and wrong; and how much room there is."""

from __future__ import annotations

import errno
import os
import pathlib
import re
import shutil
import stat
from collections.abc import Iterator

FULL_DISK_MARGIN = 1.1
# Status codes of the libraries below orbax that tell of the system, not of the bytes. NOT_FOUND,
# DATA_LOSS, INVALID_ARGUMENT, FAILED_PRECONDITION and OUT_OF_RANGE come of damaged bytes, too.
SYSTEM = re.compile(
    r"\b(PERMISSION_DENIED|UNAUTHENTICATED|RESOURCE_EXHAUSTED|UNAVAILABLE|DEADLINE_EXCEEDED|ABORTED"
    r"|CANCELLED)\b"
)
OS_ERROR = re.compile(r"\[(?:OS error |os_error_code=')(\d+)")
MISSING = (errno.ENOENT, errno.ENOTDIR)  # of a part: whether the rest can be read decides


class Unreadable(Exception):
    """Bytes that could not be read, and may well be whole."""


def unreadable(error: BaseException) -> bool:
    """Whether an error, or one that caused it, tells of a failure to read, not of wrong bytes."""
    return any(_of_the_system(e) for e in _chain(error))


def _of_the_system(error: BaseException) -> bool:
    if isinstance(error, (MemoryError, Unreadable)):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno not in MISSING
    text = str(error)
    numbers = [int(n) for n in OS_ERROR.findall(text)]
    return any(n not in MISSING for n in numbers) or bool(SYSTEM.search(text))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def check_readable(directory: pathlib.Path) -> None:
    """Reads every file below a directory, in plain Python.

    Raises:
        Unreadable: naming the first that cannot be.
    """

    def stop(error: OSError) -> None:
        raise error

    try:
        for folder, _, files in os.walk(directory, onerror=stop):
            for path in (os.path.join(folder, name) for name in files):
                if stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
                    with open(path, "rb") as file:
                        while file.read(2**22):
                            pass
    except OSError as error:
        raise Unreadable(f"{error.filename or directory}: {error.strerror or error}") from error


def check_room(directory: pathlib.Path, need: int) -> None:
    """Raises OSError (ENOSPC) where `need` bytes and a margin do not fit."""
    free = shutil.disk_usage(directory).free
    if free < FULL_DISK_MARGIN * need:
        raise OSError(errno.ENOSPC, "No space left on device")


def first_line(error: BaseException) -> str:
    """An error as one line of at most 300 characters, which begins with what the system says."""
    text = " ".join(str(error).split()) or type(error).__name__
    for number in map(int, OS_ERROR.findall(text)):
        if os.strerror(number) not in text[:100]:
            text = f"{os.strerror(number)} ({text})"
    if "No space left" in text or getattr(error, "errno", None) == errno.ENOSPC:
        text = f"no space left on the disk ({text})"
    return text if len(text) <= 300 else f"{text[:150]} ... {text[-145:]}"  # the cause comes last
