"""Probabilities as integers, the same for who encodes and who decodes.

Log-probabilities are rounded to a grid of 2^-12 nats. From the grid on all is integers.
"""

from __future__ import annotations

import decimal
import functools

import numpy as np
import scipy.special

from jaxgen.config import ConfigError

STEPS = 4096  # of the grid, in a nat
FAR = 2**17 - 1  # steps: what is less likely, by 32 nats, counts as that
SHIFTS, MARGIN = 8, 2e-6  # of the grid; the margin in steps: 5e-10 nats
ONE = 31  # bits of the integer that stands for the most likely value
SNAP = 1024  # of means and log-deviations: steps in a unit
MOST = 2.0**20  # of what is snapped
LEAST = 2.0**-40  # mass, so that no row is all zero


@functools.cache
def _tables() -> tuple[np.ndarray, np.ndarray]:
    """2^31 exp(-256 i / STEPS) and 2^31 exp(-j / STEPS), by decimal arithmetic: integers."""
    with decimal.localcontext(prec=40):
        unit = decimal.Decimal(2) ** ONE
        rates = decimal.Decimal(256) / STEPS, decimal.Decimal(1) / STEPS
        sizes = (FAR >> 8) + 1, 256
        high, low = (
            [int((unit * (-rate * i).exp()).to_integral_value()) for i in range(size)]
            for rate, size in zip(rates, sizes, strict=True)
        )
    return np.array(high, np.uint64), np.array(low, np.uint64)


def grid(log_p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which shift of the grid is safe for each row [R, K], and the rows in steps under it.

    Raises:
        ConfigError: where none is.
    """
    below = (log_p.max(-1, keepdims=True) - log_p) * STEPS
    shift = np.full(len(log_p), -1)
    for i in reversed(range(SHIFTS)):
        y = below + i / SHIFTS
        safe = (np.abs(np.abs(y - np.rint(y)) - 0.5) > MARGIN) | (below > FAR + 1)
        shift[safe.all(-1)] = i
    if (shift < 0).any() or not np.isfinite(below.min(-1)).all():
        raise ConfigError("the model's probabilities cannot be rounded: are its parameters finite?")
    return shift, steps_of(log_p, shift)


def steps_of(log_p: np.ndarray, shift: np.ndarray | int = 0) -> np.ndarray:
    """int64 [..., K]: by how many steps each value is less likely than the likeliest."""
    moved = np.asarray(shift / SHIFTS)[..., None]
    below = (log_p.max(-1, keepdims=True) - log_p) * STEPS + moved
    return np.rint(np.minimum(below, FAR)).astype(np.int64)


def probabilities(steps: np.ndarray) -> np.ndarray:
    """float64 [..., K], the same on any machine: quotients of integers, none of them zero."""
    high, low = _tables()
    weights = np.maximum((high[steps >> 8] * low[steps & 255]) >> np.uint64(ONE), np.uint64(1))
    return weights / weights.sum(-1, keepdims=True)


def snapped(x: np.ndarray) -> np.ndarray:
    """To the nearest multiple of 1 / SNAP, at most MOST away from zero: float64.

    Raises:
        ConfigError: for what is no number.
    """
    if np.isnan(x).any():
        raise ConfigError("the model's numbers cannot be rounded: are its parameters finite?")
    return np.rint(np.clip(x, -MOST, MOST) * SNAP) / SNAP


@functools.cache
def edges(bits: int) -> np.ndarray:
    """[2^bits + 1]: between parts of the standard normal of equal mass, from -inf to inf."""
    return scipy.special.ndtri(np.arange(2**bits + 1) / 2**bits)


@functools.cache
def centres(bits: int) -> np.ndarray:
    """[2^bits]: medians of these parts."""
    return scipy.special.ndtri((np.arange(2**bits) + 0.5) / 2**bits)


def masses(mean: np.ndarray, log_std: np.ndarray, bits: int) -> np.ndarray:
    """What normals [R] have in the parts that `edges` bounds: [R, 2^bits], no row all zero."""
    scale = np.exp(-np.clip(snapped(log_std), -30, 30))[:, None]
    at = (edges(bits) - np.clip(snapped(mean), -1e4, 1e4)[:, None]) * scale
    # of the upper half by the other tail: near one a difference of probabilities has no digits
    below, above = scipy.special.ndtr(at), scipy.special.ndtr(-at)
    found = np.where(at[:, :-1] > 0, above[:, :-1] - above[:, 1:], below[:, 1:] - below[:, :-1])
    return found + LEAST
