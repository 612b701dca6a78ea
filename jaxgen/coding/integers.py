"""Integers near a middle on a stack: normals of any width, with a way out for what is far.

A wide law is coded in two parts: bins of 2^low steps by a model, and the step in the bin evenly.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from jaxgen.coding.stack import Stack

FINE = 6  # log2 of the bins that a deviation has, at least
FAR = 10  # deviations from the middle to the outermost bin, which says that more follows
WIDEST = 40  # of `low`
NARROWEST = 2.0**-4  # of deviations, in steps
RAW = 48  # bits of what is written out
MOST = 2.0 ** (RAW - 2)  # of means, in steps


class Bins(NamedTuple):
    """A law of integers [R].

    Attributes:
        model: of bins -far to far.
        parameters: of the model, [R] each.
        low: int64 [R].
        far: the outermost bin.
        shift: what the model's symbols are counted from.
    """

    model: Any
    parameters: tuple[np.ndarray, ...]
    low: np.ndarray
    far: int
    shift: int = 0


def steps(x: np.ndarray) -> np.ndarray:
    """Means to the nearest 1/256, none of them far: what is no number is zero."""
    return np.rint(np.clip(np.nan_to_num(x), -MOST, MOST) * 256) / 256


def normal(mean: np.ndarray, std: np.ndarray) -> Bins:
    """Of whole steps around the nearest one to `mean`, [R] each and in steps.

    A coder gives each bin a probability of 2^-24 at least: were there more than a normal needs,
    draws would come from where it has none.
    """
    import constriction

    gaussian = constriction.stream.model.QuantizedGaussian
    std = np.maximum(np.nan_to_num(std, nan=1.0), NARROWEST)
    std = np.exp2(np.minimum(np.rint(np.log2(std) * 64) / 64, WIDEST + FINE))
    low = np.clip(np.floor(np.log2(std)) - FINE, 0, WIDEST).astype(np.int64)
    size = np.exp2(low)
    middle = (mean - np.rint(mean) + np.where(low > 0, 0.5, 0.0)) / size
    far = 1 + math.ceil(FAR * float(np.max(std / size)))
    return Bins(gaussian(-far, far), (middle, std / size), low, far)


def table(masses: np.ndarray, low: np.ndarray) -> Bins:
    """Of one table [2 far + 1] for all."""
    import constriction

    return Bins(
        constriction.stream.model.Categorical(masses, perfect=False),
        (),
        low,
        len(masses) // 2,
        len(masses) // 2,
    )


def _halves(low: np.ndarray) -> np.ndarray:
    return (1 << low) >> 1


def pop_near(stack: Stack, bins: Bins) -> np.ndarray:
    """int64 [R], a draw: what `push_near` takes."""
    return _joined(stack, bins)[0]


def push_near(stack: Stack, x: np.ndarray, bins: Bins) -> None:
    """Of what `pop_near` gave."""
    moved = x + _halves(bins.low)
    stack.push_bits(moved & ((1 << bins.low) - 1), bins.low)
    stack.push((moved >> bins.low) + bins.shift, bins.model, *bins.parameters)


def pop_far(stack: Stack, bins: Bins) -> np.ndarray:
    """int64 [R]: what `push_far` was given."""
    x, bin_ = _joined(stack, bins)
    far = np.abs(bin_) == bins.far
    raw = stack.pop_bits(np.full(int(far.sum()), RAW))
    x[far] = np.where(raw >> (RAW - 1), raw - (1 << RAW), raw)
    return x


def push_far(stack: Stack, x: np.ndarray, bins: Bins) -> None:
    """Any integers [R] of less than RAW bits; those beyond the bins take RAW bits more."""
    far = np.abs((x + _halves(bins.low)) >> bins.low) >= bins.far
    raw = x[far] & ((1 << RAW) - 1)
    stack.push_bits(raw, np.full(len(raw), RAW))
    push_near(stack, np.where(far, (bins.far << bins.low) - _halves(bins.low), x), bins)


def _joined(stack: Stack, bins: Bins) -> tuple[np.ndarray, np.ndarray]:
    num = len(bins.low)
    bin_ = stack.pop(num, bins.model, *bins.parameters) - bins.shift
    low = stack.pop_bits(bins.low)
    return (bin_ << bins.low) + low - _halves(bins.low), bin_
