"""Grey images to images of zeros and ones, as likelihoods of binarised MNIST are reported.

A grey level x of 0 .. L - 1 is read as the probability x / (L - 1) of a one. "dynamic" draws the
bits anew each time that an example is visited in training (Salakhutdinov & Murray 2008, "On the
quantitative analysis of deep belief networks"; Burda et al. 2016, arXiv:1509.00519); "fixed"
draws them once for all, which overfits sooner and costs about 2 nats of MNIST (README of the
official IWAE code): compare only what was trained alike. "threshold" takes the nearer of black
and white.

The fixed draw is our own, seeded; it is not the file of Larochelle & Murray 2011 (NADE). For
"dynamic" and "fixed" the test is that same draw, so their test values are of the same bits.
"""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split

MODES = ("none", "dynamic", "fixed", "threshold")
ONCE, EVERY_BATCH = 1, 2  # which stream of a seed; the order of examples is another
SPLITS = ("train", "test")  # their places name the streams of the fixed draws


@dataclasses.dataclass(frozen=True, eq=False)
class DynamicSplit(ArraySplit):
    """Examples of a train split whose bits are drawn anew for every batch.

    Attributes:
        x: uint8 [N, H, W, 1], the fixed draw, which `take` gives: what is evaluated.
        label: int32 [N] or None.
        grey: [N, H, W, 1], the grey levels.
        levels: number of grey levels.
    """

    grey: np.ndarray = dataclasses.field(kw_only=True)
    levels: int = dataclasses.field(kw_only=True)
    place = "in memory, bits drawn anew for every batch"
    redraws = True

    def draw(
        self, indices: np.ndarray, rows: slice, seed: int, index: int
    ) -> dict[str, np.ndarray]:
        """See `Split.draw`. The bits are of the whole batch, then cut: no division changes them."""
        random = np.random.RandomState([seed, EVERY_BATCH, index % 2**32])
        shape = (len(indices), *self.grey.shape[1:])
        below = uniform(random, shape, self.levels, self.grey.dtype)
        mine = indices[rows]
        return self.take(mine) | {"x": (below[rows] < self.grey[mine]).astype(np.uint8)}

    def sha256(self) -> str:
        """Hash of grey levels, fixed draw and labels."""
        digest = hashlib.sha256(f"dynamic, {self.levels} levels;".encode())
        for split in (
            ArraySplit({"x": self.grey}),
            ArraySplit({"x": self.x, "label": self.labels}),
        ):
            digest.update(split.sha256().encode())
        return digest.hexdigest()


def binarized(dataset: Dataset, mode: str, seed: int = 0) -> Dataset:
    """The data set with two grey levels; itself if `mode` is "none".

    Args:
        dataset: grey images, in memory.
        mode: one of `MODES`.
        seed: of the draws that are made once, 0 <= seed < 2**32; those of "dynamic" training are
            a function of the seed of the run and the number of the batch.

    Raises:
        DataError: on continuous data, points, colours, or a split that stays on disk.
    """
    if mode == "none":
        return dataset
    spec, option = dataset.spec, f"data.binarize={mode}"
    if spec.levels is None or spec.x.kind != "image":
        raise DataError(f"{option} needs images of grey levels; {spec.name} has none")
    if spec.shape[2] != 1:
        raise DataError(
            f"{option} needs images of one channel, {spec.name} has {spec.shape[2]}: bits of each "
            "colour on its own are no image; type --config.data.binarize=none"
        )
    if not 0 <= seed < 2**32:
        raise DataError(f"expected data.seed in 0 .. 2**32 - 1, got {seed}")
    splits = {name: _split(dataset, name, mode, seed) for name in SPLITS}
    return dataclasses.replace(
        dataset,
        spec=spec.with_field("x", levels=2, dtype="uint8"),
        splits=splits,
        binarized=_described(mode, spec.levels, seed),
    )


def _split(dataset: Dataset, name: str, mode: str, seed: int) -> Split:
    split, levels = dataset.splits[name], dataset.spec.levels
    if not isinstance(split, ArraySplit):
        raise DataError(
            f"data.binarize={mode} needs data in memory, the {name} split of {dataset.spec.name} "
            f"stays on disk: raise data.in_memory_mb"
        )
    if mode == "threshold":
        bits = split.x > (levels - 1) // 2
    else:
        random = np.random.RandomState([seed, ONCE, SPLITS.index(name)])
        bits = uniform(random, split.x.shape, levels, split.x.dtype) < split.x
    x = bits.astype(np.uint8)
    if mode == "dynamic" and name == "train":
        return DynamicSplit({"x": x, "label": split.labels}, grey=split.x, levels=levels)
    return ArraySplit({"x": x, "label": split.labels})


def uniform(
    random: np.random.RandomState, shape: tuple[int, ...], levels: int, dtype: np.dtype
) -> np.ndarray:
    """Whole numbers of 0 .. levels - 2, equally likely: of them exactly x are below a level x."""
    return random.randint(levels - 1, size=shape, dtype=dtype.type)


def _described(mode: str, levels: int, seed: int) -> str:
    """For report and fingerprint."""
    if mode == "threshold":
        return f"levels above {(levels - 1) // 2} of 0..{levels - 1} are 1"
    drawn = f"drawn once with probability level / {levels - 1}, seed {seed}"
    return f"train anew for every batch, test {drawn}" if mode == "dynamic" else drawn
