"""MNIST, Fashion-MNIST and KMNIST from the idx files in which they were published.

LeCun's format: two zero bytes, a type byte (8: unsigned byte), the number of axes, the length of
each axis as big-endian int32, then the values. The three sets use the same file names, so each
wants a folder of its own. No download, no TensorFlow, no preparation.
"""

from __future__ import annotations

import pathlib
import struct

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.data.limits import gunzip
from jaxgen.types import DataSpec

NAMES = ("mnist", "fashion_mnist", "kmnist")
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def wanted(name: str) -> str:
    """What to do to have this data set, for messages."""
    files = ", ".join(f"{file}.gz" for pair in FILES.values() for file in pair)
    return f"put the files of {name}, {files}, in a folder and add --config.data.manual_dir=DIR"


def load(name: str, manual_dir: str) -> Dataset:
    """The data set from the four files in `manual_dir`, gzipped or not, in their order.

    Raises:
        DataError: naming the file that is absent or damaged.
    """
    root = pathlib.Path(manual_dir).expanduser()
    if not root.is_dir():
        raise DataError(f"data.manual_dir={root} is no directory; {wanted(name)}")
    splits = {split: _split(root, name, *files) for split, files in FILES.items()}
    shapes = {split.x.shape[1:] for split in splits.values()}
    if len(shapes) > 1:
        raise DataError(f"train and test images in {root} differ in size: {sorted(shapes)}")
    spec = DataSpec.of(name, shapes.pop(), levels=256, num_classes=10)
    return Dataset(spec, splits, source=f"idx files in {root}")


def _split(root: pathlib.Path, name: str, images: str, labels: str) -> ArraySplit:
    x = read(_path(root, name, images), axes=3)
    path = _path(root, name, labels)
    label = read(path, axes=1)
    if len(x) != len(label):
        raise DataError(f"{path}: expected {len(x)} labels, as many as {images}, got {len(label)}")
    if len(x) == 0:
        raise DataError(f"{path}: expected at least one example, got none")
    if label.max() > 9:
        raise DataError(f"{path}: expected labels 0 .. 9, got {label.max()}")
    return ArraySplit({"x": x[..., None], "label": label.astype(np.int32)})


def _path(root: pathlib.Path, name: str, file: str) -> pathlib.Path:
    for path in (root / f"{file}.gz", root / file):
        if path.is_file():
            return path
    raise DataError(f"no {file}.gz and no {file} in {root}; {wanted(name)}")


def read(path: pathlib.Path, axes: int) -> np.ndarray:
    """One idx file of unsigned bytes as an array of that many axes.

    Raises:
        DataError: naming the file, if it is no idx file, truncated or too long.
    """
    raw = path.read_bytes()
    if raw[:1] == b"<":
        raise DataError(f"{path} is a web page, not data: the download failed; fetch it anew")
    if path.suffix == ".gz":
        try:
            raw = gunzip(raw)
        except (EOFError, OSError) as error:
            raise DataError(f"{path} is truncated or damaged ({error}); fetch it anew") from error
    head = 4 + 4 * axes
    magic = bytes([0, 0, 8, axes])
    if raw[:4] != magic or len(raw) < head:
        raise DataError(
            f"{path} is no idx file of unsigned bytes with {axes} axes: expected it to begin with "
            f"{magic.hex()}, got {raw[:4].hex() or 'nothing'}"
        )
    shape = struct.unpack(f">{axes}i", raw[4:head])
    if len(raw) - head != np.prod(shape, dtype=np.int64):
        raise DataError(
            f"{path}: expected {'x'.join(map(str, shape))} bytes as its header says, got "
            f"{len(raw) - head}; fetch it anew"
        )
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)
