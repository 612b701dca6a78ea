"""Two domains of real handwriting that are no pairs, whose true translation is known.

`digits_two`: A are 750 of the train scans of `digits`; B are the other 750 as dark ink on paper
whose shade changes from place to place, which A knows nothing of. `digits_two_bright`: B is the
negative of that, bright on dark as A is. In the test split x and b are renderings of one scan.

Of ink u in [0, 1], B is p (1 - 0.85 u^1.5) with the paper p = 0.75 + 0.2 (g1 (y - 1/2) +
g2 (x - 1/2)), g uniform in [-1, 1], y and x in [0, 1] down and to the right; 256 grey levels.
"""

from __future__ import annotations

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split
from jaxgen.data.domains import UnpairedSplit
from jaxgen.data.embedded import digits
from jaxgen.types import DataSpec, Field

NAMES = ("digits_two", "digits_two_bright")
HALF = 750  # train scans of each domain
SEEDS = {"train": 0, "test": 1}
SIDE, LEVELS = 8, 17  # of a scan


def load(name: str, data_dir: str | None = None) -> Dataset:
    """One of the two; the scans themselves are prepared under `data_dir`.

    Raises:
        DataError: on another name, or where `data_dir` cannot be written.
    """
    if name not in NAMES:
        raise DataError(f"expected one of {', '.join(NAMES)}; got {name!r}")
    scans = digits.load(data_dir=data_dir)
    splits: dict[str, Split] = {}
    for split, seed in SEEDS.items():
        x = scans.splits[split].take(np.arange(len(scans.splits[split])))["x"]
        a, b = (x[:HALF], x[HALF:]) if split == "train" else (x, x)
        shades = np.random.RandomState(seed).uniform(-1, 1, (len(b), 2))
        written = on_paper(b / (LEVELS - 1), shades)
        written = 1 - written if name == "digits_two_bright" else written
        b = np.rint(255 * written).astype(np.uint8)
        splits[split] = UnpairedSplit(ArraySplit({"x": a}), ArraySplit({"x": b}))
    fields = {"x": scans.spec.x, "b": Field("image", (SIDE, SIDE, 1), "uint8", levels=256)}
    source = "the digits scans, and others of them on shaded paper"
    return Dataset(DataSpec(name, fields), splits, source, notes=scans.notes)


def on_paper(ink: np.ndarray, shades: np.ndarray) -> np.ndarray:
    """Ink [N, 8, 8, 1] in [0, 1] on papers of the shades g [N, 2]: brightness in [0, 1]."""
    places = np.linspace(-0.5, 0.5, SIDE)
    down, right = (g[:, None, None] for g in shades.T)
    paper = 0.75 + 0.2 * (down * places[:, None] + right * places)
    return np.clip(paper[..., None] * (1 - 0.85 * ink**1.5), 0, 1)
