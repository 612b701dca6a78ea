"""Which image files are for training and which for the test, and of which class each is.

Three layouts: plain images; class folders; the shards of StyleGAN's `dataset_tool.py`, `00000/`,
`00001/` and on, with labels in `dataset.json`. Each below `train/` and `test/`, or without.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from jaxgen.data import images
from jaxgen.data.dataset import DataError
from jaxgen.data.labels import checked_labels
from jaxgen.data.trees import Tree, printable, read_bytes
from jaxgen.stored import parse

SPLITS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "validation": ("val", "valid", "validation"),
}
_SPLIT = {name: split for split, names in SPLITS.items() for name in names}
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".npz", ".npy")
LABELS = "dataset.json"
LARGEST_LABELS = 2**28  # bytes of that file
_SHARD = re.compile(r"(?:.*/)?(\d{5})/img(\d{8})\.[a-z]+$")  # image n is in shard n // 1000


@dataclasses.dataclass(frozen=True)
class Layout:
    """What the files of a tree are.

    Attributes:
        files: "train" and "test" -> relative paths, sorted.
        labels: "train" and "test" -> int32 [N], or None.
        classes: names of the labels.
        notes: on all that is not used, and on what stands in for something.
        held_out: the test split was drawn.
    """

    files: Mapping[str, Sequence[str]]
    labels: Mapping[str, np.ndarray | None]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    held_out: bool


def laid_out(
    tree: Tree, test_fraction: float, seed: int, earlier: bool = False, labelled: bool = True
) -> Layout:
    """Divides the files of a tree.

    With a train folder, the splits are it and the test folder; without that the validation folder
    stands in; without either, or without a train folder, a file is in the test split when the
    hash of `seed` and its path says so, whatever other files there are. Below that, sub-folders
    are classes, if there are two or more, unless `dataset.json` has the labels, or they are not
    to be `labelled`. The `earlier` rules, of version 0.1, knew `train/` and `test/` in small
    letters and no `dataset.json`.

    Raises:
        DataError: on a tree without images, or files that do not go together.
    """
    pictures = [file for file in tree.files if file.lower().endswith(images.SUFFIXES)]
    if earlier and labelled:
        return _laid_out_earlier(tree, pictures, test_fraction, seed)
    tables = [file for file in tree.files if labelled and file.split("/")[-1] == LABELS]
    listed, notes = _listed(tree, tables, set(pictures))
    other = [file for file in tree.files if file not in set(pictures) and file not in listed.read]
    if not pictures:
        raise DataError(_nothing(tree, other))
    if other:
        notes.append(f"not used: {_counted(other)}")
    if tree.empty:
        shown = ", ".join(map(printable, tree.empty[:5])) + (", ..." if tree.empty[5:] else "")
        notes.append(f"not used: folders that are empty: {shown}")
    files, more = _divided(tree, pictures, test_fraction, seed)
    if not labelled or listed.read or _sharded(pictures):
        classes, labels = (), dict.fromkeys(files)
        if listed.label or listed.absent:
            labels = _by_list(tree, files, listed.label)
            top = max((int(part.max()) for part in labels.values() if len(part)), default=-1)
            classes = tuple(map(str, range(top + 1)))
    else:
        classes, labels = _by_folder(tree, files)
        if not classes and (name := _class(files["train"][0])):
            more.append(f"one sub-folder only ({printable(name)}): taken as unlabelled")
    drawn = {_split_of(files["train"][0]), _split_of(files["test"][0])} <= {None, "train"}
    return Layout(files, labels, classes, (*notes, *more), drawn)


def _laid_out_earlier(tree: Tree, pictures: list[str], test_fraction: float, seed: int) -> Layout:
    trains = [file for file in pictures if file.startswith("train/")]
    tests = [file for file in pictures if file.startswith("test/")]
    files = {"train": trains or pictures, "test": tests}
    if not tests:
        files = _held_out(tree, files["train"], test_fraction, seed, at_most=1)
    elif not trains:
        raise DataError(f"{tree.root} has images in test/ but none in train/: add train/")
    classes, labels = _by_folder(tree, files, lambda file: _first_below(file, ("train", "test")))
    notes = ("divided by the rules of version 0.1, as the run was",)
    return Layout(files, labels, classes, notes, held_out=not tests)


def _nothing(tree: Tree, other: Sequence[str]) -> str:
    held = "no files"
    if other:
        held = f"only {', '.join(map(printable, other[:3]))}"
    if tables := [f for f in other if f.lower().endswith(TABLES)]:
        held += f" (a table is named itself: --config.data.name={tree.where(tables[0])})"
    return (
        f"no images in {tree.root}: it holds {held}; expected files named "
        f"*{' *'.join(images.SUFFIXES)}, in sub-folders if you like"
    )


def _counted(files: Sequence[str]) -> str:
    """Files by their suffix, most frequent first: "3 .txt, 1 .json, e.g. notes.txt"."""
    kinds = collections.Counter(
        "." + f.rpartition(".")[2].lower() if "." in f.split("/")[-1] else "without suffix"
        for f in files
    )
    parts = [f"{count:,} {printable(kind)}" for kind, count in kinds.most_common(5)]
    more = ", ..." if len(kinds) > 5 else ""
    plural = "files" if len(files) > 1 else "file"
    return f"{', '.join(parts)}{more} {plural}, e.g. {printable(files[0])}"


def _split_of(file: str) -> str | None:
    """Of the first folder, in any capitals."""
    first, slash, _ = file.partition("/")
    return _SPLIT.get(first.lower()) if slash else None


def _divided(
    tree: Tree, pictures: Sequence[str], test_fraction: float, seed: int
) -> tuple[dict[str, list[str]], list[str]]:
    """Files by split, and notes on what is left out."""
    notes: list[str] = []
    by_split: dict[str | None, list[str]] = collections.defaultdict(list)
    for file in pictures:
        by_split[_split_of(file)].append(file)
    trains, tests = by_split["train"], by_split["test"]
    folder = {split: part[0].partition("/")[0] for split, part in by_split.items() if part}
    if tests and not trains:
        name = folder["test"]
        raise DataError(f"{tree.root} has images in {name}/ but none in train/: add train/")
    if not trains:
        return _held_out(tree, list(pictures), test_fraction, seed), notes
    outside, spare = by_split[None], by_split["validation"]
    if outside:
        named = " and ".join(f"{folder[k]}/" for k in ("train", "test") if k in folder)
        notes.append(
            f"not used: {len(outside):,} images outside {named}, e.g. {printable(outside[0])}"
        )
    if spare and tests:
        notes.append(
            f"not used: {len(spare):,} images in {folder['validation']}/, since "
            f"{folder['test']}/ is the test split"
        )
    elif spare:
        notes.append(
            f"no test/: the {len(spare):,} images in {folder['validation']}/ are the test split"
        )
        tests = spare
    if tests:
        return {"train": trains, "test": tests}, notes
    return _held_out(tree, trains, test_fraction, seed), notes


def _held_out(
    tree: Tree, files: list[str], test_fraction: float, seed: int, at_most: float = 0.5
) -> dict[str, list[str]]:
    """A share of the files for the test, at least one on either side.

    Of very few files the hash may pick most, hence `at_most` of them, unless more are asked for.
    """
    if len(files) < 2:
        raise DataError(f"expected at least 2 images in {tree.root}, got {len(files)}")
    share = {file: _hash01(f"{seed}:", file) for file in files}
    ranked = sorted(share.values())
    limit = min(max(test_fraction, ranked[0]), ranked[-2])
    if test_fraction <= at_most < 1:
        limit = min(limit, ranked[int(len(files) * at_most) - 1])
    return {
        "train": [file for file in files if share[file] > limit],
        "test": [file for file in files if share[file] <= limit],
    }


def _hash01(before: str, file: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    digest = hashlib.sha256(before.encode() + file.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def _class(file: str) -> str | None:
    """The first folder below that of the split."""
    return _first_below(file, () if _split_of(file) is None else (file.partition("/")[0],))


def _first_below(file: str, splits: Collection[str]) -> str | None:
    """The first folder of a path, or the second where the first is one of `splits`."""
    folders = file.split("/")[:-1]
    if folders and folders[0] in splits:
        folders = folders[1:]
    return folders[0] if folders else None


def _by_folder(
    tree: Tree,
    files: Mapping[str, Sequence[str]],
    class_of: Callable[[str], str | None] | None = None,
) -> tuple[tuple[str, ...], dict[str, np.ndarray | None]]:
    """Names of the classes, sorted, and labels by split; () and None where there are none."""
    class_of = class_of or _class
    names = {split: [class_of(file) for file in part] for split, part in files.items()}
    every = set(names["train"]) | set(names["test"])
    if None in every and len(every) > 1:
        loose = next(f for part in files.values() for f in part if class_of(f) is None)
        raise DataError(
            f"{tree.root} has images both in sub-folders "
            f"({', '.join(map(printable, sorted(every - {None})[:3]))}) and beside them "
            f"({printable(loose)}): sub-folders are classes, so move those images into one"
        )
    if len(every) < 2:
        return (), dict.fromkeys(files)
    known = sorted(set(names["train"]) - {None})
    for name, file in zip(names["test"], files["test"], strict=True):
        if name not in known:
            raise DataError(
                f"{tree.root}: test image {printable(file)} is of class {printable(name)!r}, of "
                f"which there is no train image"
            )
    number = {name: k for k, name in enumerate(known)}
    labels = {k: np.array([number[name] for name in of], np.int32) for k, of in names.items()}
    return tuple(map(printable, known)), labels


def _sharded(files: Sequence[str]) -> bool:
    """Whether the folders are shards of `dataset_tool.py`, which are no classes."""
    found = [_SHARD.match(file) for file in files]
    return all(m and int(m[2]) // 1000 == int(m[1]) for m in found)


@dataclasses.dataclass(frozen=True)
class _Listed:
    """What `dataset.json` files say: those `read`, file -> label, and files that are `absent`."""

    read: frozenset[str]
    label: Mapping[str, int]
    absent: Sequence[str]


def _listed(tree: Tree, tables: Sequence[str], pictures: set[str]) -> tuple[_Listed, list[str]]:
    """Labels of all files, and notes on labels of files that are not there."""
    label: dict[str, int] = {}
    read, notes, absent = [], [], []
    for table in tables:
        folder = table[: -len(LABELS)]
        found = _labels_in(tree, table)
        if found is None:
            continue
        read.append(table)
        for name, value in found:
            file = folder + str(name).replace("\\", "/")
            if file in pictures:
                label[file] = value
            else:
                absent.append(file)
    if absent:
        notes.append(
            f"not used: {len(absent):,} labels in {LABELS} of files that are not there, e.g. "
            f"{printable(absent[0])}"
        )
    return _Listed(frozenset(read), label, absent), notes


def _labels_in(tree: Tree, table: str) -> list[tuple[str, int]] | None:
    """The pairs of one `dataset.json`; [] where its labels are null; None if it is another file."""
    if tree.size(table) > LARGEST_LABELS:
        raise DataError(f"{tree.where(table)} has {tree.size(table):,} bytes: no list of labels")
    try:
        content = parse(read_bytes(tree, table))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{tree.where(table)} is damaged: {error}") from error
    if not isinstance(content, dict) or "labels" not in content:
        return None
    pairs = content["labels"]
    if pairs is None:
        return []
    if not isinstance(pairs, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs
    ):
        raise DataError(f'{tree.where(table)}: expected "labels": [["00000/img.png", 3], ...]')
    if any(type(value) is not int for _, value in pairs):
        name, value = next(pair for pair in pairs if type(pair[1]) is not int)
        raise DataError(
            f"{tree.where(table)}: label {str(value)[:40]} of {name} is no class number"
        )
    return [tuple(pair) for pair in pairs]


def _by_list(
    tree: Tree, files: Mapping[str, Sequence[str]], label: Mapping[str, int]
) -> dict[str, np.ndarray]:
    missing = [file for part in files.values() for file in part if file not in label]
    if missing:
        raise DataError(
            f"{tree.root}: {LABELS} has no label of {len(missing):,} images, e.g. "
            f"{printable(missing[0])}"
        )
    return {
        split: checked_labels([label[file] for file in part], len(part), f"{tree.root}: {LABELS}")
        for split, part in files.items()
    }
