"""A folder of images: any size, 8 or 16 bit, with or without train/, test/ and class folders."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import os
import pathlib
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxgen.data import images
from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split, sampled_sha256
from jaxgen.types import DataSpec

TRIAL = 32  # files read before threads are considered
THREADS_PAY_S = 1e-3  # seconds a file above which they are used


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSplit(Split):
    """Image files decoded when asked for.

    Attributes:
        root: of the data set.
        files: paths relative to `root`, in order.
        label: int32 [N] or None.
        geometry: to which images are brought.
    """

    root: pathlib.Path
    files: tuple[str, ...]
    label: np.ndarray | None
    geometry: images.Geometry
    place = "from disk"

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labels(self) -> np.ndarray | None:
        """int32 [N] or None."""
        return self.label

    def read(self, index: int) -> np.ndarray:
        """One image, [H, W, C]."""
        path = self.root / self.files[index]
        return self.geometry.apply(images.decode(path, str(path)))

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        batch = {"x": np.stack([self.read(index) for index in indices])}
        if self.label is not None:
            batch["label"] = self.label[indices]
        return batch

    def sha256(self) -> str:
        """See `sampled_sha256`; the identity is every path and size in bytes."""
        sizes = (f"{file} {(self.root / file).stat().st_size}" for file in self.files)
        return sampled_sha256(self, "\n".join(sizes).encode())

    def decoded(self) -> ArraySplit:
        """All of it in memory."""
        x = np.stack(_each(self.read, range(len(self))))
        return ArraySplit(x, self.label)


def load(
    root: pathlib.Path,
    size: tuple[int, int] | None,
    fit: str,
    test_fraction: float,
    seed: int,
    in_memory_mb: float,
) -> Dataset:
    """Scans the headers of every image under `root`; decodes them all if they fit in memory.

    With a train/ folder, the splits are train/ and test/; without test/, or without either, a
    file is in the test split when the hash of `seed` and its path says so, whatever other files
    there are. Below that, sub-folders are classes, if there are two or more.

    Raises:
        DataError: on a folder without images, a bad file, or files that do not go together.
    """
    found = _find(root)
    by_split, notes = _divide(root, found, test_fraction, seed)
    classes, labels = _classes(root, by_split)
    if not classes:
        notes += _unlabelled(by_split)
    files = sorted(file for part in by_split.values() for file in part)
    kinds = _each(lambda file: images.kind(root / file, str(root / file)), files)
    kind = _common(root, files, kinds, size, fit)
    geometry = images.Geometry(kind.height, kind.width, fit, kind.levels)
    splits: dict[str, Split] = {
        name: FolderSplit(root, tuple(part), labels[name], geometry)
        for name, part in by_split.items()
    }
    wide = 2 if kind.levels > 256 else 1
    if len(files) * kind.height * kind.width * kind.channels * wide <= in_memory_mb * 1e6:
        splits = {name: split.decoded() for name, split in splits.items()}
    spec = DataSpec(
        name=root.resolve().name,
        shape=(kind.height, kind.width, kind.channels),
        levels=kind.levels,
        num_classes=len(classes),
    )
    return Dataset(spec, splits, source=f"folder {root}", classes=classes, notes=tuple(notes))


def _find(root: pathlib.Path) -> dict[str, list[str]]:
    """Relative paths, sorted, of the "images" and of the "other" files under `root`."""
    found: dict[str, list[str]] = {"images": [], "other": []}
    seen = set()
    for place, folders, files in os.walk(root, followlinks=True):
        seen.add(os.path.realpath(place))
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__MACOSX"))
            and os.path.realpath(os.path.join(place, name)) not in seen
        ]
        for name in files:
            if not name.startswith("."):
                is_image = name.lower().endswith(images.SUFFIXES)
                relative = pathlib.Path(place, name).relative_to(root).as_posix()
                found["images" if is_image else "other"].append(relative)
    if not found["images"]:
        held = f"only {', '.join(sorted(found['other'])[:3])}" if found["other"] else "no files"
        raise DataError(
            f"no images in {root}: it holds {held}; expected files named "
            f"*{' *'.join(images.SUFFIXES)}, in sub-folders if you like"
        )
    return {key: sorted(value) for key, value in found.items()}


def _divide(
    root: pathlib.Path, found: dict[str, list[str]], test_fraction: float, seed: int
) -> tuple[dict[str, list[str]], list[str]]:
    """Files by split, and notes on what is left out."""
    notes = []
    if found["other"]:
        notes.append(f"{len(found['other']):,} other files ignored, e.g. {found['other'][0]}")
    files = found["images"]
    tests = [file for file in files if file.startswith("test/")]
    trains = [file for file in files if file.startswith("train/")]
    if tests and not trains:
        raise DataError(f"{root} has images in test/ but none in train/: add train/")
    if trains:
        outside = sorted(set(files) - set(tests) - set(trains))
        if outside:
            notes.append(
                f"{len(outside):,} images outside train/ and test/ ignored, e.g. {outside[0]}"
            )
        files = trains
    if not tests:
        if len(files) < 2:
            raise DataError(f"expected at least 2 images in {root}, got {len(files)}")
        share = {file: _hash01(f"{seed}:{file}") for file in files}
        # At least one file on either side, however few there are.
        ranked = sorted(share.values())
        limit = min(max(test_fraction, ranked[0]), ranked[-2])
        tests = [file for file in files if share[file] <= limit]
        files = [file for file in files if share[file] > limit]
    return {"train": files, "test": tests}, notes


def _hash01(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def _classes(
    root: pathlib.Path, by_split: dict[str, list[str]]
) -> tuple[tuple[str, ...], dict[str, np.ndarray | None]]:
    """Names of the classes, sorted, and labels by split; () and None where there are none."""
    names = {split: [_class(file) for file in files] for split, files in by_split.items()}
    known = sorted(set(names["train"]) - {None})
    every = set(names["train"]) | set(names["test"])
    if None in every and len(every) > 1:
        loose = next(f for files in by_split.values() for f in files if _class(f) is None)
        raise DataError(
            f"{root} has images both in sub-folders ({', '.join(sorted(every - {None})[:3])}) and "
            f"beside them ({loose}): sub-folders are classes, so move those images into one"
        )
    if len(every) < 2:
        return (), {"train": None, "test": None}
    for name, file in zip(names["test"], by_split["test"], strict=True):
        if name not in known:
            raise DataError(
                f"{root}: test image {file} is of class {name!r}, of which there is no train image"
            )
    number = {name: k for k, name in enumerate(known)}
    labels = {
        split: np.array([number[name] for name in of], np.int32) for split, of in names.items()
    }
    return tuple(known), labels


def _class(file: str) -> str | None:
    """The first folder below train/ or test/."""
    parts = file.split("/")
    if len(parts) > 1 and parts[0] in ("train", "test"):
        parts = parts[1:]
    return parts[0] if len(parts) > 1 else None


def _unlabelled(by_split: dict[str, list[str]]) -> list[str]:
    name = _class(by_split["train"][0])
    return [f"one sub-folder only ({name}): taken as unlabelled"] if name else []


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
            f"images of different kinds in {root}: {_listed(modes)}; convert them to one, in "
            f'Python: PIL.Image.open(file).convert("RGB").save(file)'
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
    parts = [f"{len(files):,} of {key} (e.g. {files[0]})" for key, files in groups.items()]
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
