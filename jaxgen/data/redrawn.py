"""Examples in memory whose x is drawn anew for every train batch: bits of grey levels, noise."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset

EVERY_BATCH = 2  # which stream of a seed; the order of examples, and what is drawn once, are others
SPLITS = ("train", "test")  # their places name the streams of what is drawn once

Redraw = Callable[[np.random.RandomState, np.ndarray], np.ndarray]  # of x [B, ...], as many


@dataclasses.dataclass(frozen=True, eq=False)
class RedrawnSplit(ArraySplit):
    """A train split whose x is drawn anew for every batch; `take` gives one draw of it.

    Attributes:
        arrays: field -> [N, ...]; x is drawn once for all, which is what is evaluated.
        source: [N, ...], what x is drawn of.
        drawn: a draw of rows of the source.
        about: how, as part of the hash.
    """

    source: np.ndarray = dataclasses.field(kw_only=True)
    drawn: Redraw = dataclasses.field(kw_only=True)
    about: str = dataclasses.field(kw_only=True)
    place = "in memory, drawn anew for every batch"
    redraws = True

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`. Drawn for the whole batch, then cut: no division changes anything."""
        random = np.random.RandomState([seed, EVERY_BATCH, index % 2**32])
        return self.take(indices[rows]) | {"x": self.drawn(random, self.source[indices])[rows]}

    def sha256(self) -> str:
        """Hash of how, of the source, of the draw that is evaluated and of the other fields."""
        digest = hashlib.sha256(f"{self.about};".encode())
        for text in (ArraySplit({"x": self.source}).sha256(), super().sha256()):
            digest.update(text.encode())
        return digest.hexdigest()


def in_memory(dataset: Dataset, name: str, option: str) -> ArraySplit:
    """A split of arrays.

    Raises:
        DataError: for one that stays on disk, naming the option that needs it in memory.
    """
    split = dataset.splits[name]
    if isinstance(split, ArraySplit):
        return split
    raise DataError(
        f"{option} needs data in memory, the {name} split of {dataset.spec.name} stays on disk: "
        "raise data.in_memory_mb"
    )


def check_seed(seed: int) -> None:
    """Raises DataError for what is no seed of draws that are made once."""
    if not 0 <= seed < 2**32:
        raise DataError(f"expected data.seed in 0 .. 2**32 - 1, got {seed}")
