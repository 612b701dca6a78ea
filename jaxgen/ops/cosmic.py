"""Slices of the cosmic web: from counts to what networks see and back, and their statistics.

A slice is [H, W] counts of particles, periodic both ways. What networks see is s = 2 x / (x + a) -
1, in [-1, 1): most cells are almost empty, a few hold hundreds.

Source: Rodriguez et al. 2018, Fast cosmic web simulations with generative adversarial networks
(arXiv:1801.09070), section 3.1 for the map and 3.2 for the statistics; the map's a is our own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.fft

SCALE = 10.0  # a, about the median of counts
MEAN = 16.0  # counts of a cell, over all slices there could be
HIGHEST = 1 - 2e-3  # of s that is inverted: 10,000 counts; noise above would be worth millions
BINS = 40  # of the mass histogram, equally full of real counts
NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if i or j]


def seen(x: Any) -> Any:
    """Counts, zero or more, to [-1, 1)."""
    return 2 * x / (x + SCALE) - 1


def counts(s: np.ndarray) -> np.ndarray:
    """The inverse of `seen`, float64; s beyond [-1, `HIGHEST`] is cut off."""
    s = np.clip(np.asarray(s, np.float64), -1, HIGHEST)
    return SCALE * (1 + s) / (1 - s)


def clipped(s: np.ndarray) -> float:
    """Share of values that `counts` cuts off above."""
    return float(np.mean(np.asarray(s) > HIGHEST))


def spectrum(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wave numbers k = 1 .. N / 2 - 1, in waves a side, and the power of each slice.

    Args:
        x: counts [B, N, N].

    Returns:
        k [K], and P [B, K]: mean square of the Fourier coefficients of x / `MEAN` - 1 whose k is
        nearest, where white noise of unit variance has 1 / N^2 everywhere. The mean is that of all
        slices, not of each: how much a slice holds is random too.
    """
    side = x.shape[1]
    modes = np.abs(np.fft.fft2(x / MEAN - 1) / side**2) ** 2
    one = np.fft.fftfreq(side, 1 / side)
    ring = np.rint(np.hypot(one[:, None], one[None])).astype(int).ravel()
    k = np.arange(1, side // 2)
    flat = modes.reshape(len(x), -1)
    return k, np.stack([flat[:, ring == n].mean(1) for n in k], axis=1)


def mass_histogram(x: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Shares of cells of x between the inner `ends` of bins, [len(ends) + 1]."""
    return np.bincount(np.searchsorted(ends, x.ravel()), minlength=len(ends) + 1) / x.size


def quantile_ends(x: np.ndarray) -> np.ndarray:
    """The inner ends of `BINS` bins that are equally full of x."""
    return np.quantile(x, np.linspace(0, 1, BINS + 1)[1:-1])


def peaks(x: np.ndarray) -> list[np.ndarray]:
    """Counts of the cells of each slice [B, N, N] that are above their eight neighbours."""
    top = np.ones(x.shape, bool)
    for shift in NEIGHBOURS:
        top &= x > np.roll(x, shift, axis=(1, 2))
    return [slice_[mask] for slice_, mask in zip(x, top, strict=True)]


def randomised(random: np.random.RandomState, x: np.ndarray) -> np.ndarray:
    """Slices with the power of x [B, N, N] and random phases: a Gaussian's, and no web.

    Phases are those of real white noise, so that the slices are real; values may be below zero.
    """
    noise = np.fft.fft2(random.randn(*x.shape))
    phases = noise / np.abs(noise)
    found = np.abs(np.fft.fft2(x)) * phases
    found[:, 0, 0] = x.sum((1, 2))
    return np.fft.ifft2(found).real


def nearest(x: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How far each slice [B, N, N] is from the nearest of others [M, N, N], shifted anyhow.

    Root mean square of differences, [B]. A network that copies what it was shown is nearer than
    new slices are, wherever it puts the copy.
    """
    size = x[0].size
    spectra = np.asarray(scipy.fft.rfft2(others.astype(np.float32)))
    squares = np.mean(np.square(others, dtype=np.float64), axis=(1, 2))
    found = []
    for one in x.astype(np.float32):
        waves = np.asarray(scipy.fft.rfft2(one))
        products = np.asarray(scipy.fft.irfft2(waves[None] * np.conj(spectra), s=one.shape))
        best = np.max(products, axis=(1, 2)) / size
        found.append(np.min(np.mean(np.square(one, dtype=np.float64)) + squares - 2 * best))
    return np.sqrt(np.maximum(found, 0))
