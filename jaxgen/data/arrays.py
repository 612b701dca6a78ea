"""Arrays in .npz and .npy files: images [N, H, W, C] or [N, H, W], points [N, D]."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split, holdout, sampled_sha256
from jaxgen.data.limits import load_npy, open_npz
from jaxgen.types import DataSpec

CHUNK_BYTES = 2**26  # of an array, looked at in one go
_X = ("x", "images", "image")
_LABEL = {"x": "y", "images": "labels", "image": "label"}
_LEVELS = {"bool": 2, "uint8": 256, "uint16": 65536}
_KEYS = (
    "x, images or image (labels: y, labels or label), or x_train and x_test (labels: y_train and "
    "y_test), or train_images and test_images (labels: train_labels and test_labels)"
)


@dataclasses.dataclass(frozen=True, eq=False)
class MappedSplit(Split):
    """Rows of an array that stays on disk.

    Attributes:
        array: memory map, [N, ...].
        rows: int64 [M], those that belong to this split.
    """

    array: np.ndarray
    rows: np.ndarray
    place = "mapped from disk"

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        return {"x": _converted(self.array[self.rows[indices]])}

    def sha256(self) -> str:
        """See `sampled_sha256`; the identity is dtype and shape of the file."""
        return sampled_sha256(self, f"{self.array.dtype.str} {self.array.shape};".encode())


def load(path: pathlib.Path, test_fraction: float, seed: int, in_memory_mb: float) -> Dataset:
    """The data set in one file.

    A .npy file holds the examples; a .npz file holds `x`, `images` or `image`, with labels `y`,
    `labels` or `label` if any, or the two splits as `x_train`, `x_test`, `y_train`, `y_test` or
    `train_images`, `test_images` and so on. Without a test split, a seeded draw of
    `test_fraction` of the examples is held out. bool, uint8 and uint16 are grey levels, floats
    are continuous. A .npy file above `in_memory_mb` is mapped, not read.

    Raises:
        DataError: on contents that are ambiguous or cannot be used.
    """
    large = path.suffix == ".npy" and path.stat().st_size > in_memory_mb * 1e6
    if path.suffix == ".npy":
        parts = {"": (load_npy(path, mapped=large), None)}
    else:
        with open_npz(path) as archive:
            parts = _pick(path, archive)
    for split, (x, _) in parts.items():
        _check(x, f"{path}{split and ', '}{split}")
    whole, label = next(iter(parts.values()))
    spec = DataSpec(path.stem, _shape(whole), _LEVELS.get(whole.dtype.name))
    if large:
        trains, tests = holdout(len(whole), test_fraction, seed)
        splits: dict[str, Split] = {
            "train": MappedSplit(whole, trains),
            "test": MappedSplit(whole, tests),
        }
    else:
        splits = _in_memory(path, parts, test_fraction, seed)
        known = [split.labels for split in splits.values() if split.labels is not None]
        classes = 1 + max((int(labels.max()) for labels in known), default=-1)
        spec = dataclasses.replace(spec, num_classes=classes)
    return Dataset(spec, splits, source=f"file {path}")


def _pick(path: pathlib.Path, archive) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    """The arrays to use, by split, or one pair under "" where there is no test split."""
    keys = set(archive.files)
    for x_key in _X:
        y_key = _LABEL[x_key]
        parts = {}
        for split in ("train", "test"):
            for form in ("{}_" + split, split + "_{}"):
                if form.format(x_key) in keys:
                    y = form.format(y_key)
                    parts[split] = (archive[form.format(x_key)], archive[y] if y in keys else None)
        if x_key in keys:
            parts = {"": (archive[x_key], archive[y_key] if y_key in keys else None)}
        if set(parts) == {"train"}:
            parts = {"": parts["train"]}
        if set(parts) == {"test"}:
            raise DataError(f"{path} has a test split and no train split: {', '.join(keys)}")
        if parts:
            return parts
    raise DataError(f"no examples in {path}: expected {_KEYS}; got {', '.join(sorted(keys))}")


def _in_memory(
    path: pathlib.Path,
    parts: dict[str, tuple[np.ndarray, np.ndarray | None]],
    test_fraction: float,
    seed: int,
) -> dict[str, Split]:
    """The splits as converted arrays."""
    splits = {}
    for split, (x, label) in parts.items():
        splits[split] = ArraySplit(_converted(x), _labels(label, len(x), path))
    if "" not in splits:
        train, test = splits["train"], splits["test"]
        if (train.x.dtype, train.x.shape[1:]) != (test.x.dtype, test.x.shape[1:]):
            raise DataError(
                f"{path}: train is {parts['train'][0].dtype} {train.x.shape[1:]} and test is "
                f"{parts['test'][0].dtype} {test.x.shape[1:]}: expected the same of both"
            )
        if (train.label is None) != (test.label is None):
            raise DataError(f"{path}: expected labels of both splits or of none, got one")
        return splits
    x, label = splits[""].x, splits[""].label
    halves = zip(("train", "test"), holdout(len(x), test_fraction, seed), strict=True)
    return {
        name: ArraySplit(x[rows], None if label is None else label[rows]) for name, rows in halves
    }


def _check(x: np.ndarray, where: str) -> None:
    """Refuses what is no data set of images or points, saying how to make it one."""
    got = f"{where}: got {x.dtype} {list(x.shape)}"
    if x.dtype.name not in _LEVELS and x.dtype.kind != "f":
        raise DataError(
            f"{got}; expected bool, uint8, uint16 or floats: for grey levels 0 .. 255 save "
            f"x.astype(numpy.uint8), for continuous values x.astype(numpy.float32)"
        )
    if 0 in x.shape:
        raise DataError(f"{got}; expected at least one example")
    if x.ndim not in (2, 3, 4):
        raise DataError(
            f"{got}; expected images [N, H, W, C] or [N, H, W], or points [N, D] (one-dimensional "
            f"points as x[:, None])"
        )
    if x.ndim == 2 and x.dtype.kind != "f":
        raise DataError(
            f"{got}; points [N, D] must be floats; flattened images must be reshaped to "
            f"[N, H, W, C]"
        )
    if x.ndim == 4 and x.shape[1] <= 4 < x.shape[3]:
        raise DataError(
            f"{got}, which looks like [N, C, H, W]; expected [N, H, W, C]: save "
            f"x.transpose(0, 2, 3, 1)"
        )
    if x.dtype.kind == "f":
        rows = max(1, CHUNK_BYTES // max(x[:1].nbytes, 1))
        for first in range(0, len(x), rows):
            bad = ~np.isfinite(_converted(x[first : first + rows]).reshape(-1, *x.shape[1:]))
            if bad.any():
                index = np.argwhere(bad)[0] + np.array([first] + [0] * (x.ndim - 1))
                place = ", ".join(map(str, index))
                raise DataError(
                    f"{where}: x[{place}] is {x[tuple(index)]}, not a finite float32; remove or "
                    f"fill such values"
                )


def _shape(x: np.ndarray) -> tuple[int, ...]:
    """Of one example."""
    return (*x.shape[1:], 1) if x.ndim == 3 else x.shape[1:]


def _converted(x: np.ndarray) -> np.ndarray:
    """In the dtype and shape that `Split.take` promises."""
    dtype = {"f": np.float32, "b": np.uint8}.get(x.dtype.kind, x.dtype.newbyteorder("="))
    with np.errstate(over="ignore"):  # what float32 cannot hold is reported by `_check`
        return x.astype(dtype).reshape(len(x), *_shape(x))


def _labels(label: np.ndarray | None, count: int, path: pathlib.Path) -> np.ndarray | None:
    """int32 [N], from integers [N] or [N, 1]."""
    if label is None:
        return None
    if label.ndim == 2 and label.shape[1] == 1:
        label = label[:, 0]
    if label.ndim != 1 or label.dtype.kind not in "iu":
        hint = "; save labels.argmax(1) of one-hot labels" if label.ndim == 2 else ""
        raise DataError(
            f"{path}: expected integer labels [N], got {label.dtype} {list(label.shape)}{hint}"
        )
    if len(label) != count:
        raise DataError(f"{path}: {count} examples but {len(label)} labels")
    if label.min() < 0:
        raise DataError(f"{path}: expected labels 0 .. classes - 1, got {label.min()}")
    return label.astype(np.int32)
