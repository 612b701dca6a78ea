"""`stacked_digits`: three digits at a time, one in each colour: 1,000 modes to be covered.

As Stacked MNIST (Metz et al. 2017, "Unrolled generative adversarial networks", section 3.3.1;
Lin et al. 2018, "PacGAN", section 4.2), but of the embedded 8x8 scans, 17 grey levels. Triples
are drawn with a seed, from the train scans for the train split and from the test scans for the
test split. The label is the number that the digits spell, 0 .. 999, red first.
"""

from __future__ import annotations

import numpy as np

from jaxgen.data.dataset import ArraySplit, Dataset
from jaxgen.data.embedded import digits
from jaxgen.types import DataSpec

NAMES = ("stacked_digits",)
COUNTS = {"train": 50_000, "test": 10_000}
SEEDS = {"train": 0, "test": 1}
MODES = 1000


def load(name: str = NAMES[0], data_dir: str | None = None) -> Dataset:
    """The data set; the scans themselves are prepared under `data_dir`.

    Raises:
        DataError: where `data_dir` cannot be written.
    """
    scans = digits.load(data_dir=data_dir)
    splits = {}
    for name, count in COUNTS.items():
        split = scans.splits[name]
        every = split.take(np.arange(len(split)))
        rows = np.random.RandomState(SEEDS[name]).randint(len(split), size=(count, 3))
        x = np.concatenate([every["x"][rows[:, i]] for i in range(3)], axis=-1)
        label = every["label"][rows].astype(np.int32) @ np.array([100, 10, 1], np.int32)
        splits[name] = ArraySplit({"x": x, "label": label})
    spec = DataSpec.of(name, (8, 8, 3), scans.spec.levels, num_classes=MODES)
    return Dataset(spec, splits, "seeded triples of the digits scans", notes=scans.notes)
