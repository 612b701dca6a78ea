"""A folder or .zip of images: any size, 8 or 16 bit, in any of the layouts of `data.layout`."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgen.data import images
from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split, sampled_sha256
from jaxgen.data.layout import laid_out
from jaxgen.data.trees import FolderTree, Tree, ZipTree, printable
from jaxgen.types import DataSpec

TRIAL = 32  # files read before threads are considered
THREADS_PAY_S = 1e-3  # seconds a file above which they are used


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSplit(Split):
    """Image files decoded when asked for.

    Attributes:
        tree: that holds them.
        files: paths in it, in order.
        label: int32 [N] or None.
        geometry: to which images are brought.
        mode: to which they are brought, one of `images.MODES`; None leaves them.
    """

    tree: Tree
    files: tuple[str, ...]
    label: np.ndarray | None
    geometry: images.Geometry
    mode: str | None = None
    place = "from disk"
    decodes = True

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> np.ndarray | None:
        """int32 [N] or None."""
        return self.label

    def read(self, index: int) -> np.ndarray:
        """One image, [H, W, C]."""
        file = self.files[index]
        where = self.tree.where(file)
        return self.geometry.apply(images.decode(self.tree.open(file), where, mode=self.mode))

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        batch = {"x": np.stack([self.read(index) for index in indices])}
        if self.label is not None:
            batch["label"] = self.label[indices]
        return batch

    def sha256(self) -> str:
        """See `sampled_sha256`; the identity is every path and size in bytes."""
        sizes = "\n".join(f"{file} {self.tree.size(file)}" for file in self.files)
        return sampled_sha256(self, sizes.encode("utf-8", "surrogateescape"))

    def decoded(self) -> ArraySplit:
        """All of it in memory."""
        x = np.stack(_each(self.read, range(len(self))))
        return ArraySplit({"x": x, "label": self.label})


def load(
    root: pathlib.Path,
    size: tuple[int, int] | None,
    fit: str,
    mode: str | None,
    test_fraction: float,
    seed: int,
    in_memory_mb: float,
    earlier: bool = False,
) -> Dataset:
    """Scans the headers of every image under `root`; decodes them all if they fit in memory.

    For splits and classes see `layout.laid_out`.

    Args:
        root: a folder or a .zip.
        size: see `named.load`, as the rest.
        fit: see there.
        mode: one of `images.MODES` to bring all images to; None takes the one that all have.
        test_fraction: see there.
        seed: see there.
        in_memory_mb: see there.
        earlier: see there.

    Raises:
        DataError: on a folder without images, a bad file, or files that do not go together.
    """
    tree: Tree = FolderTree(root) if root.is_dir() else ZipTree(root)
    name = root.resolve().name if root.is_dir() else root.stem
    found = read(tree, name, size, fit, mode, test_fraction, seed, in_memory_mb, earlier)
    what = "folder" if root.is_dir() else "file"
    return dataclasses.replace(found, source=f"{what} {root}")


def read(
    tree: Tree,
    name: str,
    size: tuple[int, int] | None,
    fit: str,
    mode: str | None,
    test_fraction: float,
    seed: int,
    in_memory_mb: float,
    earlier: bool = False,
    labelled: bool = True,
) -> Dataset:
    """The images of a tree, as `load` reads those of a folder.

    Args:
        tree: that holds them.
        name: of the data set.
        size: see `load`, as the rest.
        fit: see there.
        mode: see there.
        test_fraction: see there.
        seed: see there.
        in_memory_mb: see there.
        earlier: see there.
        labelled: whether sub-folders or `dataset.json` say of which class images are.

    Raises:
        DataError: as `load` does.
    """
    root = tree.root
    layout = laid_out(tree, test_fraction, seed, earlier, labelled)
    files = sorted(file for part in layout.files.values() for file in part)

    def kind_of(file: str) -> images.Kind:
        return images.kind(tree.open(file), tree.where(file), mode)

    kinds = _each(kind_of, files)
    kind = _common(root, files, kinds, size, fit)
    geometry = images.Geometry(kind.height, kind.width, fit, kind.levels)
    splits: dict[str, Split] = {
        name: FolderSplit(tree, tuple(part), layout.labels[name], geometry, mode)
        for name, part in layout.files.items()
    }
    wide = 2 if kind.levels > 256 else 1
    if len(files) * kind.height * kind.width * kind.channels * wide <= in_memory_mb * 1e6:
        splits = {name: split.decoded() for name, split in splits.items()}
    spec = DataSpec.of(
        name=name,
        shape=(kind.height, kind.width, kind.channels),
        levels=kind.levels,
        num_classes=len(layout.classes),
    )
    notes = (*layout.notes, *_frames(files, kinds), *_elsewhere(tree, files))
    drawn = layout.held_out
    return Dataset(spec, splits, str(root), layout.classes, notes, held_out=drawn)


def _elsewhere(tree: Tree, files: Sequence[str]) -> list[str]:
    """Says that links lead out of a folder, which somebody else may have made."""
    root = tree.root
    if not root.is_dir():
        return []
    home = root.resolve()
    places = {file: pathlib.Path(tree.open(file)) for file in files}
    inside = {
        folder: folder.resolve().is_relative_to(home)
        for folder in {place.parent for place in places.values()}
    }
    found = [
        file
        for file, place in places.items()
        if not inside[place.parent]
        or os.path.islink(place)
        and not place.resolve().is_relative_to(home)
    ]
    if not found:
        return []
    count = f"{len(found):,} image{'s' if len(found) > 1 else ''}"
    where = places[found[0]].resolve()
    return [f"links lead to {count} outside of {root}, e.g. {printable(found[0])} to {where}"]


def _frames(files: Sequence[str], kinds: Sequence[images.Kind]) -> list[str]:
    several = [file for file, kind in zip(files, kinds, strict=True) if kind.frames > 1]
    if not several:
        return []
    return [
        f"not used: all frames or pages but the first of {len(several):,} files, e.g. "
        f"{printable(several[0])}"
    ]


def _common(
    root: pathlib.Path,
    files: Sequence[str],
    kinds: Sequence[images.Kind],
    size: tuple[int, int] | None,
    fit: str,
) -> images.Kind:
    """The one kind that all images have, or are brought to."""
    modes = _groups(files, [kind.mode for kind in kinds])
    if len(modes) > 1:
        raise DataError(
            f"images of different kinds in {root}: {_listed(modes)}; bring them to one: add "
            f"--config.data.mode=RGB (or {', '.join(m for m in images.MODES if m != 'RGB')})"
        )
    if size is not None and fit != "none":
        return kinds[0]._replace(height=size[0], width=size[1])
    sizes = _groups(files, [f"{kind.height}x{kind.width}" for kind in kinds])
    if len(sizes) > 1:
        raise DataError(
            f"images of different sizes (height x width) in {root}: {_listed(sizes)}; models need "
            f"one size: add {images.ADVICE}"
        )
    if size is not None and size != (kinds[0].height, kinds[0].width):
        raise DataError(
            f"images in {root} are {kinds[0].height}x{kinds[0].width}, not {size[0]}x{size[1]}: "
            f"add --config.data.fit=crop (or pad, or stretch)"
        )
    return kinds[0]


def _groups(files: Sequence[str], keys: Sequence[str]) -> dict[str, list[str]]:
    """Files by key, the most frequent first."""
    groups = defaultdict(list)
    for file, key in zip(files, keys, strict=True):
        groups[key].append(file)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def _listed(groups: dict[str, list[str]], most: int = 5) -> str:
    parts = [
        f"{len(files):,} of {key} (e.g. {printable(files[0])})" for key, files in groups.items()
    ]
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def _each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """The results in order; the error raised is that of the first item that has one.

    Threads pay when a file is large or far away; on small files they fight over the interpreter
    and take four times as long as none. So the first few decide.
    """
    start = time.perf_counter()
    results = [function(item) for item in items[:TRIAL]]
    if time.perf_counter() - start < THREADS_PAY_S * len(results) or len(items) <= TRIAL:
        return results + [function(item) for item in items[TRIAL:]]
    with concurrent.futures.ThreadPoolExecutor(min(16, 2 * (os.cpu_count() or 1))) as pool:
        return results + list(pool.map(function, items[TRIAL:]))
