"""Random flips and shifts of training images, seeded: the same in every run and on any devices."""

from __future__ import annotations

import dataclasses

import numpy as np

from jaxgen.data.dataset import Dataset, Split

AUGMENTED = 3  # tells these numbers from the others that are drawn with the seed of a run


def training(dataset: Dataset) -> Split:
    """What training batches are drawn from: the train split, augmented if that is asked for."""
    train, asked = dataset.splits["train"], dataset.flip or dataset.shift
    return AugmentedSplit(train, dataset.flip, dataset.shift) if asked else train


@dataclasses.dataclass(frozen=True, eq=False)
class AugmentedSplit(Split):
    """A train split whose batches are flipped and shifted; `take` gives the examples as they are.

    Attributes:
        split: of images; other fields whose values lie in their pixels move with them.
        flip: each is mirrored, left to right, with probability 1/2.
        shift: each is moved by up to that many pixels down or up, right or left, equally likely;
            what comes into sight repeats the border.
    """

    split: Split
    flip: bool = False
    shift: int = 0

    def __len__(self) -> int:
        return len(self.split)

    @property
    def place(self) -> str:
        """See `Split`."""
        return self.split.place

    @property
    def labels(self) -> np.ndarray | None:
        """See `Split.labels`."""
        return self.split.labels

    def take(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """See `Split.take`."""
        return self.split.take(indices)

    def sha256(self) -> str:
        """Of the examples as they are."""
        return self.split.sha256()

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`. Drawn for the whole batch, then cut: no division changes anything."""
        batch = self.split.draw(indices, rows, seed, index)
        random = np.random.RandomState([seed, AUGMENTED, index % 2**32])
        flipped = random.randint(2, size=len(indices))[rows] == 1
        down, right = random.randint(-self.shift, self.shift + 1, size=(2, len(indices)))[:, rows]
        sides = batch["x"].shape[1:3]
        # pixel i comes from i - d, held inside
        i, j = (
            np.clip(np.arange(side) - d[:, None], 0, side - 1)
            for side, d in zip(sides, (down, right), strict=True)
        )

        def moved(x: np.ndarray) -> np.ndarray:
            if self.flip:
                x = np.where(flipped.reshape(-1, *(1,) * (x.ndim - 1)), x[:, :, ::-1], x)
            if self.shift:
                x = x[np.arange(len(x))[:, None, None], i[:, :, None], j[:, None, :]]
            return x

        return {k: moved(v) if v.shape[1:3] == sides else v for k, v in batch.items()}
