"""Examples of two domains that are no pairs: `x` of the first, A, and `b` of the second, B."""

from __future__ import annotations

import dataclasses
import hashlib
import pathlib
import re
from typing import Any

import numpy as np

from jaxgen.data import folder
from jaxgen.data.dataset import DataError, Dataset, Split
from jaxgen.data.loader import Order
from jaxgen.data.trees import FolderTree, Part, Tree, ZipTree
from jaxgen.fields import DataSpec

SECOND = 4  # tells the seed of the order of B from those of other things that a run draws
_PLACE = re.compile(r"(?:(train|test|val)(?:/|(?=[AB]/)))?([AB])/(.+)")


@dataclasses.dataclass(frozen=True, eq=False)
class UnpairedSplit(Split):
    """Two splits side by side, each in an order and with epochs of its own.

    A visit to all examples goes through the longer of the two once, and pairs by index, the shorter
    one again from its start.

    Attributes:
        a: whose "x" is the field x.
        b: whose "x" is the field b.
    """

    a: Split
    b: Split
    redraws = True

    def __post_init__(self) -> None:
        """Raises DataError for a domain without examples."""
        for name, split in (("A", self.a), ("B", self.b)):
            if not len(split):
                raise DataError(f"domain {name} has no examples: expected some of A and some of B")

    def __len__(self) -> int:
        return max(len(self.a), len(self.b))

    @property
    def place(self) -> str:
        """Of the first."""
        return self.a.place

    @property
    def decodes(self) -> bool:
        """See `Split`."""
        return self.a.decodes or self.b.decodes

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        x, b = (s.take(np.asarray(indices) % len(s))["x"] for s in (self.a, self.b))
        return {"x": x, "b": b}

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`. B walks by a seed of its own, so that no two stay side by side."""
        seeds = seed, int(np.random.RandomState([seed, SECOND]).randint(2**32, dtype=np.uint32))
        orders = (
            Order(len(s), len(indices), own) for s, own in zip((self.a, self.b), seeds, strict=True)
        )
        x, b = (s.take(o[index][rows])["x"] for s, o in zip((self.a, self.b), orders, strict=True))
        return {"x": x, "b": b}

    def sha256(self) -> str:
        """Hash of the hashes."""
        return hashlib.sha256(f"{self.a.sha256()} {self.b.sha256()}".encode()).hexdigest()

    def describe(self, spec: DataSpec) -> list[str]:
        """How many there are of each."""
        return [f"  domains: A {len(self.a):,} examples as x, B {len(self.b):,} as b; no pairs"]


def load(root: pathlib.Path, **options: Any) -> Dataset:
    """Images of two domains in a folder or .zip.

    They lie in `trainA/ trainB/` and `testA/ testB/`, as the data sets of CycleGAN do, in
    `train/A/` and so on, or in `A/` and `B/`, of each of which some are held out for the test.

    Args:
        root: the folder or .zip.
        **options: of `folder.read`.

    Raises:
        DataError: for a domain without images, images that do not go together, or a bad file.
    """
    tree: Tree = FolderTree(root) if root.is_dir() else ZipTree(root)
    a, b = (_domain(tree, root, name, options) for name in "AB")
    if a.spec.shape[:2] != b.spec.shape[:2]:
        sizes = " and ".join(f"{h}x{w}" for h, w, _ in (a.spec.shape, b.spec.shape))
        raise DataError(
            f"images of A and of B in {root} are {sizes} (height x width); models need one size: "
            f"add {folder.images.ADVICE}"
        )
    splits: dict[str, Split] = {k: UnpairedSplit(a.splits[k], b.splits[k]) for k in a.splits}
    fields = {"x": a.spec.x, "b": b.spec.x}
    spec = DataSpec(root.resolve().name if root.is_dir() else root.stem, fields)
    notes = dict.fromkeys((*a.notes, *b.notes))
    held = a.held_out or b.held_out
    return Dataset(spec, splits, f"domains {root}", notes=tuple(notes), held_out=held)


def _domain(tree: Tree, root: pathlib.Path, name: str, options: dict[str, Any]) -> Dataset:
    """One of the two, as a folder of its own."""
    files = {}
    for file in tree.files:
        found = _PLACE.fullmatch(file)
        if found and found[2] == name:
            files[f"{found[1]}/{found[3]}" if found[1] else found[3]] = file
    part = Part(tree, files)
    if not any(f.lower().endswith(folder.images.SUFFIXES) for f in files):
        raise DataError(
            f"{root} has no images of domain {name}: expected A/ and B/, or trainA/, trainB/, "
            "testA/ and testB/"
        )
    return folder.read(part, name, **options)
