"""Where image files lie: in a folder, or in a .zip of it, which is read and never unpacked."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from jaxgen.data.dataset import DataError
from jaxgen.data.limits import allowance, regular


class Tree(Protocol):
    """Files by their relative paths."""

    @property
    def root(self) -> pathlib.Path:
        """The folder, or the .zip."""
        ...

    @property
    def files(self) -> list[str]:
        """Relative paths, sorted, "/" between their parts; hidden files and folders are left out.

        Raises:
            DataError: for what may not be listed.
        """
        ...

    @property
    def empty(self) -> Sequence[str]:
        """Relative paths of folders that hold nothing, sorted."""
        ...

    def open(self, file: str) -> Any:
        """What Pillow opens: a path, or a binary file."""
        ...

    def size(self, file: str) -> int:
        """Bytes of the file, not compressed."""
        ...

    def where(self, file: str) -> str:
        """Its full name, for messages."""
        ...


@dataclasses.dataclass(frozen=True)
class FolderTree:
    """The files below a folder; links are followed, once."""

    root: pathlib.Path

    @property
    def files(self) -> list[str]:
        """See `Tree.files`."""
        return self._walked[0]

    @property
    def empty(self) -> list[str]:
        """See `Tree.empty`."""
        return self._walked[1]

    @functools.cached_property
    def _walked(self) -> tuple[list[str], list[str]]:
        found, empty, seen = [], [], set()
        for place, folders, names in os.walk(self.root, onerror=_refuse, followlinks=True):
            seen.add(os.path.realpath(place))
            folders[:] = [
                name
                for name in folders
                if not _hidden(name) and os.path.realpath(os.path.join(place, name)) not in seen
            ]
            found += [
                pathlib.Path(place, name).relative_to(self.root).as_posix()
                for name in names
                if not _hidden(name)
            ]
            if not folders and not names:
                empty.append(pathlib.Path(place).relative_to(self.root).as_posix())
        return sorted(found), sorted(empty)

    def open(self, file: str) -> pathlib.Path:
        """See `Tree.open`."""
        return self.root / file

    def size(self, file: str) -> int:
        """See `Tree.size`."""
        return (self.root / file).stat().st_size

    def where(self, file: str) -> str:
        """See `Tree.where`."""
        return printable(str(self.root / file))


@dataclasses.dataclass(frozen=True)
class OneFile:
    """A file in memory, of whatever name."""

    content: bytes
    root: pathlib.Path = pathlib.Path("upload")
    empty: Sequence[str] = ()

    @property
    def files(self) -> list[str]:
        """See `Tree.files`."""
        return [self.root.name]

    def open(self, file: str) -> io.BytesIO:
        """See `Tree.open`."""
        return io.BytesIO(self.content)

    def size(self, file: str) -> int:
        """See `Tree.size`."""
        return len(self.content)

    def where(self, file: str) -> str:
        """See `Tree.where`."""
        return "the uploaded file"


@dataclasses.dataclass(frozen=True)
class ZipTree:
    """The files of a .zip, stored or deflated. Several threads may read at a time."""

    root: pathlib.Path

    def __reduce__(self) -> tuple[type[ZipTree], tuple[pathlib.Path]]:
        return ZipTree, (self.root,)  # another process opens the file for itself

    @functools.cached_property
    def _zip(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.root)
        except PermissionError as error:
            raise DataError(f"may not read {self.root}: {error.strerror}") from error
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise DataError(f"{self.root} is truncated or damaged: {error}") from error

    @functools.cached_property
    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        """Files by the path that they are known by: without a folder that holds all of them."""
        found = {}
        for entry in self._zip.infolist():
            parts = [part for part in entry.filename.replace("\\", "/").split("/") if part]
            if parts and not entry.is_dir() and not any(map(_hidden, parts)):
                found["/".join(parts)] = entry
        tops = {name.partition("/")[0] if "/" in name else "" for name in found}
        if len(tops) == 1 and "" not in tops:
            found = {name.partition("/")[2]: entry for name, entry in found.items()}
        return dict(sorted(found.items()))

    @property
    def files(self) -> list[str]:
        """See `Tree.files`."""
        return list(self._entries)

    @property
    def empty(self) -> list[str]:
        """See `Tree.empty`: folders without files are not looked for."""
        return []

    def open(self, file: str) -> io.BytesIO:
        """See `Tree.open`.

        Raises:
            DataError: for an entry that is encrypted, damaged, or larger than it may be.
        """
        entry = self._entries[file]
        if entry.file_size > allowance(entry.compress_size):
            raise DataError(
                f"{self.where(file)}: {entry.compress_size:,} bytes would become "
                f"{entry.file_size:,}: no image does so"
            )
        try:
            return io.BytesIO(self._zip.read(entry))
        except RuntimeError as error:  # NotImplementedError too, of other ways to compress
            raise DataError(f"cannot read {self.where(file)}: {error}") from error
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"damaged file {self.where(file)}: {error}") from error

    def size(self, file: str) -> int:
        """See `Tree.size`."""
        return self._entries[file].file_size

    def where(self, file: str) -> str:
        """See `Tree.where`."""
        return printable(f"{self.root}/{file}")


@dataclasses.dataclass(frozen=True)
class Part:
    """Some files of a tree, under other paths.

    Attributes:
        whole: the tree.
        paths: path here -> path there.
    """

    whole: Tree
    paths: Mapping[str, str]
    empty = ()

    @property
    def root(self) -> pathlib.Path:
        """Of the whole tree."""
        return self.whole.root

    @property
    def files(self) -> list[str]:
        """See `Tree.files`."""
        return sorted(self.paths)

    def open(self, file: str) -> Any:
        """See `Tree.open`."""
        return self.whole.open(self.paths[file])

    def size(self, file: str) -> int:
        """See `Tree.size`."""
        return self.whole.size(self.paths[file])

    def where(self, file: str) -> str:
        """See `Tree.where`."""
        return self.whole.where(self.paths[file])


def read_bytes(tree: Tree, file: str) -> bytes:
    """All of a small file.

    Raises:
        DataError: where it cannot be read.
    """
    found = tree.open(file)
    if not isinstance(found, pathlib.Path):
        return found.read()
    try:
        with regular(found) as opened:
            return opened.read()
    except OSError as error:
        raise DataError(f"cannot read {tree.where(file)}: {error.strerror}") from error


def printable(name: str) -> str:
    """The name of a file for people, of whatever bytes it is made."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))


def _refuse(error: OSError) -> None:
    raise DataError(f"may not list {error.filename}: {error.strerror}") from error
