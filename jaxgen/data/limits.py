"""Arrays and images of files that nobody vouches for: memory in proportion to the file's size.

The header of an array and the directory of a zip file may claim any size, and a deflated stream
grows a thousandfold. Sizes are compared with the file before anything is allocated.
"""

from __future__ import annotations

import codecs
import math
import os
import pathlib
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import numpy as np

from jaxgen.data.dataset import DataError

SMALL = 64 * 2**20  # bytes that any file may become
SMALL_IMAGE = 16 * 2**20  # bytes of pixels; decoding and turning takes several times as many
RATIO = 256  # above, bytes for each byte of a file; dSprites' own .npz has 116, zlib reaches 1032
KINDS = "biufcSU"
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF")  # Pillow has readers that start programs


def allowance(size: int) -> int:
    """Bytes of memory that the content of a file of `size` bytes may take."""
    return max(SMALL, RATIO * size)


@contextmanager
def regular(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """An open regular file; a pipe would be waited for, and a device has no end.

    Raises:
        DataError: for anything else, and where it cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise DataError(f"{path} is no regular file")
            yield file
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def utf8(content: bytes, where: str) -> str:
    """A text, without a byte-order mark.

    Raises:
        DataError: naming line and byte of what is not UTF-8.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, byte = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise DataError(
            f"{where}, line {line}, byte {byte}: 0x{content[error.start]:02x} is not UTF-8: save "
            "the file as UTF-8"
        ) from None


def load_npy(path: pathlib.Path, mapped: bool = False) -> np.ndarray:
    """The array of a .npy file, of numbers or text.

    Args:
        path: of the file.
        mapped: leave it on disk, as a memory map.

    Raises:
        DataError: in one line, for a file that is damaged or holds objects.
    """
    with regular(path) as file, _explained(path):
        left = os.fstat(file.fileno()).st_size
        shape, order, dtype, start = _header(file, left)
        count = math.prod(shape)
        if mapped and count:
            return np.memmap(path, dtype, "r", start, shape, order)
        return np.fromfile(file, dtype, count).reshape(shape, order=order)


class Archive:
    """A .npz file. `files` are the names of its arrays; an array is read when it is asked for."""

    def __init__(self, path: pathlib.Path, file: IO[bytes]):
        """See `open_npz`."""
        self._path, self._zip = path, zipfile.ZipFile(file)
        size = os.fstat(file.fileno()).st_size
        entries = self._zip.infolist()
        whole = sum(entry.file_size for entry in entries)
        if whole > allowance(size):
            raise ValueError(f"{size:,} bytes would become {whole:,}")
        self._entries = {entry.filename.removesuffix(".npy"): entry for entry in entries}

    @property
    def files(self) -> list[str]:
        """Names of the arrays."""
        return list(self._entries)

    def __getitem__(self, name: str) -> np.ndarray:
        """An array.

        Raises:
            DataError: in one line, for one that is damaged or holds objects.
            KeyError: for a name that is not in `files`.
        """
        entry = self._entries[name]
        with _explained(self._path):
            if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{name} is compressed in another way than NumPy does")
            with self._zip.open(entry) as stream:
                shape, order, dtype, _ = _header(stream, entry.file_size)
                array = np.empty(math.prod(shape), dtype)
                left = memoryview(array.view(np.uint8)) if array.size else memoryview(b"")
                while len(left):
                    read = stream.readinto(left)  # type: ignore[attr-defined]
                    if not read:
                        raise EOFError(f"{name} is cut short")
                    left = left[read:]
        return array.reshape(shape, order=order)


@contextmanager
def open_npz(path: pathlib.Path) -> Iterator[Archive]:
    """The arrays of a .npz file, for use in a `with` statement.

    Raises:
        DataError: in one line, for a file that is damaged, or small and claims much.
    """
    with regular(path) as file:
        with _explained(path):
            archive = Archive(path, file)
        with archive._zip:
            yield archive


def load_npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    """All arrays of a .npz file; see `open_npz`."""
    with open_npz(path) as archive:
        return {name: archive[name] for name in archive.files}


@contextmanager
def _explained(path: Any) -> Iterator[None]:
    damaged = (OSError, EOFError, zipfile.BadZipFile, zlib.error, RuntimeError, KeyError)
    try:
        yield
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{path} cannot be read as plain numbers: {error}") from error
    except (*damaged, NotImplementedError, OverflowError, MemoryError) as error:
        raise DataError(f"{path} is truncated or damaged: {error}") from error


def _header(file: Any, size: int) -> tuple[tuple[int, ...], str, np.dtype, int]:
    """Shape, order, type and beginning of an array of NumPy's format, in `size` bytes."""
    form = np.lib.format
    try:
        version = form.read_magic(file)
        read = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}[version]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python 2, and of what is no Python at all
            shape, fortran, dtype = read(file)
    except Exception as error:  # NumPy parses it as Python, which fails in any way
        reason = str(error).splitlines()
        raise ValueError(f"no header of NumPy ({reason[0][:100] if reason else 'empty'})") from None
    if dtype.hasobject or dtype.kind not in KINDS or not dtype.itemsize:
        raise ValueError(f"it holds {str(dtype)[:60]}, expected numbers")
    start = file.tell()
    if not all(type(n) is int and n >= 0 for n in shape):  # NumPy takes True for a number
        raise ValueError(f"its header claims the shape {str(shape)[:60]}")
    if math.prod(shape) * dtype.itemsize > size - start:
        sides = "x".join(str(n)[:24] for n in shape[:8])
        raise EOFError(f"its header claims {sides} of {dtype}, there are {size - start:,} bytes")
    return shape, "F" if fortran else "C", dtype, start


def gunzip(raw: bytes) -> bytes:
    """Decompressed.

    Raises:
        EOFError: for what is cut short.
        OSError: for what is not whole, and for a few bytes that become very many.
    """
    parts, most, left = [], allowance(len(raw)), raw
    while left:
        one = zlib.decompressobj(wbits=31)
        try:
            parts.append(one.decompress(left, most + 1))
        except zlib.error as error:
            raise OSError(str(error)) from error
        most -= len(parts[-1])
        if most < 0:
            raise OSError(f"{len(raw):,} bytes become more than {allowance(len(raw)):,}")
        if not one.eof:
            raise EOFError("it ends too early")
        left = one.unused_data.lstrip(b"\0")
    return b"".join(parts)


def open_image(file: Any) -> Any:
    """An image of Pillow, not decoded yet, whose pixels are in proportion to the file's size.

    Args:
        file: path, or binary file.

    Raises:
        ValueError: for a small file that claims many pixels.
        OSError: and whatever else Pillow raises, for what is no image of `FORMATS`.
    """
    import PIL.Image

    size = _size(file)
    # Pillow warns of any large image, whatever the size of its file
    warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)
    image = PIL.Image.open(file, formats=FORMATS)
    width, height = image.size
    wide = {"P": 4, "PA": 4, "I": 4, "F": 4}.get(image.mode, 2 if "16" in image.mode else 1)
    if width * height * len(image.getbands()) * wide > max(SMALL_IMAGE, RATIO * size):
        image.close()
        raise ValueError(f"{size:,} bytes claim {width:,} x {height:,} pixels")
    return image


def _size(file: Any) -> int:
    if isinstance(file, str | os.PathLike):
        about = os.stat(file)
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no regular file")
        return about.st_size
    place = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(place)
    return end
