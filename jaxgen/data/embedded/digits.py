"""`digits`: scikit-learn's 1,797 real scans of handwritten digits, 8x8, values 0 .. 16.

Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (the test part): counts
of ink in 4x4 blocks of a 32x32 scan, hence 17 grey levels. Few enough to train on a laptop in
seconds, and real. The split is fixed: `numpy.random.RandomState(0).permutation(1797)`, the first
1,500 for training and the last 297 for the test, whatever the seed of the run.
"""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxgen.data import prepare
from jaxgen.data.dataset import Dataset
from jaxgen.data.tfds import prepared
from jaxgen.types import DataSpec

SPLIT_SEED = 0
TRAIN = 1500
VERSION = "1.0.0"
NAMES = ("digits",)
SPEC = DataSpec.of(name="digits", shape=(8, 8, 1), levels=17, num_classes=10)


def load(name: str = NAMES[0], data_dir: str | None = None) -> Dataset:
    """The data set, prepared as array_record under `data_dir` by the first who asks.

    Raises:
        DataError: where `data_dir` cannot be written.
    """
    root = prepare.data_root(data_dir)
    target = root / name / VERSION
    notes: list[str] = []
    splits = prepared.splits_of(_builder, target, ("train", "test"), root, notes)
    return Dataset(SPEC, splits, f"scikit-learn, prepared in {target}", notes=tuple(notes))


def _rows(split: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(key, example) in the order of the permutation."""
    import PIL.Image
    import sklearn.datasets

    scans, labels = sklearn.datasets.load_digits(return_X_y=True)
    order = np.random.RandomState(SPLIT_SEED).permutation(len(scans))
    rows = order[:TRAIN] if split == "train" else order[TRAIN:]
    for key, row in enumerate(rows):
        # tfds needs TensorFlow to write an array as PNG, but not to write a PIL image.
        image = PIL.Image.fromarray(scans[row].reshape(8, 8).astype(np.uint8))
        yield key, {"image": image, "label": int(labels[row])}


def _builder() -> type:
    """The tfds builder, made on demand so that importing this module imports no tfds."""
    import tensorflow_datasets as tfds

    with tfds.core.registered.skip_registration():

        class Digits(tfds.core.GeneratorBasedBuilder):
            """scikit-learn's 8x8 scans of handwritten digits."""

            name = "digits"
            VERSION = tfds.core.Version(VERSION)
            pkg_dir_path = pathlib.Path(__file__).parent

            def _info(self):
                features = {
                    "image": tfds.features.Image(shape=(8, 8, 1), encoding_format="png"),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
                return tfds.core.DatasetInfo(
                    builder=self,
                    features=tfds.features.FeaturesDict(features),
                    supervised_keys=("image", "label"),
                    disable_shuffling=True,
                )

            def _split_generators(self, dl_manager):
                return {name: self._generate_examples(name) for name in ("train", "test")}

            def _generate_examples(self, split):
                return _rows(split)

    return Digits
