"""Sets of images that no run of jaxgen made: a folder of image files, a .npz or .npy file.

They are brought to the units of the data that they are compared with, or refused: size, channels
and grey levels must be those of the data. Files of images always have 0 .. 255 (or 1 or 16 bits)
and are brought to the grey levels of the data; arrays are taken as they are.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from jaxgen.config import ConfigError
from jaxgen.data import images, tables
from jaxgen.data.dataset import DataError
from jaxgen.data.limits import Archive, load_npy, open_npz
from jaxgen.data.loader import evenly
from jaxgen.data.trees import FolderTree, OneFile, Tree, ZipTree
from jaxgen.evaluate.extractors import checked
from jaxgen.types import DataSpec

CHUNK = 256  # images at a time
KEYS = ("x", "images", "image", "samples", "arr_0")  # of a .npz file; the last is np.savez's own
ARRAYS = (".npz", ".npy")


@dataclasses.dataclass(frozen=True, eq=False)
class ArraySet:
    """Images in memory.

    Attributes:
        x: [N, H, W, C] or [N, D], in the units of the data.
        kind: "npz", or "array".
        notes: on what was done to them.
    """

    x: np.ndarray
    kind: str = "array"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def __iter__(self) -> Iterator[np.ndarray]:
        """[B, ...], in order."""
        for first in range(0, len(self.x), CHUNK):
            yield self.x[first : first + CHUNK]


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSet:
    """Image files, decoded when they are read.

    Attributes:
        tree: of the files.
        files: paths in it.
        spec: of the data whose units they are brought to.
        notes: on what is done to them.
        fit: how another size is brought to that of the data, one of `images.FITS`.
    """

    tree: Tree
    files: tuple[str, ...]
    spec: DataSpec
    notes: tuple[str, ...] = ()
    fit: str = "none"
    kind = "folder"

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[np.ndarray]:
        """[B, H, W, C], in order.

        Raises:
            ConfigError: for an image of another size.
            DataError: for a file that is damaged.
        """
        for first in range(0, len(self.files), CHUNK):
            yield np.stack([self._read(f) for f in self.files[first : first + CHUNK]])

    def _read(self, name: str) -> np.ndarray:
        where = self.tree.where(name)
        kind = images.kind(self.tree.open(name), where)
        wanted, got = self.spec.shape, (kind.height, kind.width)
        if got != wanted[:2] and self.fit == "none":
            raise ConfigError(
                f"{where} is {got[0]}x{got[1]}, expected {wanted[0]}x{wanted[1]} pixels, as "
                f"{self.spec.name} has: resize the images, or name other data with --data"
            )
        mode, levels = None, kind.levels
        if kind.channels != wanted[2]:
            if wanted[2] > len(images.MODES):
                raise ConfigError(f"{where} has {kind.channels} channels, expected {wanted[2]}")
            mode, levels = images.MODES[wanted[2] - 1], 256
        x = images.decode(self.tree.open(name), where, mode=mode)
        x = images.Geometry(wanted[0], wanted[1], self.fit, levels).apply(x)
        if levels == self.spec.levels:
            return x
        if self.spec.x.range is not None:
            low, high = self.spec.x.range
            return (low + x * ((high - low) / (levels - 1))).astype(np.float32)
        top = (self.spec.levels or 2) - 1
        scaled = np.rint(x.astype(np.float64) * (top / (levels - 1)))
        return scaled.astype(np.uint8 if top < 256 else np.uint16)


def open_set(path: pathlib.Path, spec: DataSpec, num: int | None = None) -> ArraySet | FolderSet:
    """The images of a folder or file.

    Args:
        path: of a folder of image files (sub-folders included), a .zip of it, a .npz or a .npy
            file, or a table with the columns of the data.
        spec: of the data that they are compared with.
        num: that many of them, evenly spaced; None takes all.

    Raises:
        ConfigError: for a path without images, fewer than `num`, or images that are not such as
            the data have.
        DataError: for a damaged image file.
    """
    name = path.name.lower()
    if path.is_dir():
        found = _folder(FolderTree(path), spec)
    elif path.is_file() and name.endswith(".zip"):
        found = _folder(ZipTree(path), spec)
    elif path.is_file() and name.endswith(ARRAYS):
        found = ArraySet(_array(path, spec), "npz")
    elif path.is_file() and name.endswith(tables.SUFFIXES):
        found = ArraySet(_rows(path, spec), "table")
    elif path.exists():
        raise ConfigError(f"{path} is no run, folder of images, .zip, .npz, .npy or table")
    else:
        raise ConfigError(f"no such run, folder or file: {path.absolute()}")
    if num is None:
        return found
    if not 0 < num <= len(found):
        raise ConfigError(f"--num={num}, expected 1 to {len(found)}, the images in {path}")
    rows = evenly(len(found), num)
    if isinstance(found, FolderSet):
        return dataclasses.replace(found, files=tuple(found.files[i] for i in rows))
    return dataclasses.replace(found, x=found.x[rows])


def single_file(path: pathlib.Path, spec: DataSpec) -> FolderSet:
    """One image file, as a set.

    Raises:
        ConfigError: for data that have no images of grey levels.
        DataError: for a damaged file.
    """
    return _folder(FolderTree(path.parent), spec, [path.name])


def in_memory(content: bytes, spec: DataSpec) -> FolderSet:
    """The content of one image file, as a set; raises as `single_file`."""
    tree = OneFile(content)
    return _folder(tree, spec, tree.files)


def _folder(tree: Tree, spec: DataSpec, names: Sequence[str] | None = None) -> FolderSet:
    if spec.x.kind != "image" or (spec.levels is None and spec.x.range is None):
        raise ConfigError(f"{spec.name} has no images of grey levels: give its points as a .npz")
    if names is None:
        names = [file for file in tree.files if file.lower().endswith(images.SUFFIXES)]
    if not names:
        raise ConfigError(
            f"no images in {tree.root}: expected files named *{' *'.join(images.SUFFIXES)}"
        )
    first = images.kind(tree.open(names[0]), tree.where(names[0]))
    notes = []
    if first.channels != spec.shape[2]:
        notes.append(f"files have {first.channels} channels, brought to {spec.shape[2]}")
    if spec.levels is None:
        notes.append(f"files have {first.levels} grey levels, brought to {spec.x.range}")
    elif first.levels != spec.levels:
        notes.append(f"files have {first.levels} grey levels, brought to {spec.levels}")
    return FolderSet(tree, tuple(names), spec, tuple(notes))


def _rows(path: pathlib.Path, spec: DataSpec) -> np.ndarray:
    """The columns of the data, in a table, in the units of batches."""
    if not spec.x.names:
        raise ConfigError(f"{path} is a table, and {spec.name} is none")
    table = tables.read(path)
    missing = [name for name in spec.x.names if name not in table.names]
    if missing:
        raise ConfigError(f"{path} has no column {missing[0]!r}, as {spec.name} has")
    x = np.stack([table.numbers(name) for name in spec.x.names], -1)
    return spec.x.units.inward(x) if spec.x.units else x.astype(np.float32)


def _array(path: pathlib.Path, spec: DataSpec) -> np.ndarray:
    try:
        if path.name.lower().endswith(".npy"):
            x = load_npy(path)
        else:
            with open_npz(path) as archive:
                x = _picked(path, archive)
    except DataError as error:
        raise ConfigError(str(error)) from error
    if x.dtype.kind not in "buif":
        raise ConfigError(f"{path} holds {x.dtype}, expected grey levels or real numbers")
    x = x.reshape(*x.shape, 1) if x.ndim == 3 and spec.x.kind == "image" else x
    if not len(x):
        raise ConfigError(f"no examples in {path}")
    try:
        x = checked(x.astype(np.uint8) if x.dtype.kind == "b" else x, spec)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return spec.x.units.inward(x) if spec.x.units else x


def _picked(path: pathlib.Path, archive: Archive) -> np.ndarray:
    for key in KEYS:
        if key in archive.files:
            return archive[key]
    raise ConfigError(
        f"no examples in {path}: expected one of {', '.join(KEYS)}; got "
        f"{', '.join(sorted(archive.files)) or 'nothing'}"
    )
