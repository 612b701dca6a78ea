"""Images a share of whose pixels is any grey level: what a background model is trained on.

Every number of x is replaced with probability mu by a grey level of 0 .. L - 1, all equally
likely, its own among them; channels are replaced on their own. What is left is what pixels and
their neighbours look like whatever the image shows, and the likelihood ratio of a model of x to one
of these is of the rest. Train images are drawn anew each time that they are visited, test images
once.

Source: Ren et al. 2019, Likelihood ratios for out-of-distribution detection, with mu of 0.1 to 0.3;
official code, `mutate_x`, which adds a uniform level modulo 256 to what is replaced.
"""

from __future__ import annotations

import dataclasses
import functools

import numpy as np

from jaxgen.data.dataset import ArraySplit, DataError, Dataset, Split
from jaxgen.data.redrawn import SPLITS, Redraw, RedrawnSplit, check_seed, in_memory

ONCE = 4  # which stream of a seed


def resampled(dataset: Dataset, share: float, seed: int = 0) -> Dataset:
    """The data set whose pixels are resampled; itself if `share` is 0.

    Args:
        dataset: of grey levels, in memory.
        share: mu, of the numbers of x that are replaced, 0 <= share < 1.
        seed: of the draws that are made once, 0 <= seed < 2**32; those of training are a function
            of the seed of the run and the number of the batch.

    Raises:
        DataError: for another share, on data without grey levels, or a split that stays on disk.
    """
    option = f"data.resampled={share}"
    if isinstance(share, bool) or not 0 <= share < 1:
        raise DataError(f"{option}, expected a share of the pixels, from 0 to below 1, as 0.2")
    if share == 0:
        return dataset
    levels = dataset.spec.levels
    if levels is None:
        raise DataError(f"{option} needs data of grey levels; {dataset.spec.name} has none")
    check_seed(seed)
    replace = functools.partial(replaced, share=share, levels=levels)
    splits = {
        name: _split(in_memory(dataset, name, option), name, replace, option, seed)
        for name in SPLITS
    }
    about = f"a share {share:g} of pixels any of {levels} levels: train anew for every batch, "
    return dataclasses.replace(
        dataset, splits=splits, resampled=f"{about}test drawn once, seed {seed}"
    )


def replaced(random: np.random.RandomState, x: np.ndarray, share: float, levels: int) -> np.ndarray:
    """x [B, ...] of integers with each number replaced at random: see `resampled`."""
    hit = random.random_sample(x.shape) < share
    return np.where(hit, random.randint(levels, size=x.shape, dtype=x.dtype.type), x)


def _split(split: ArraySplit, name: str, replace: Redraw, option: str, seed: int) -> Split:
    random = np.random.RandomState([seed, ONCE, SPLITS.index(name)])
    arrays = {**split.arrays, "x": replace(random, split.x)}
    if name != "train":
        return ArraySplit(arrays)
    if isinstance(split, RedrawnSplit):  # bits that are drawn anew themselves
        drawn = functools.partial(_both, first=split.drawn, then=replace)
        about = f"{split.about}; {option}"
        return RedrawnSplit(arrays, source=split.source, drawn=drawn, about=about)
    return RedrawnSplit(arrays, source=split.x, drawn=replace, about=option)


def _both(random: np.random.RandomState, x: np.ndarray, first: Redraw, then: Redraw) -> np.ndarray:
    return then(random, first(random, x))
