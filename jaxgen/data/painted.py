"""Images with the layouts of which they are pictures: folders `images/`, `layouts/`, `instances/`.

A layout is an image of class numbers, an instance map one of numbers that tell objects apart. What
belongs together has one file name, but for the suffix.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen.data import folder, images
from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split, sampled_sha256
from jaxgen.data.trees import FolderTree, Part, Tree, ZipTree, printable, read_bytes

PLACES = {"images": "x", "layouts": "layout", "instances": "instances"}
NAMED = "classes.txt"


@dataclasses.dataclass(frozen=True, eq=False)
class PaintedSplit(Split):
    """Image files, and the maps that belong to them.

    Attributes:
        pictures: the images.
        tree: that holds the maps.
        maps: field -> paths, in the order of the images.
        classes: of the layouts.
    """

    pictures: folder.FolderSplit
    tree: Tree
    maps: Mapping[str, Sequence[str]]
    classes: int
    place = "from disk"
    decodes = True

    def __len__(self) -> int:
        return len(self.pictures)

    def read(self, field: str, index: int) -> np.ndarray:
        """One map, int32 [H, W].

        Raises:
            DataError: for one of another size than its image, or with a class that there is not.
        """
        file = self.maps[field][index]
        where, picture = self.tree.where(file), self.pictures.files[index]
        numbers = images.numbers(self.tree.open(file), where)
        kind = images.kind(self.pictures.tree.open(picture), self.pictures.tree.where(picture))
        if numbers.shape != (kind.height, kind.width):
            raise DataError(
                f"{where} is {'x'.join(map(str, numbers.shape))} and its image "
                f"{kind.height}x{kind.width} (height x width): a map has a number for each pixel"
            )
        if field == "layout" and numbers.max() >= self.classes:
            raise DataError(
                f"{where} has class {numbers.max()} and {NAMED} names {self.classes}, 0 to "
                f"{self.classes - 1}: add a line for each class, or renumber the pixels"
            )
        return self.pictures.geometry.nearest(numbers)

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        maps = {k: np.stack([self.read(k, i) for i in indices]) for k in self.maps}
        return self.pictures.take(indices) | maps

    def sha256(self) -> str:
        """See `sampled_sha256`; the identity is every path and size in bytes."""
        files = [file for part in self.maps.values() for file in part]
        sizes = "\n".join(f"{file} {self.tree.size(file)}" for file in files)
        identity = f"{self.pictures.sha256()} {sizes}".encode("utf-8", "surrogateescape")
        return sampled_sha256(self, identity)


def load(root: pathlib.Path, *, in_memory_mb: float, **options: Any) -> Dataset:
    """Images and their layouts in a folder or .zip, maybe with instances.

    Names of the classes are the lines of `classes.txt`; without it there are as many as the highest
    number says. Splits are those of the images, `images/train/` and so on; maps lie as they do.

    Args:
        root: the folder or .zip.
        in_memory_mb: up to that many megabytes of decoded arrays are kept in memory.
        **options: of `folder.read`.

    Raises:
        DataError: for an image without a layout, a layout without an image, two that have one
            name, maps of another size or with numbers beyond the classes, or a bad file.
    """
    if options["fit"] == "pad":
        raise DataError("data.fit=pad: the border of a layout has no class; take crop or stretch")
    tree: Tree = FolderTree(root) if root.is_dir() else ZipTree(root)
    found = {name: _stems(tree, root, name) for name in PLACES}
    for name in ("images", "layouts"):
        if not found[name]:
            raise DataError(f"{root} has no images in {name}/: expected images/ and layouts/")
    pairs = [name for name in PLACES if found[name]]
    _check_partners(root, {name: found[name] for name in pairs})
    part = Part(tree, {file.partition("/")[2]: file for file in found["images"].values()})
    name = root.resolve().name if root.is_dir() else root.stem
    pictures = folder.read(part, name, in_memory_mb=0, labelled=False, **options)
    classes = _classes(tree, found["layouts"].values())
    splits: dict[str, Split] = {}
    for key, split in pictures.splits.items():
        assert isinstance(split, folder.FolderSplit)
        stems = [file.rpartition(".")[0] for file in split.files]
        maps = {PLACES[k]: [found[k][stem] for stem in stems] for k in pairs if k != "images"}
        splits[key] = PaintedSplit(split, tree, maps, len(classes))
    place, count = pictures.spec.shape[:2], sum(map(len, splits.values()))
    spec = pictures.spec.with_field(
        "layout", kind="layout", shape=place, dtype="int32", classes=len(classes)
    )
    if found["instances"]:
        spec = spec.with_field("instances", kind="instances", shape=place, dtype="int32")
    held = sum(f.dims * np.dtype(f.dtype).itemsize for f in spec.fields.values())
    if count * held <= in_memory_mb * 1e6:
        splits = {k: ArraySplit(s.take(np.arange(len(s)))) for k, s in splits.items()}
    return dataclasses.replace(pictures, spec=spec, splits=splits, source=f"layouts {root}")


def _stems(tree: Tree, root: pathlib.Path, place: str) -> dict[str, str]:
    """Path below `place` without the suffix -> path, of its image files."""
    files = [f for f in tree.files if f.startswith(f"{place}/")]
    files = [f for f in files if f.lower().endswith(images.SUFFIXES)]
    by_stem = collections.defaultdict(list)
    for file in files:
        by_stem[file.partition("/")[2].rpartition(".")[0]].append(file)
    for several in by_stem.values():
        if len(several) > 1:
            first, second = map(printable, several[:2])
            raise DataError(f"{root} has both {first} and {second}: one name, one file")
    return {stem: several[0] for stem, several in by_stem.items()}


def _check_partners(root: pathlib.Path, found: Mapping[str, Mapping[str, str]]) -> None:
    for place, other in (("images", p) for p in found if p != "images"):
        for here, there in ((place, other), (other, place)):
            alone = sorted(found[here].keys() - found[there].keys())
            if alone:
                raise DataError(
                    f"{root}: {printable(found[here][alone[0]])} has no partner in {there}/ of "
                    f"the same name ({len(alone):,} such): add it, or delete that file"
                )


def _classes(tree: Tree, layouts: Iterable[str]) -> tuple[str, ...]:
    """Names of the classes, or their numbers."""
    if NAMED in tree.files:
        lines = read_bytes(tree, NAMED).decode("utf-8", "replace").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    highest = max(int(images.numbers(tree.open(f), tree.where(f)).max()) for f in layouts)
    return tuple(map(str, range(highest + 1)))
