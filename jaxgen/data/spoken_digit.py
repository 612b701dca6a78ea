"""`spoken_digit` and `spoken_digit_mel`: digits said by a few speakers, of tensorflow-datasets.

Recordings at 8 kHz, each named as "7_jackson_32": the digit, who said it, and the number of the
take. Takes 0 to 4 of each digit and speaker are the test, as its authors have it. A recording gives
one piece, its loudest, so that a digit is not cut in many; the label is the speaker, `digit` what
is said.

Source: Jackson 2016, Free Spoken Digit Dataset (github.com/Jakobovski/free-spoken-digit-dataset),
CC BY-SA 4.0.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgen.data import spoken
from jaxgen.data.dataset import ArraySplit, DataError, Dataset
from jaxgen.data.tfds import source
from jaxgen.data.trees import printable
from jaxgen.fields import DataSpec, Field
from jaxgen.ops import sound

OF_TFDS = "spoken_digit"
NAMES = (OF_TFDS, f"{OF_TFDS}_mel")
VERSION = "1.0.9"
FILE = re.compile(r"(\d)_([^_/]+)_(\d{1,6})\.wav")
TAKES = 5  # of the test


def load(name: str, data_dir: str | None, download: bool, in_memory_mb: float) -> Dataset:
    """Pieces of 2,048 samples as mu-law levels, or with "_mel" as log-mel frames.

    Args:
        name: one of `NAMES`.
        data_dir: where tfds has prepared it, see `tfds.source.find`.
        download: prepares it where it is absent, see `tfds.source.download`.
        in_memory_mb: most megabytes of sounds, all of which are kept in memory.

    Raises:
        DataError: where it is absent, in another format than array_record or damaged; for a name
            that is not as the authors have them, a split without examples, or more than memory is
            to hold.
    """
    directory = _directory(data_dir)
    if directory is None and download:
        source.download(OF_TFDS, data_dir, None)
        directory = _directory(data_dir)
    if directory is None:
        raise DataError(source.absent(OF_TFDS))
    found: dict[str, list[tuple[np.ndarray, str, int]]] = {"train": [], "test": []}
    short = 0
    for record in _records(directory):
        text = np.asarray(record["audio/filename"]).item()
        file = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        if not (parts := FILE.fullmatch(file)):
            raise DataError(
                f"{directory} has a recording {printable(file)!r}, expected a name as "
                f"7_jackson_32.wav: {source.again(OF_TFDS)}"
            )
        digit, speaker, take = parts.groups()
        wave = np.asarray(record["audio"], np.float32) / 2**15
        if len(wave) < spoken.SAMPLES or not wave.any():
            short += 1
            continue
        piece = loudest(wave, spoken.SAMPLES)
        found["test" if int(take) < TAKES else "train"].append((piece, speaker, int(digit)))
    if empty := [split for split, rows in found.items() if not rows]:
        raise DataError(f"{directory} has no recordings of the {empty[0]} split")
    held = sum(map(len, found.values())) * spoken.SAMPLES * 4
    if held > in_memory_mb * 1e6:
        raise DataError(
            f"{name} has {held / 1e6:.0f} MB of sounds, more than the {in_memory_mb:g} MB that are "
            "kept in memory: raise --config.data.in_memory_mb"
        )
    voices = sorted({speaker for rows in found.values() for _, speaker, _ in rows})
    bands = 0 if name == OF_TFDS else spoken.BANDS
    splits = {split: _split(rows, voices, bands) for split, rows in found.items()}
    fields = {
        "x": spoken.field(spoken.SAMPLES, spoken.RATE, bands),
        "label": Field("label", dtype="int32", classes=len(voices)),
        "digit": Field("label", dtype="int32", classes=10),
    }
    notes = (
        (f"not used: {short:,} recordings shorter than {spoken.SAMPLES} samples, or silent",)
        if short
        else ()
    )
    return Dataset(
        DataSpec(name, fields),
        splits,
        f"tfds, {directory}",
        tuple(map(printable, voices)),
        notes,
    )


def _directory(data_dir: str | None) -> pathlib.Path | None:
    """Where it is prepared."""
    for root in source.places(data_dir):
        if (root / OF_TFDS / VERSION / "dataset_info.json").exists():
            return root / OF_TFDS / VERSION
    return None


def _records(directory: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Recordings as they are stored: the feature of sounds of tfds would want TensorFlow."""
    import tensorflow_datasets as tfds

    features = {
        "audio": tfds.features.Tensor(shape=(None,), dtype=np.int64),
        "audio/filename": tfds.features.Text(),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    with tfds.core.registered.skip_registration():

        class Prepared(tfds.core.GeneratorBasedBuilder):
            name = OF_TFDS
            VERSION = tfds.core.Version(VERSION)
            pkg_dir_path = directory

            def _info(self) -> Any:
                return tfds.core.DatasetInfo(
                    builder=self, features=tfds.features.FeaturesDict(features)
                )

            def _split_generators(self, dl_manager: Any) -> Any:
                raise NotImplementedError

            def _generate_examples(self) -> Any:
                raise NotImplementedError

    try:
        builder = Prepared(data_dir=directory.parents[1], file_format="array_record")
        records = builder.as_data_source(split="train")
        yield from (records[i] for i in range(len(records)))
    except Exception as error:  # of files of any content, in its own words
        first = " ".join(str(error).split())[:200]
        raise DataError(f"{directory} cannot be read: {first}; {source.again(OF_TFDS)}") from error


def _split(rows: list[tuple[np.ndarray, str, int]], voices: list[str], bands: int) -> ArraySplit:
    waves = sound.levelled(np.stack([wave for wave, _, _ in rows]))
    return ArraySplit(
        {
            "x": spoken.seen(waves, spoken.RATE, bands),
            "label": np.array([voices.index(speaker) for _, speaker, _ in rows], np.int32),
            "digit": np.array([digit for _, _, digit in rows], np.int32),
        }
    )


def loudest(wave: np.ndarray, samples: int) -> np.ndarray:
    """The `samples` of a sound [T] in a row with the most energy."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    first = int(np.argmax(energy[samples:] - energy[:-samples]))
    return wave[first : first + samples]
