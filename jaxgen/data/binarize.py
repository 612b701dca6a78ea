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
import functools

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split
from jaxgen.data.redrawn import SPLITS, RedrawnSplit, check_seed, in_memory

MODES = ("none", "dynamic", "fixed", "threshold")
ONCE = 1  # which stream of a seed


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
    check_seed(seed)
    splits = {name: _split(dataset, name, mode, seed) for name in SPLITS}
    return dataclasses.replace(
        dataset,
        spec=spec.with_field("x", levels=2, dtype="uint8"),
        splits=splits,
        binarized=_described(mode, spec.levels, seed),
    )


def _split(dataset: Dataset, name: str, mode: str, seed: int) -> Split:
    split, levels = in_memory(dataset, name, f"data.binarize={mode}"), dataset.spec.levels
    if mode == "threshold":
        x = (split.x > (levels - 1) // 2).astype(np.uint8)
    else:
        x = _bits(np.random.RandomState([seed, ONCE, SPLITS.index(name)]), split.x, levels)
    arrays = {"x": x, "label": split.labels}
    if mode == "dynamic" and name == "train":
        drawn = functools.partial(_bits, levels=levels)
        return RedrawnSplit(arrays, source=split.x, drawn=drawn, about=f"dynamic, {levels} levels")
    return ArraySplit(arrays)


def _bits(random: np.random.RandomState, grey: np.ndarray, levels: int) -> np.ndarray:
    return (uniform(random, grey.shape, levels, grey.dtype) < grey).astype(np.uint8)


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
