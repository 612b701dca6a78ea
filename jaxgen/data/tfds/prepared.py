"""tfds data sets that are on disk: build our own, read any, decode those that fit memory once."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from jaxgen.data import images, prepare
from jaxgen.data.dataset import ArraySplit, DataError, Split, sampled_sha256
from jaxgen.files import FULL

CHUNK = 1024  # records decoded at a time


def build(builder: type, work: pathlib.Path) -> pathlib.Path:
    """Runs a builder class of our own under `work`; returns the directory it made."""
    with quiet():
        # tfds writes its default format, tfrecord, with TensorFlow only.
        made = builder(data_dir=work, file_format="array_record")
        made.download_and_prepare()
    return pathlib.Path(made.data_dir)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hides the progress bars and greetings that tfds prints."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@dataclasses.dataclass(frozen=True, eq=False)
class RecordSplit(Split):
    """Examples decoded from array_record when asked for.

    Attributes:
        records: random access to the records, images as encoded bytes.
        key: name of the feature that is "x".
        label_key: of the feature that is "label", or None.
        rows: int64 [N], the records that belong to this split.
        channels: of the images; None for features that tfds decodes.
        geometry: to which images are brought, None if they all have one size.
        identity: what the data set is, for the hash.
        directory: of the data set, for messages.
    """

    records: Any
    key: str
    label_key: str | None
    rows: np.ndarray
    channels: int | None
    geometry: images.Geometry | None
    identity: bytes
    directory: str = ""
    place = "from disk"
    decodes = True

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        try:
            records = self.records.__getitems__(self.rows[indices].tolist())
        except Exception as error:  # of the reader, in its own words
            first = " ".join(str(error).split())[:200]
            raise DataError(
                f"{self.directory} is damaged: {first}; prepare it again, or copy it anew"
            ) from error
        batch = {"x": np.stack([self._decode(record[self.key]) for record in records])}
        if self.label_key is not None:
            batch["label"] = np.asarray([r[self.label_key] for r in records], np.int32)
        return batch

    def _decode(self, value: Any) -> np.ndarray:
        if self.channels is None:
            value = np.asarray(value)
            return value.astype(np.float32) if value.dtype.kind == "f" else value
        image = images.decode(io.BytesIO(value), f"a record of {self.key!r}", self.channels)
        return image if self.geometry is None else self.geometry.apply(image)

    def sha256(self) -> str:
        """See `sampled_sha256`."""
        return sampled_sha256(self, self.identity)


def splits_of(
    builder: Callable[[], type],
    target: pathlib.Path,
    names: Iterable[str],
    root: pathlib.Path,
    notes: list[str],
) -> dict[str, Split]:
    """Splits of a data set of ours, prepared by the first who asks.

    Args:
        builder: gives the builder class.
        target: where the data set is prepared.
        names: of the splits.
        root: under which decoded copies are kept.
        notes: to which those on what was damaged are added.

    Raises:
        DataError: where `target` cannot be written.
    """

    def fill(folder: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:
            shutil.copytree(build(builder(), pathlib.Path(work)), folder, dirs_exist_ok=True)

    def load(directory: pathlib.Path) -> dict[str, Split]:
        return {name: read(directory, name, root, notes) for name in names}

    return prepare.opened(target, fill, load, notes)


def read(directory: pathlib.Path, split: str, root: pathlib.Path, notes: list[str]) -> ArraySplit:
    """One split of a data set of ours, in memory, with its features "image" or "x", and "label".

    Args:
        directory: where the data set was prepared.
        split: its name.
        root: under which the decoded copy is kept.
        notes: to which those on what was damaged are added.
    """

    def records() -> RecordSplit:
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(directory)
        (key,) = set(builder.info.features) - {"label"}
        return record_split(builder, split, key, "label")

    return decoded(records, f"{directory}/{split}", identity_of(directory), root, notes)


def record_split(
    builder: Any,
    split: str,
    key: str,
    label_key: str | None,
    rows: np.ndarray | None = None,
    geometry: images.Geometry | None = None,
) -> RecordSplit:
    """Opens one split of a prepared data set; see `RecordSplit`."""
    import tensorflow_datasets as tfds

    feature = builder.info.features[key]
    is_image = isinstance(feature, tfds.features.Image)
    # Pillow decodes here and not in tfds, which would log that it would rather have OpenCV.
    decoders = {key: tfds.decode.SkipDecoding()} if is_image else None
    records = builder.as_data_source(split=split, decoders=decoders)
    if rows is None:
        rows = np.arange(len(records), dtype=np.int64)
    channels = feature.shape[-1] if is_image else None
    identity = identity_of(pathlib.Path(builder.data_path)) + split.encode()
    where = str(builder.data_path)
    return RecordSplit(records, key, label_key, rows, channels, geometry, identity, where)


def identity_of(directory: pathlib.Path) -> bytes:
    """What tells one prepared data set from another: its description, with names and counts."""
    names = ("dataset_info.json", "features.json")
    return b"".join((directory / name).read_bytes() for name in names)


def decoded(
    records: Callable[[], RecordSplit],
    what: str,
    identity: bytes,
    root: pathlib.Path,
    notes: list[str],
) -> ArraySplit:
    """A split decoded whole, from a copy of the arrays under `root` if there is one.

    PNG decoding runs at some thousands of images a second, `numpy.load` at disk speed.

    Args:
        records: () -> RecordSplit; not called where there is a copy.
        what: which split of which directory, and any choice that changes the arrays.
        identity: of the data set.
        root: under which the copies are kept; without them where it cannot be written.
        notes: to which those on what was damaged are added.
    """
    digest = hashlib.sha256(identity + what.encode()).hexdigest()[:24]
    target = root / "decoded" / digest

    def fill(work: pathlib.Path) -> None:
        for key, value in _take_all(records()).items():
            np.save(work / f"{key}.npy", value)
        (work / "source.txt").write_text(what + "\n")

    def load(directory: pathlib.Path) -> ArraySplit:
        arrays = {file.stem: np.load(file) for file in directory.glob("*.npy")}
        return ArraySplit(arrays)

    try:
        return prepare.opened(target, fill, load, notes)
    except (DataError, OSError) as error:
        if isinstance(error, DataError) and not isinstance(error.__cause__, OSError):
            raise
        if getattr(error.__cause__, "errno", None) in FULL:
            notes.append(f"no room for decoded copies in {root}: decoded anew at every start")
        arrays = _take_all(records())
    return ArraySplit(arrays)


def _take_all(split: Split) -> dict[str, np.ndarray]:
    """Every example, chunk by chunk into one array."""
    count = len(split)
    arrays: dict[str, np.ndarray] = {}
    for first in range(0, count, CHUNK):
        rows = np.arange(first, min(first + CHUNK, count), dtype=np.int64)
        for key, value in split.take(rows).items():
            if key not in arrays:
                arrays[key] = np.empty((count, *value.shape[1:]), value.dtype)
            arrays[key][rows] = value
    return arrays
