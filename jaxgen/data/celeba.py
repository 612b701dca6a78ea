"""CelebA from the files of its authors: aligned faces and the division into train and test.

Source: Liu et al. 2015, "Deep Learning Face Attributes in the Wild" (ICCV);
https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html. Of `list_eval_partition.txt` 0 is train, 1 is
validation, which is left out, 2 is test.
"""

from __future__ import annotations

import pathlib

from jaxgen.data import images
from jaxgen.data.dataset import DataError, Dataset, Split
from jaxgen.data.folder import FolderSplit
from jaxgen.data.trees import FolderTree, Tree, ZipTree
from jaxgen.types import DataSpec

NAME = "celeb_a"
ARCHIVE, DIVISION = "img_align_celeba.zip", "list_eval_partition.txt"
FACES = "img_align_celeba"  # the folder that the archive holds
PARTS = {"0": "train", "1": "validation", "2": "test"}
HEIGHT, WIDTH = 218, 178


def load(
    root: pathlib.Path, size: tuple[int, int] | None, fit: str, in_memory_mb: float, advice: str
) -> Dataset:
    """The faces, at their size or brought to another one; in memory where they fit.

    Args:
        root: folder of the two files; the archive may be unpacked there.
        size: see `jaxgen.data.load`, as the rest.
        fit: see there.
        in_memory_mb: see there.
        advice: what to do where a file is missing.

    Raises:
        DataError: naming the file that is absent or damaged.
    """
    archive, folder = root / ARCHIVE, root / FACES
    if not (archive.is_file() or folder.is_dir()):
        raise DataError(f"no {archive}, nor {folder}; {advice}")
    tree: Tree = FolderTree(folder) if folder.is_dir() else ZipTree(archive)
    divided = _divided(root / DIVISION, advice)
    there = set(tree.files)
    for files in divided.values():
        if missing := [file for file in files if file not in there]:
            raise DataError(
                f"{tree.root} misses {len(missing):,} of {len(files):,} faces, as {missing[0]}; "
                "fetch it anew"
            )
    height, width = size or (HEIGHT, WIDTH)
    geometry = images.Geometry(height, width, fit, 256)
    splits: dict[str, Split] = {}
    for split in ("train", "test"):
        found = FolderSplit(tree, tuple(divided[split]), None, geometry, "RGB")
        whole = len(found) * height * width * 3 <= in_memory_mb * 1e6
        splits[split] = found.decoded() if whole else found
    spec = DataSpec.of(NAME, (height, width, 3), levels=256)
    return Dataset(spec, splits, source=f"files in {root}")


def _divided(path: pathlib.Path, advice: str) -> dict[str, list[str]]:
    """part -> names of its faces, from lines as "000001.jpg 0"."""
    try:
        lines = path.read_text().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path} ({error}); {advice}") from error
    found: dict[str, list[str]] = {name: [] for name in PARTS.values()}
    for number, line in enumerate(filter(str.strip, lines), 1):
        name, _, part = line.strip().partition(" ")
        if part.strip() not in PARTS or not name:
            raise DataError(f"{path}, line {number}: {line[:60]!r}, expected a name and 0, 1 or 2")
        found[PARTS[part.strip()]].append(name)
    if not found["train"] or not found["test"]:
        raise DataError(f"{path} names no train or no test faces; fetch it anew")
    return found
